//! What can be set for svc-payment.

use serde::Deserialize;
use souk_mesh::cql;

/// Settings of svc-payment, and their defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the payment provider answers, for example `http://127.0.0.1:12111`. Has no default: the whole shop in
    /// one process starts a sandbox provider of its own where none is named.
    pub provider_url: String,
    /// How long one call to the provider may take, in milliseconds; an answer that takes longer is
    /// treated as lost, and asked for again under the same key.
    pub provider_timeout_ms: u64,
    /// Where payments are kept.
    pub store: Store,
    /// How the CQL store is reached, where payments are kept there.
    pub cql: cql::Config,
}

/// Where payments are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a file of one process.
    #[default]
    Sqlite,
    /// In a ScyllaDB or Cassandra that several processes share.
    Cql,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            provider_url: String::new(),
            provider_timeout_ms: 3_000,
            store: Store::default(),
            cql: cql::Config::default(),
        }
    }
}
