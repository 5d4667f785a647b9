//! RabbitMQ, with a name server (epmd) of its own, so that it meets no other Erlang node of the machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::server::{Recipe, make_folder};
use crate::{Part, Server, ensure, ports};

/// The script behind Debian's wrapper; the wrapper would change the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ node of one's own. User and password are `guest`.
pub struct RabbitMq {
    // First, for it ends first.
    broker: Server,
    _names: Server,
}

impl RabbitMq {
    /// Starts it on free ports, with its data in `folder`.
    ///
    /// # Errors
    /// When RabbitMQ can neither be found nor installed, and when it does not come up.
    pub fn start(folder: &Path) -> Result<RabbitMq> {
        ensure(Part::RabbitMq)?;
        let here = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let port = ports::free_on(&here)?;
        let names_port = ports::free_on(&here)?;
        let distribution_port = ports::free_on(&here)?;
        let folder = make_folder(folder)?;
        let names = Server::start(names(&folder, names_port))?;
        let broker = Server::start(broker(folder, port, names_port, distribution_port)?)?;
        Ok(RabbitMq { broker, _names: names })
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }
}

fn names(folder: &Path, port: u16) -> Recipe {
    Recipe {
        name: "epmd".to_owned(),
        program: "epmd".into(),
        arguments: ["-port", &port.to_string(), "-address", "127.0.0.1"]
            .map(str::to_owned)
            .to_vec(),
        environment: Vec::new(),
        folder: folder.to_owned(),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        // NAMES_REQ; the answer begins with the port: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html
        hello: b"\x00\x01n",
        answer: b"\x00\x00",
        patience: Duration::from_secs(10),
        disposable: None,
    }
}

fn broker(folder: PathBuf, port: u16, names_port: u16, distribution_port: u16) -> Result<Recipe> {
    let configuration = folder.join("rabbitmq.conf");
    std::fs::write(&configuration, configured(port))?;
    let plugins = folder.join("enabled_plugins");
    std::fs::write(&plugins, "[].\n")?;
    let path = |path: PathBuf| path.display().to_string();
    let environment = [
        ("HOME", path(folder.clone())),
        ("RABBITMQ_NODENAME", "souk@localhost".to_owned()),
        ("RABBITMQ_DIST_PORT", distribution_port.to_string()),
        ("ERL_EPMD_PORT", names_port.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_CONFIG_FILE", path(configuration)),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path(plugins)),
        ("RABBITMQ_MNESIA_BASE", path(folder.join("data"))),
        ("RABBITMQ_LOG_BASE", path(folder.join("logs"))),
        ("RABBITMQ_PID_FILE", path(folder.join("rabbitmq.pid"))),
        // A node for tests needs no more than two of the machine's cores, and its schedulers sleep when they have nothing to
        // do: by default they spin for a while first. https://www.rabbitmq.com/docs/runtime#busy-waiting
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".to_owned(),
        ),
    ];
    Ok(Recipe {
        name: "rabbitmq".to_owned(),
        program: PROGRAM.into(),
        arguments: Vec::new(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        folder,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        // The protocol header; the answer is a method frame on channel 0: AMQP 0-9-1, sections 4.2.2 and 4.2.3.
        hello: b"AMQP\x00\x00\x09\x01",
        answer: b"\x01\x00\x00",
        patience: Duration::from_secs(90),
        disposable: None,
    })
}

fn configured(port: u16) -> String {
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n\
         disk_free_limit.absolute = 50MB\n"
    )
}

impl Deref for RabbitMq {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.broker
    }
}

impl DerefMut for RabbitMq {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.broker
    }
}
