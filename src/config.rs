//! The configuration of a process: one section per part, each the part's own type.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use souk_mesh::{bus, config, server, telemetry};

/// Everything that can be set. docs/OPERATIONS.md lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept. Relative paths are relative to where the process is started.
    pub data: PathBuf,
    /// How long calls under way may take to finish when the process is told to stop, in milliseconds.
    pub drain_limit_ms: u64,
    /// The ports.
    pub listen: Listen,
    /// Where roles are that run in other processes.
    pub mesh: Mesh,
    /// How many calls a service serves at once.
    pub limits: server::Limits,
    /// The event bus.
    pub bus: bus::Config,
    /// Logs and traces.
    pub telemetry: telemetry::Config,
    /// The edge.
    pub edge: souk_edge::Config,
    /// Accounts.
    pub user: souk_user::Config,
    /// Products and stock.
    pub catalog: souk_catalog::Config,
    /// Carts.
    pub cart: souk_cart::Config,
    /// Orders.
    pub order: souk_order::Config,
    /// Payments.
    pub payment: souk_payment::Config,
    /// Mail.
    pub notify: souk_notify::Config,
    /// Search.
    pub search: souk_search::Config,
    /// The engine and its workflows.
    pub workflow: souk_orchestrator::Config,
}

/// The ports of a process.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Browsers and phones: gRPC, gRPC-web, pages, probes.
    pub edge: SocketAddr,
    /// Prometheus and probes.
    pub ops: SocketAddr,
    /// Internal teams and other processes of the mesh: all services, with reflection.
    pub internal: SocketAddr,
}

/// Where other processes are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mesh {
    /// Role → `http://host:port` of a process that serves it.
    pub services: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            drain_limit_ms: 10_000,
            listen: Listen::default(),
            mesh: Mesh::default(),
            limits: server::Limits::default(),
            bus: bus::Config::default(),
            telemetry: telemetry::Config::default(),
            edge: souk_edge::Config::default(),
            user: souk_user::Config::default(),
            catalog: souk_catalog::Config::default(),
            cart: souk_cart::Config::default(),
            order: souk_order::Config::default(),
            payment: souk_payment::Config::default(),
            notify: souk_notify::Config::default(),
            search: souk_search::Config::default(),
            workflow: souk_orchestrator::Config::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            edge: SocketAddr::from(([0, 0, 0, 0], 8080)),
            ops: SocketAddr::from(([0, 0, 0, 0], 9600)),
            internal: SocketAddr::from(([127, 0, 0, 1], 50051)),
        }
    }
}

impl Listen {
    /// The edge as a client on this machine calls it.
    pub fn edge_url(&self) -> String {
        url(self.edge)
    }

    /// All services as a client on this machine calls them.
    pub fn internal_url(&self) -> String {
        url(self.internal)
    }
}

/// The address of a port for clients on this machine: "all interfaces" is not one that can be called.
pub fn url(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{}", address.port()),
        false => format!("http://{address}"),
    }
}

impl Config {
    /// Defaults, then `file`, then the environment, then `flags`.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is not known, or a value does not fit; each is named.
    pub fn load(file: Option<&Path>, flags: Vec<(String, String)>) -> Result<Self, config::Error> {
        config::Sources::of_process(file, flags).load()
    }
}
