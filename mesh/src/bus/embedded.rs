//! The bus without a broker: a log of events in one SQLite file, and a cursor per queue.
//!
//! Publishing appends to the log by group commit. A queue is a cursor into the log; deliveries
//! that failed, and those that wait behind them, live in a table of their own, so that the cursor
//! goes on. The log is trimmed past the slowest cursor. Several processes can share the folder:
//! consumers are woken by publishers of their process, and look by themselves every
//! [`POLL_MS`] for those of others. A file lock per queue sees to one consumer at a time; the
//! system frees it when a process ends, however it ends.

mod log;
mod queue;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use souk_proto::event::v1::Event;
use tokio::sync::watch;

use super::{
    Bus, DeadLetter, DeadLetterQuery, Error, Replay, Subscription, Topics, check_queue_name,
};
use crate::clock::SharedClock;
use crate::store::Store;

/// How often a consumer looks for events of other processes, and for redeliveries that are due.
pub const POLL_MS: u64 = 250;
/// The file of the log in the bus's folder.
const LOG_FILE: &str = "events.db";

/// How much of the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events kept although every queue has passed them: what a new queue begins with.
    pub kept_events: i64,
    /// Events that the slowest queue may be behind; then publishing is refused ([`Error::Full`]),
    /// and events wait in the outboxes.
    pub most_behind: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { kept_events: 10_000, most_behind: 5_000_000 }
    }
}

/// The embedded bus.
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    store: Store,
    clock: SharedClock,
    limits: Limits,
    /// Changes when there may be something to receive.
    news: watch::Sender<()>,
}

impl Embedded {
    /// Opens or creates the bus in a folder, which other processes may have open too.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn open(folder: &Path, clock: SharedClock) -> Result<Embedded, Error> {
        Embedded::open_with(folder, clock, Limits::default())
    }

    /// As [`Embedded::open`], with other limits.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn open_with(folder: &Path, clock: SharedClock, limits: Limits) -> Result<Embedded, Error> {
        let store = Store::open(&folder.join(LOG_FILE), tables::MIGRATIONS)?;
        let (news, _) = watch::channel(());
        let shared = Shared { folder: folder.to_owned(), store, clock, limits, news };
        Ok(Embedded { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Bus for Embedded {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let most_behind = self.shared.limits.most_behind;
        self.shared
            .store
            .write(move |connection| log::append(connection, &events, most_behind))
            .await?;
        self.shared.news.send_replace(());
        Ok(())
    }

    async fn subscribe(
        &self,
        queue: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, Error> {
        check_queue_name(queue)?;
        let topics = Topics::parse(topics)?;
        let name = queue.to_owned();
        self.shared.store.write(move |connection| log::make_queue(connection, &name)).await?;
        Ok(Box::new(queue::Queue::new(self.shared.clone(), queue, topics)))
    }

    async fn dead_letters(&self, which: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        self.shared.store.read(move |connection| log::dead_letters(connection, &which)).await
    }

    async fn replay(&self, which: Replay) -> Result<usize, Error> {
        let now_ms = self.shared.clock.now_ms();
        let work = move |connection: &Connection| log::replay(connection, &which, now_ms);
        let replayed = self.shared.store.write(work).await?;
        self.shared.news.send_replace(());
        Ok(replayed)
    }
}
