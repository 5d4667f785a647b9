//! The settings of svc-order.

use serde::Deserialize;
use souk_mesh::cql;

use crate::Error;

/// Settings, each with a default that suits one machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long PlaceOrder waits for its workflow's answer before it answers PENDING, milliseconds.
    pub answer_wait_ms: u64,
    /// How old a pending order must be before the sweeper starts its workflow again, milliseconds:
    /// longer than a start takes, so that nothing is started twice in vain.
    pub start_grace_ms: i64,
    /// Pause between two looks of the sweeper, milliseconds.
    pub sweep_every_ms: u64,
    /// How often a watched order is read again although nothing was heard of it, milliseconds: what
    /// another process changed is seen this late at most.
    pub watch_poll_ms: u64,
    /// How long a watcher of a cancelled order still sees stock and money go back, milliseconds.
    pub watch_linger_ms: u64,
    /// Where orders are kept.
    pub store: Store,
    /// How ScyllaDB or Cassandra is reached, where orders are kept there.
    pub cql: cql::Config,
}

/// Where orders are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a file of one process.
    #[default]
    Sqlite,
    /// In ScyllaDB or Cassandra, which several processes share.
    Cql,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            answer_wait_ms: 2_000,
            start_grace_ms: 5_000,
            sweep_every_ms: 2_000,
            watch_poll_ms: 2_000,
            watch_linger_ms: 30_000,
            store: Store::default(),
            cql: cql::Config::default(),
        }
    }
}

impl Config {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        if self.answer_wait_ms == 0 || self.answer_wait_ms > 10_000 {
            return Err(Error::Config("answer_wait_ms must be between 1 and 10000"));
        }
        if self.start_grace_ms < 0 {
            return Err(Error::Config("start_grace_ms must not be negative"));
        }
        if self.sweep_every_ms == 0 {
            return Err(Error::Config("sweep_every_ms must be positive"));
        }
        if self.watch_poll_ms == 0 {
            return Err(Error::Config("watch_poll_ms must be positive"));
        }
        Ok(())
    }
}
