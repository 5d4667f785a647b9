//! The configuration of a process: one section per part, each the part's own type.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;
use souk_mesh::{bus, config, server, telemetry};

use crate::backends::{self, Backends};

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
    /// Where state and events are.
    pub backends: Backends,
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
    /// Role → `http://host:port` of the process, or of each process, that serves it.
    pub services: BTreeMap<String, Replicas>,
}

/// One address, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Replicas {
    /// One process; from an environment variable or a flag also several, separated by commas.
    One(String),
    /// Several processes with the same role.
    Several(Vec<String>),
}

impl Replicas {
    /// The addresses.
    ///
    /// # Errors
    /// Which of them is no `http://host:port`, or that there is none.
    pub fn addresses(&self) -> Result<Vec<Uri>, String> {
        let texts: Vec<&str> = match self {
            Self::One(text) => text.split(',').map(str::trim).collect(),
            Self::Several(texts) => texts.iter().map(String::as_str).collect(),
        };
        if texts.is_empty() {
            return Err(String::from("no address is given"));
        }
        let address = |text: &str| {
            let uri = text.parse::<Uri>().ok();
            let is_http =
                |uri: &Uri| uri.scheme() == Some(&Scheme::HTTP) && uri.authority().is_some();
            uri.filter(is_http).ok_or_else(|| format!("{text:?} is not http://host:port"))
        };
        texts.into_iter().map(address).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            drain_limit_ms: 10_000,
            listen: Listen::default(),
            mesh: Mesh::default(),
            backends: Backends::default(),
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
        let sources = config::Sources::of_process(file, flags);
        config::Sources { presets: backends::PRESETS, ..sources }.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_one_address_or_several() {
        let one = Replicas::One("http://10.0.0.1:50051".into()).addresses().unwrap();
        assert_eq!(one, ["http://10.0.0.1:50051"]);
        let listed = Replicas::One("http://a:1, http://b:2".into()).addresses().unwrap();
        assert_eq!(listed, ["http://a:1", "http://b:2"]);
        let several = Replicas::Several(vec!["http://a:1".into(), "http://[::1]:2".into()]);
        assert_eq!(several.addresses().unwrap(), ["http://a:1", "http://[::1]:2"]);
    }

    #[test]
    fn an_address_that_cannot_be_called_is_named() {
        for text in ["10.0.0.1:50051", "https://a:1", "http://", "", "a,b"] {
            let error = Replicas::One(text.into()).addresses().unwrap_err();
            assert!(error.ends_with("is not http://host:port"), "{error}");
        }
        assert!(Replicas::Several(vec![]).addresses().is_err());
    }
}
