//! What is measured side by side: whoever can do the workload, round by round.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::load::Load;

/// Somebody who can do the workload. The contenders of a scenario take turns, so that what else the machine does hits all
/// of them alike.
#[async_trait]
pub trait Contender: Send + Sync {
    /// Its name in the report.
    fn name(&self) -> String;

    /// Whether it can do with so many orders in flight.
    fn takes_part(&self, _in_flight: u32) -> bool {
        true
    }

    /// One round: whatever it keeps, it keeps in `folder`, which is new and empty.
    ///
    /// # Errors
    /// When an order fails: a figure of a contender that does not work is none.
    async fn round(&self, load: &Load, folder: &Path) -> Result<Round>;
}

/// What a round gives. What a contender cannot tell is `None`.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Orders that ended within the measured time, and how long each took.
    pub waits: Vec<Duration>,
    /// The measured time.
    pub measured: Duration,
    /// CPU of everything, clients included, for each order of the round, until the last was in its final place.
    pub cpu_per_order: Option<Duration>,
    /// Bytes that were handed to the disk, for each order, alike.
    pub written_per_order: Option<f64>,
    /// Synced writes a second.
    pub syncs_per_second: Option<f64>,
    /// Events in each of them.
    pub events_per_sync: Option<f64>,
    /// How far the keyed tables were behind the log, at most.
    pub lag: Option<Lag>,
}

impl Round {
    /// Orders a second.
    pub fn rate(&self) -> f64 {
        self.waits.len() as f64 / self.measured.as_secs_f64()
    }
}

/// What the log holds and the tables do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lag {
    /// Bytes of slots.
    pub bytes: u64,
    /// Age of the oldest of them, in milliseconds.
    pub age_ms: u64,
}

impl Lag {
    /// The greater of each.
    pub fn max(self, other: Lag) -> Lag {
        Lag { bytes: self.bytes.max(other.bytes), age_ms: self.age_ms.max(other.age_ms) }
    }
}
