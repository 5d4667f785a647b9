//! Orders in ScyllaDB or Cassandra, shared by any number of processes.
//!
//! **Recording** is one conditional write: the request's row in `placing`, `IF NOT EXISTS`, which holds the order with
//! its id and its event. Whoever writes it first has placed the order; everybody else reads which one it is. The id is made
//! before (it tells the time, so that lists can go by it), hence cannot be derived from the request: that is why the
//! request's row decides, not the order's. The order's own partition and its rows on lists are then **derived** from
//! that row by plain writes, as often as one likes: they carry the timestamp 1, below any that the server gives, so that a
//! repeat never undoes a change. Nobody knows the order's id before they are durable, so no change meets half of them.
//!
//! **Changing** is one conditional batch on the order's partition, `IF version = ?`: state, timeline entry, the request
//! that asked, and the event. A request is found again in the entry that it made; one that was absorbed left nothing, and
//! is judged again. A refusal is given only after a settled read, as an earlier try of the same request may be under way.
//!
//! **What a process leaves undone when it dies** others find: the outbox's marker names the request or the order, and
//! whoever looks after it derives, lists and publishes ([`telling`]); the row in `unstarted` leads to workflows that were
//! never started ([`starts`]). Both are written before the conditional write.
//!
//! Two conditional writes per placed order, then: the recording, and the change that confirms it.

mod changing;
mod lists;
mod placing;
mod rows;
mod schema;
mod starts;
mod tables;
mod telling;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use souk_mesh::cql::outbox::Outbox;
use souk_mesh::cql::slots::Slots;
use souk_mesh::cql::{self, Session};
use souk_mesh::platform::Platform;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{Append, Filter, OrderStore, Page, Placed, Recording, RequestKey, Unstarted};
use crate::domain::{Entry, Order};
use crate::{Error, NAME};
use tables::Tables;
use telling::Teller;

/// The version of the tables that this build makes.
pub const SCHEMA_VERSION: u32 = schema::MIGRATIONS.len() as u32;
/// Queues for changes; orders share them by their ids.
const TURNS: usize = 256;
/// What a marker calls the placing of an order: this, and the request's digest.
const REQUEST: &str = "request:";

/// Orders in one keyspace.
pub struct CqlStore {
    tables: Arc<Tables>,
    outbox: Outbox,
    turns: Vec<Mutex<()>>,
    unstarted: Mutex<Vec<Slots>>,
}

impl CqlStore {
    /// Connects, brings the tables up to date and starts the outbox.
    ///
    /// # Errors
    /// When the store is away or belongs to a newer build.
    pub async fn open(platform: &Platform, config: &cql::Config) -> Result<CqlStore, Error> {
        let session = Session::open(config, NAME, schema::MIGRATIONS).await?;
        CqlStore::start(platform, session).await
    }

    async fn start(platform: &Platform, session: Session) -> Result<CqlStore, Error> {
        let tables = Arc::new(Tables::open(session.clone()).await?);
        let outbox = Outbox::start(
            &session,
            Arc::clone(&platform.bus),
            &platform.tasks,
            platform.clock.clone(),
            NAME,
            Arc::new(Teller(Arc::clone(&tables))),
        )
        .await?;
        let unstarted = starts::open_slots(&tables, platform.clock.now_ms()).await?;
        let turns = (0..TURNS).map(|_| Mutex::new(())).collect();
        Ok(CqlStore { tables, outbox, turns, unstarted: Mutex::new(unstarted) })
    }

    async fn turn(&self, order_id: Uuid) -> MutexGuard<'_, ()> {
        self.turns[usize::from(order_id.as_bytes()[15]) % TURNS].lock().await
    }
}

fn request_name(request: &[u8; 32]) -> String {
    let digits = request.iter().map(|byte| format!("{byte:02x}"));
    digits.fold(REQUEST.to_owned(), |name, digit| name + &digit)
}

fn request_of_name(name: &str) -> Option<[u8; 32]> {
    let digits = name.strip_prefix(REQUEST)?;
    let byte = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes = (0..32).map(byte).collect::<Option<Vec<u8>>>()?;
    bytes.try_into().ok()
}

#[async_trait]
impl OrderStore for CqlStore {
    async fn placed(&self, key: &RequestKey) -> Result<Option<Placed>, Error> {
        self.find_placed(key).await
    }

    async fn record(&self, recording: Recording) -> Result<Placed, Error> {
        self.place(recording).await
    }

    async fn note_start(&self, order_id: Uuid, answer: Option<Vec<u8>>) -> Result<(), Error> {
        self.note(order_id, answer).await
    }

    async fn unstarted(
        &self,
        before_ms: i64,
        after: Option<Uuid>,
    ) -> Result<Vec<Unstarted>, Error> {
        self.find_unstarted(before_ms, after).await
    }

    async fn get(&self, order_id: Uuid) -> Result<Order, Error> {
        let found = self.tables.head(order_id).await?;
        Ok(found.ok_or(Error::OrderNotFound(order_id))?.order)
    }

    async fn timeline(
        &self,
        order_id: Uuid,
        after_version: u64,
    ) -> Result<(Order, Vec<Entry>), Error> {
        // One read of one partition: the last entry is the order's own version.
        let found = self.tables.whole(order_id, false).await?;
        let found = found.ok_or(Error::OrderNotFound(order_id))?;
        let entries = found.entries.into_iter().map(|kept| kept.entry);
        Ok((found.order, entries.filter(|entry| entry.version > after_version).collect()))
    }

    async fn list(&self, filter: Filter) -> Result<Page, Error> {
        self.find_page(filter).await
    }

    async fn append(&self, append: Append) -> Result<Order, Error> {
        self.change(append).await
    }
}
