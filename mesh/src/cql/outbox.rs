//! Events leave with the state change that they tell of, where both are in a store that speaks CQL.
//!
//! A conditional batch is confined to one partition of one table, so there is no table of events that it could write
//! to beside the state: the event's bytes are written **inside the aggregate's partition**, by the same batch that
//! changes the state, and the process publishes from memory what it has just made durable. What is left is to find what
//! a process committed and did not publish because it died. For that there are **markers**:
//!
//! 1. [`Outbox::mark`] notes, by a plain write, that something may happen to an aggregate from a version on;
//! 2. the service changes the aggregate;
//! 3. [`Marker::publish`] hands the events over, in order per aggregate, and the marker is deleted once the bus has
//!    them; [`Marker::forget`], when it is certain that nothing was changed, deletes it at once. A marker that is simply
//!    dropped (a panic, a caller that left, an outcome that nobody knows) stays;
//! 4. a sweeper in every process looks for markers older than [`SWEEP_AFTER_MS`], asks the service what the aggregate
//!    tells from that version on ([`Events`]), publishes that and deletes the marker. Where there is no such event, the
//!    marker is kept until it is older than [`GIVE_UP_MS`]: the conditional write may be on its way still.
//!
//! So an event is published at least once, and consumers know it by its id. The events of one aggregate leave in the
//! order of their versions from any one process, and from the sweeper; when two processes change one aggregate, or one
//! of them dies, a later event may come before an earlier one: consumers that care go by `aggregate_version`.
//!
//! Markers that wait for the same write share a row, so that under load a mark costs a fraction of a plain write. They
//! live in partitions of a slot of time ([`SLOT_MS`]) that are never read again once they are known to be empty, so that
//! the deleted ones of yesterday cost nothing. Processes' clocks must agree within [`SETTLE_MS`].

mod lane;
mod line;
mod markers;
mod publisher;
mod sweeper;

use std::sync::Arc;

use async_trait::async_trait;
use souk_proto::event::v1::Event;
use tokio::sync::mpsc;

use super::{Error as StoreError, Session};
use crate::bus::{self, Bus};
use crate::clock::SharedClock;
use crate::tasks::Tasks;
use lane::{Asked, Lane};
use line::{Line, Ticket};
use markers::{Markers, SHARDS, Share, shard_of};
use sweeper::Sweeper;

pub use markers::{SLOT_MS, TABLES};
pub use sweeper::{GIVE_UP_MS, SETTLE_MS, SWEEP_AFTER_MS};

/// Marks that may wait for one lane; more wait in their callers.
const WAITING_MARKS: usize = 256;

/// What can keep events from being published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store of the markers failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus took nothing.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// The service could not tell what an aggregate holds.
    #[error("the events of {aggregate} cannot be read: {problem}")]
    Events {
        /// Which aggregate.
        aggregate: String,
        /// The service's reason.
        problem: String,
    },
}

/// What a service's aggregates tell; asked by the sweeper.
#[async_trait]
pub trait Events: Send + Sync + 'static {
    /// The events of the versions from `from_version` on, oldest first, of which there may be none. Read by a
    /// [`Kind::SettledRead`](super::Kind::SettledRead): a change that is half done is finished or void when this returns.
    ///
    /// # Errors
    /// In words, for the log; it is tried again.
    async fn events_since(&self, aggregate: &str, from_version: i64) -> Result<Vec<Event>, String>;
}

/// The outbox of one service in one process. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: Vec<mpsc::Sender<Asked>>,
    line: Arc<Line>,
    sweeper: Arc<Sweeper>,
}

impl Outbox {
    /// Starts publishing and sweeping, until the drain. The keyspace has the [`TABLES`]. `name` is the service's, for
    /// logs and metrics.
    ///
    /// # Errors
    /// When the store is away, or does not have the tables.
    pub async fn start(
        session: &Session,
        bus: Arc<dyn Bus>,
        tasks: &Tasks,
        clock: SharedClock,
        name: &'static str,
        events: Arc<dyn Events>,
    ) -> Result<Outbox, StoreError> {
        let markers = Markers::open(session, clock).await?;
        let backlog = metrics::gauge!("souk_outbox_backlog_events", "outbox" => name);
        let line = Arc::new(Line::new(backlog));
        let lanes = (0..SHARDS).map(|shard| Lane::start(shard, Arc::clone(&markers))).collect();
        publisher::spawn(Arc::clone(&line), Arc::clone(&bus), tasks, name);
        let sweeper = Sweeper::open(markers, Arc::clone(&line), bus, events, name).await?;
        let sweeper = Arc::new(sweeper);
        sweeper::spawn(Arc::clone(&sweeper), tasks);
        Ok(Outbox { shared: Arc::new(Shared { lanes, line, sweeper }) })
    }

    /// Notes that `aggregate` may be changed, to `from_version` or later. The change is made after this has returned.
    ///
    /// # Errors
    /// When the store does not confirm it: then nothing may be changed.
    pub async fn mark(&self, aggregate: &str, from_version: i64) -> Result<Marker, StoreError> {
        let (asked, answer) = Asked::new(aggregate, from_version);
        let gone = |_| StoreError::Unavailable("the outbox has ended".to_owned());
        let lane = &self.shared.lanes[shard_of(aggregate) as usize];
        lane.send(asked).await.map_err(|error| gone(error.to_string()))?;
        let share = answer.await.map_err(|error| gone(error.to_string()))??;
        let ticket = self.shared.line.join(aggregate, from_version);
        Ok(Marker { share, ticket })
    }

    /// Looks for what was committed and not published, once, beside what the sweeper does by itself. Returns how many
    /// events were published.
    ///
    /// # Errors
    /// What could not be published stays for the next sweep.
    pub async fn sweep(&self) -> Result<usize, Error> {
        self.shared.sweeper.pass().await.map(|pass| pass.published)
    }
}

/// The note that an aggregate may be changed. Dropping it leaves the rest to the sweeper.
#[must_use = "a change is published, or forgotten"]
pub struct Marker {
    share: Share,
    ticket: Ticket,
}

impl Marker {
    /// Hands over what the change told; the marker is deleted once the bus has it.
    pub fn publish(self, events: Vec<Event>) {
        if events.is_empty() {
            self.forget();
        } else {
            self.ticket.tell(events, self.share);
        }
    }

    /// Nothing was changed, for certain.
    pub fn forget(self) {
        self.share.settle();
    }
}
