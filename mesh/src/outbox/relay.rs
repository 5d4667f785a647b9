//! Moves committed events from a store's outbox to the bus.
//!
//! Publish, then delete: a crash between the two publishes again, and consumers know events by
//! their ids. One relay per store keeps the order. Moving one event costs about as much as moving
//! a hundred (two synced commits), so under load it moves what has gathered, and deletes behind.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use prost::Message;
use rusqlite::Connection;
use souk_proto::event::v1::Event;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, Error};
use crate::store::{Commits, Store};
use crate::tasks::Tasks;

/// Most events moved at once.
const PAGE_EVENTS: usize = 256;
/// From the beginning of one move to that of the next, unless a page was full: what comes meanwhile
/// moves as one.
const MOVE_INTERVAL: Duration = Duration::from_millis(10);
/// Moved events that may stay in the table …
const DELETE_EVERY: i64 = 1024;
/// … and how long at most, once nothing moves.
const DELETE_AFTER: Duration = Duration::from_millis(100);
/// Pause after a failure, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Starts the relay of a store; once per store. It is woken by commits that put events, begins
/// with what an earlier process left, and ends at the drain: what is left stays for the next start.
pub fn spawn_relay(store: &Store, bus: Arc<dyn Bus>, tasks: &Tasks, name: &'static str) {
    let relay = Relay {
        store: store.clone(),
        bus,
        drain: tasks.token(),
        name,
        backlog: metrics::gauge!("souk_outbox_backlog_events", "outbox" => name),
    };
    tasks.spawn(name, relay.run());
}

struct Relay {
    store: Store,
    bus: Arc<dyn Bus>,
    drain: CancellationToken,
    name: &'static str,
    backlog: Gauge,
}

/// How far a relay has come, in positions of the outbox.
#[derive(Default)]
struct Progress {
    moved_to: i64,
    deleted_to: i64,
}

/// The oldest events that were not moved.
struct Page {
    events: Vec<Event>,
    /// The position of the last of them.
    last: i64,
    /// The newest position of the outbox.
    head: i64,
}

impl Relay {
    async fn run(self) {
        let mut commits = self.store.commits();
        let mut progress = Progress::default();
        let mut pause = FIRST_PAUSE;
        while !self.drain.is_cancelled() {
            let seen = commits.borrow_and_update().with_events;
            let began = Instant::now();
            match self.move_page(&mut progress).await {
                Ok(PAGE_EVENTS) => pause = FIRST_PAUSE,
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    if !self.wait_for_news(&mut commits, seen, &mut progress).await {
                        return;
                    }
                    self.unless_drained(sleep_until(began + MOVE_INTERVAL)).await;
                }
                Err(error) => {
                    tracing::warn!(relay = self.name, %error, "events wait in the outbox");
                    self.unless_drained(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.delete_moved(&mut progress).await;
    }

    /// Until a commit after those `seen` has put events, or the drain. `false` when the store's
    /// writer has ended: nothing will come any more.
    async fn wait_for_news(
        &self,
        commits: &mut watch::Receiver<Commits>,
        seen: u64,
        progress: &mut Progress,
    ) -> bool {
        let mut news = std::pin::pin!(commits.wait_for(|commits| commits.with_events != seen));
        if let Ok(news) = timeout(DELETE_AFTER, &mut news).await {
            return news.is_ok();
        }
        self.delete_moved(progress).await;
        tokio::select! {
            () = self.drain.cancelled() => true,
            news = news => news.is_ok(),
        }
    }

    async fn unless_drained(&self, pause: impl Future<Output = ()>) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = pause => {}
        }
    }

    /// Returns how many events were moved.
    async fn move_page(&self, progress: &mut Progress) -> Result<usize, Error> {
        let after = progress.moved_to;
        let page = self.store.read(move |connection| read_page(connection, after)).await?;
        let Some(Page { events, last, head }) = page else {
            self.backlog.set(0.0);
            return Ok(0);
        };
        let count = events.len();
        self.backlog.set((head - last) as f64 + count as f64);
        self.bus.publish(events).await?;
        progress.moved_to = last;
        if last - progress.deleted_to >= DELETE_EVERY {
            self.delete_moved(progress).await;
        }
        Ok(count)
    }

    /// What cannot be deleted now is deleted later; until then it is only in the way.
    async fn delete_moved(&self, progress: &mut Progress) {
        let last = progress.moved_to;
        if last == progress.deleted_to {
            return;
        }
        match self.store.write(move |connection| delete_to(connection, last)).await {
            Ok(()) => progress.deleted_to = last,
            Err(error) => tracing::warn!(relay = self.name, %error, "moved events stay for now"),
        }
    }
}

fn read_page(connection: &Connection, after: i64) -> Result<Option<Page>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT position, event FROM outbox WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut rows = statement.query([after, PAGE_EVENTS as i64])?;
    let mut events = Vec::new();
    let mut last = 0;
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        events
            .push(Event::decode(bytes).map_err(|source| Error::Decode { position: last, source })?);
    }
    if events.is_empty() {
        return Ok(None);
    }
    let head = connection
        .prepare_cached("SELECT max(position) FROM outbox")?
        .query_row([], |row| row.get(0))?;
    Ok(Some(Page { events, last, head }))
}

fn delete_to(connection: &Connection, last: i64) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM outbox WHERE position <= ?1")?.execute([last])?;
    Ok(())
}
