//! Moves committed events from a store's outbox to the bus.
//!
//! Publish, then delete: a crash between the two publishes again, and consumers know events by
//! their ids. One relay per store keeps the order.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use prost::Message;
use rusqlite::Connection;
use souk_proto::event::v1::Event;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, Error};
use crate::store::Store;
use crate::tasks::Tasks;

/// Most events moved at once.
const PAGE_EVENTS: i64 = 256;
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

/// The oldest events of the outbox.
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
        let mut pause = FIRST_PAUSE;
        while !self.drain.is_cancelled() {
            let seen = commits.borrow_and_update().with_events;
            match self.move_page().await {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = self.drain.cancelled() => {}
                        news = commits.wait_for(|commits| commits.with_events != seen) => {
                            if news.is_err() {
                                // The store's writer has ended: nothing will come any more.
                                return;
                            }
                        }
                    }
                }
                Ok(_) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(relay = self.name, %error, "events wait in the outbox");
                    let _ = tokio::time::timeout(pause, self.drain.cancelled()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Returns how many events were moved.
    async fn move_page(&self) -> Result<usize, Error> {
        let page = self.store.read(read_page).await?;
        let Some(Page { events, last, head }) = page else {
            self.backlog.set(0.0);
            return Ok(0);
        };
        let count = events.len();
        self.backlog.set((head - last) as f64 + count as f64);
        self.bus.publish(events).await?;
        self.store.write(move |connection| delete_to(connection, last)).await?;
        Ok(count)
    }
}

fn read_page(connection: &Connection) -> Result<Option<Page>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT position, event FROM outbox ORDER BY position LIMIT ?1")?;
    let mut rows = statement.query([PAGE_EVENTS])?;
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
