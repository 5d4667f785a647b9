//! The settings of svc-user.

use serde::Deserialize;
use souk_mesh::{cql, redis};

/// Section `user` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Password hashes that may run at the same time; each takes 19 MiB and a core.
    pub hashes_at_once: usize,
    /// How long an access token works, in milliseconds.
    pub token_lifetime_ms: i64,
    /// How long a session lives after its last refresh, in milliseconds.
    pub session_lifetime_ms: i64,
    /// Where accounts and address books are kept.
    pub store: Store,
    /// How the CQL store is reached, where they are kept there.
    pub cql: cql::Config,
    /// Where sessions are kept.
    pub sessions: Sessions,
    /// How Redis is reached, where sessions are kept there.
    pub redis: redis::Config,
}

/// Where accounts and address books are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a file of one process.
    #[default]
    Sqlite,
    /// In a ScyllaDB or Cassandra that several processes share.
    Cql,
}

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sessions {
    /// In a file of one process.
    #[default]
    Sqlite,
    /// In a Redis that several processes share.
    Redis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hashes_at_once: 2,
            token_lifetime_ms: 12 * 60 * 60 * 1000,
            session_lifetime_ms: 30 * 24 * 60 * 60 * 1000,
            store: Store::default(),
            cql: cql::Config::default(),
            sessions: Sessions::default(),
            redis: redis::Config::default(),
        }
    }
}
