//! How the catalog is set up.

use serde::Deserialize;
use souk_mesh::cql;

/// Settings of the catalog, with their defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether an empty store is filled with the demonstration shop ([`crate::seed`]).
    pub seed: bool,
    /// How often the sweeper looks for holds whose time is over, in milliseconds.
    pub sweep_every_ms: u64,
    /// Where products and stock are kept.
    pub store: Store,
    /// How ScyllaDB or Cassandra is reached, where they are kept there.
    pub cql: cql::Config,
}

/// Where products and stock are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
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
        Self {
            seed: false,
            sweep_every_ms: 1_000,
            store: Store::default(),
            cql: cql::Config::default(),
        }
    }
}
