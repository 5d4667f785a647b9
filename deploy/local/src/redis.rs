//! Redis, with every write on disk before it is answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::server::{Recipe, make_folder};
use crate::{Part, Server, ensure, ports};

/// A Redis server of one's own.
pub struct Redis {
    server: Server,
    /// Removed after the server has ended, where nobody else wants it.
    _folder: Option<TempDir>,
}

impl Redis {
    /// Starts it on a free port, with its data in `folder`.
    ///
    /// # Errors
    /// When Redis can neither be found nor installed, and when it does not come up.
    pub fn start(folder: &Path) -> Result<Redis> {
        ensure(Part::Redis)?;
        let port = ports::free_on(&[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
        let folder = make_folder(folder)?;
        let arguments = [
            ("port", port.to_string()),
            ("bind", Ipv4Addr::LOCALHOST.to_string()),
            ("dir", folder.display().to_string()),
            ("appendonly", "yes".to_owned()),
            ("appendfsync", "always".to_owned()),
            ("save", String::new()),
        ];
        let recipe = Recipe {
            name: "redis".to_owned(),
            program: "redis-server".into(),
            arguments: arguments
                .into_iter()
                .flat_map(|(name, value)| [format!("--{name}"), value])
                .collect(),
            environment: Vec::new(),
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            // The inline form of the protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
            hello: b"PING\r\n",
            answer: b"+PONG\r\n",
            patience: Duration::from_secs(20),
            disposable: None,
        };
        Ok(Redis { server: Server::start(recipe)?, _folder: None })
    }

    /// Starts it on a free port, with its data in a folder that goes with it.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start_disposable() -> Result<Redis> {
        let folder = tempfile::tempdir()?;
        let started = Self::start(folder.path())?;
        Ok(Redis { _folder: Some(folder), ..started })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
