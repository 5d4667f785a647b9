//! Orders in an embedded SQLite file: statements and rows; what is allowed is the domain's to say.

mod rows;
mod schema;

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use souk_mesh::idempotency::Remembered;
use souk_mesh::outbox;
use souk_mesh::store::Store;
use uuid::Uuid;

use super::{
    Append, Filter, MAX_PAGE, MAX_SCAN, MAX_UNSTARTED, OrderStore, Page, Placed, Recording,
    RequestKey, Start, Unstarted,
};
use crate::domain::{Entry, Order, State};
use crate::{Error, events};

/// Orders in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    store: Store,
}

impl SqliteStore {
    /// Opens (and migrates) the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened or belongs to a newer build.
    pub fn open(path: &Path) -> Result<SqliteStore, Error> {
        Ok(SqliteStore { store: Store::open(path, schema::MIGRATIONS)? })
    }

    /// The file itself, for the outbox relay.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

#[async_trait]
impl OrderStore for SqliteStore {
    async fn placed(&self, key: &RequestKey) -> Result<Option<Placed>, Error> {
        let key = key.clone();
        self.store
            .look_up(move |connection| match remembered(connection, &key)? {
                Some(answer) => find_placed(connection, order_id_of(&answer)?).map(Some),
                None => Ok(None),
            })
            .await
    }

    async fn record(&self, recording: Recording) -> Result<Placed, Error> {
        self.store.write(move |connection| insert(connection, recording)).await
    }

    async fn note_start(&self, order_id: Uuid, answer: Option<Vec<u8>>) -> Result<(), Error> {
        self.store
            .write(move |connection| {
                let mut statement = connection.prepare_cached(
                    "UPDATE order_start SET started = 1, answer = ?2,
                         input = CASE WHEN ?2 IS NULL THEN input END
                     WHERE order_id = ?1 AND answer IS NULL",
                )?;
                statement.execute(params![order_id.as_bytes(), answer])?;
                Ok(())
            })
            .await
    }

    async fn unstarted(
        &self,
        before_ms: i64,
        after: Option<Uuid>,
    ) -> Result<Vec<Unstarted>, Error> {
        self.store.read(move |connection| find_unstarted(connection, before_ms, after)).await
    }

    async fn get(&self, order_id: Uuid) -> Result<Order, Error> {
        self.store.look_up(move |connection| rows::find_order(connection, order_id)).await
    }

    async fn timeline(
        &self,
        order_id: Uuid,
        after_version: u64,
    ) -> Result<(Order, Vec<Entry>), Error> {
        self.store
            .read(move |connection| {
                // A read sees one snapshot: the last entry is the order's own version.
                let order = rows::find_order(connection, order_id)?;
                let entries = rows::find_entries(connection, order_id, after_version)?;
                Ok((order, entries))
            })
            .await
    }

    async fn list(&self, filter: Filter) -> Result<Page, Error> {
        self.store.read(move |connection| find_page(connection, &filter)).await
    }

    async fn append(&self, append: Append) -> Result<Order, Error> {
        self.store.write(move |connection| apply(connection, append)).await
    }
}

fn insert(connection: &Connection, recording: Recording) -> Result<Placed, Error> {
    let Recording { order, input, key, trace_parent } = recording;
    if let Some(answer) = remembered(connection, &key)? {
        return find_placed(connection, order_id_of(&answer)?);
    }
    let entry = order.first_entry();
    rows::insert_order(connection, &order)?;
    rows::insert_entry(connection, order.id, &entry)?;
    insert_start(connection, &order, &input)?;
    key.remember(connection, order.id.as_bytes(), order.created_at_ms)?;
    outbox::put(connection, &events::of(&order, &entry, None, trace_parent))?;
    Ok(Placed { order, start: Start::Input(input) })
}

/// The arbiter. The store has one writer, so what it reads here is what it changes.
fn apply(connection: &Connection, append: Append) -> Result<Order, Error> {
    if let Some(answer) = remembered(connection, &append.key)? {
        return find_repeat(connection, &append, &answer);
    }
    let before = rows::find_order(connection, append.order_id)?;
    let order = match append.judge(&before)? {
        None => before,
        Some((order, entry)) => {
            rows::update_order(connection, &order)?;
            rows::insert_entry(connection, order.id, &entry)?;
            let previous = Some(before.state);
            let event = events::of(&order, &entry, previous, append.trace_parent);
            outbox::put(connection, &event)?;
            order
        }
    };
    let answer = answer_of(order.id, order.version);
    append.key.remember(connection, &answer, append.now_ms)?;
    Ok(order)
}

/// The remembered answer of an append: the order's id, and the version that it led to.
fn answer_of(order_id: Uuid, version: u64) -> Vec<u8> {
    [order_id.as_bytes().as_slice(), &version.to_be_bytes()].concat()
}

fn find_repeat(connection: &Connection, append: &Append, answer: &[u8]) -> Result<Order, Error> {
    let order = rows::find_order(connection, order_id_of(answer)?)?;
    let version = answer
        .get(16..)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or_else(|| Error::corrupt("request answer", "no version"))?;
    let entry = rows::find_entries(connection, order.id, version.saturating_sub(1))?
        .into_iter()
        .next()
        .ok_or_else(|| Error::corrupt("request answer", "no such version"))?;
    append.repeat(order, &entry)
}

fn order_id_of(answer: &[u8]) -> Result<Uuid, Error> {
    let bytes = answer.get(..16).unwrap_or_default();
    Uuid::from_slice(bytes).map_err(|problem| Error::corrupt("request answer", problem))
}

fn remembered(connection: &Connection, key: &RequestKey) -> Result<Option<Vec<u8>>, Error> {
    match key.check(connection)? {
        Remembered::New => Ok(None),
        Remembered::Same(answer) => Ok(Some(answer)),
        Remembered::Conflict => Err(Error::RequestIdReused),
    }
}

fn insert_start(connection: &Connection, order: &Order, input: &[u8]) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO order_start (order_id, created_at_ms, started, input) VALUES (?1, ?2, 0, ?3)",
    )?;
    statement.execute(params![order.id.as_bytes(), order.created_at_ms, input])?;
    Ok(())
}

fn find_placed(connection: &Connection, order_id: Uuid) -> Result<Placed, Error> {
    let order = rows::find_order(connection, order_id)?;
    let mut statement =
        connection.prepare_cached("SELECT input, answer FROM order_start WHERE order_id = ?1")?;
    let start = statement
        .query_row([order_id.as_bytes()], |row| {
            let answer: Option<Vec<u8>> = row.get(1)?;
            let input: Option<Vec<u8>> = row.get(0)?;
            Ok(answer.map(Start::Answer).or(input.map(Start::Input)))
        })
        .optional()?
        .flatten()
        .ok_or_else(|| Error::corrupt("order start", "is missing"))?;
    Ok(Placed { order, start })
}

fn find_unstarted(
    connection: &Connection,
    before_ms: i64,
    after: Option<Uuid>,
) -> Result<Vec<Unstarted>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT order_start.order_id, order_start.input FROM order_start
         JOIN orders ON orders.order_id = order_start.order_id
         WHERE order_start.started = 0 AND order_start.order_id > ?1
             AND order_start.created_at_ms < ?2 AND orders.state = ?3
             AND order_start.input IS NOT NULL
         ORDER BY order_start.order_id LIMIT ?4",
    )?;
    let after = after.unwrap_or(Uuid::nil());
    let pending = State::Pending.number();
    let rows = statement
        .query_map(params![after.as_bytes(), before_ms, pending, MAX_UNSTARTED], |row| {
            Ok(Unstarted { order_id: Uuid::from_bytes(row.get(0)?), input: row.get(1)? })
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One page. Orders have no index by state, which every change would have to pay for: a page in one
/// state is looked for among the next [`MAX_SCAN`] orders, and may be short.
fn find_page(connection: &Connection, filter: &Filter) -> Result<Page, Error> {
    // No bound means: before the greatest id there can be.
    let before = filter.before.unwrap_or(Uuid::max());
    let floor = match filter.state {
        Some(_) => find_floor(connection, filter.user_id, before)?,
        None => None,
    };
    let limit = filter.limit.min(MAX_PAGE);
    let columns = rows::ORDER_COLUMNS;
    let owned = if filter.user_id.is_some() { "user_id = ?5 AND" } else { "?5 IS NULL AND" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM orders
         WHERE {owned} order_id < ?1 AND order_id >= ?2 AND (?3 IS NULL OR state = ?3)
         ORDER BY order_id DESC LIMIT ?4"
    ))?;
    let found = statement
        .query_map(
            params![
                before.as_bytes(),
                floor.unwrap_or(Uuid::nil()).as_bytes(),
                filter.state.map(State::number),
                limit,
                filter.user_id.as_ref().map(Uuid::as_bytes),
            ],
            |row| Ok(rows::read_order(row)),
        )?
        .collect::<Result<Vec<_>, _>>()?;
    let orders = found.into_iter().collect::<Result<Vec<Order>, Error>>()?;
    let next = match orders.last() {
        Some(last) if orders.len() == limit as usize => Some(last.id),
        _ => floor,
    };
    Ok(Page { orders, next })
}

/// The oldest of the next [`MAX_SCAN`] orders, if there are that many.
fn find_floor(
    connection: &Connection,
    user_id: Option<Uuid>,
    before: Uuid,
) -> Result<Option<Uuid>, Error> {
    let owned = if user_id.is_some() { "user_id = ?3 AND" } else { "?3 IS NULL AND" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT order_id FROM orders WHERE {owned} order_id < ?1
         ORDER BY order_id DESC LIMIT 1 OFFSET ?2"
    ))?;
    let user_id = user_id.as_ref().map(Uuid::as_bytes);
    let floor = statement
        .query_row(params![before.as_bytes(), MAX_SCAN - 1, user_id], |row| row.get(0))
        .optional()?;
    Ok(floor.map(Uuid::from_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let files = std::sync::atomic::AtomicU32::new(0);
        contract::all(async || {
            let number = files.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            SqliteStore::open(&folder.path().join(format!("{number}.db"))).unwrap()
        })
        .await;
    }
}
