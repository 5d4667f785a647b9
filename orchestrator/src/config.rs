//! The settings of the orchestrator.

use std::time::Duration;

use serde::Deserialize;
use souk_mesh::cql;

use crate::engine::Options;
use crate::engine::limits::RETENTION_DAYS;

/// How long events stay in the log on CQL unless something else is set, in milliseconds. Every drain of a run that is open
/// is several writes there, and one that drains in the middle of its steps is drained again: longer than an order takes to
/// be placed, short enough for whoever takes over to read.
const CQL_DRAIN_DELAY_MS: u64 = 5_000;

/// Section `workflow` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long events stay in the log before they are drained into the tables, in milliseconds; what suits the store,
    /// if it is not set.
    pub drain_delay_ms: Option<u64>,
    /// How long a run that only waits stays in memory, in milliseconds.
    pub idle_after_ms: u64,
    /// How many such runs stay in memory at most.
    pub max_idle_runs: usize,
    /// How long closed runs are kept, in days; 0 keeps them for ever.
    pub retention_days: u64,
    /// Where the log and the tables are kept.
    pub store: Store,
    /// How the CQL store is reached, where they are kept there.
    pub cql: cql::Config,
    /// Where the other orchestrators on that store reach this one, `http://host:port`: its process fills in the port that its
    /// services have, on this machine, if it is empty.
    pub address: String,
}

/// Where the log and the tables are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a folder of one process.
    #[default]
    Fjall,
    /// In ScyllaDB or Cassandra.
    Cql,
}

impl Default for Config {
    fn default() -> Self {
        let Options { idle_after, max_idle_runs, .. } = Options::default();
        Self {
            drain_delay_ms: None,
            idle_after_ms: idle_after.as_millis() as u64,
            max_idle_runs,
            retention_days: RETENTION_DAYS,
            store: Store::default(),
            cql: cql::Config::default(),
            address: String::new(),
        }
    }
}

impl Config {
    pub(crate) fn options(&self) -> Options {
        let drain_delay = match (self.drain_delay_ms, self.store) {
            (Some(set_ms), _) => Duration::from_millis(set_ms),
            (None, Store::Fjall) => Options::default().drain_delay,
            (None, Store::Cql) => Duration::from_millis(CQL_DRAIN_DELAY_MS),
        };
        Options {
            drain_delay,
            idle_after: Duration::from_millis(self.idle_after_ms),
            max_idle_runs: self.max_idle_runs,
            retention: (self.retention_days > 0)
                .then(|| Duration::from_secs(self.retention_days.saturating_mul(24 * 3600))),
            ..Options::default()
        }
    }
}
