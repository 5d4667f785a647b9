//! The catalog in one SQLite file. The single writer makes check and update one step; the CHECKs of
//! the schema are a second wall against overselling.

mod inventory;
mod products;
mod remembered;
mod reservations;
mod rows;

use std::path::Path;

use async_trait::async_trait;
use rusqlite::Connection;
use souk_mesh::context::CallContext;
use souk_mesh::outbox;
use souk_mesh::store::{Migration, Store as Database};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::{NameCursor, ProductFilter, RequestKey, Store};
use crate::domain::{
    Category, Hold, Inventory, Listed, NewProduct, ProductPatch, Release, Reservation,
};
use crate::error::Error;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "catalog", sql: include_str!("sqlite/schema.sql") }];

/// The catalog's tables.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
}

/// What every change needs: the writer's connection, the time, and the trace that asked for it.
struct Write<'a> {
    connection: &'a Connection,
    now_ms: i64,
    trace_parent: &'a str,
}

impl Write<'_> {
    /// Sends an event with this change.
    fn emit(&self, mut event: Event) -> Result<(), Error> {
        event.trace_parent = self.trace_parent.to_owned();
        Ok(outbox::put(self.connection, &event)?)
    }
}

impl SqliteStore {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<SqliteStore, Error> {
        Ok(SqliteStore { database: Database::open(path, MIGRATIONS)? })
    }

    /// The database, for what moves its outbox to the bus.
    pub fn database(&self) -> &Database {
        &self.database
    }

    async fn write<T: Send + 'static>(
        &self,
        now_ms: i64,
        work: impl FnOnce(&Write<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let trace = CallContext::current().map(|context| context.trace);
        let work = move |connection: &Connection| {
            let trace_parent = trace.map_or_else(String::new, |trace| trace.to_string());
            work(&Write { connection, now_ms, trace_parent: &trace_parent })
        };
        self.database.write(work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_category(
        &self,
        category: Category,
        request: Option<RequestKey>,
    ) -> Result<Category, Error> {
        let now_ms = category.created_at_ms;
        let work = move |write: &Write<'_>| {
            remembered::once(write, request.as_ref(), || products::create_category(write, category))
        };
        self.write(now_ms, work).await
    }

    async fn category(&self, id: Uuid) -> Result<Category, Error> {
        self.database.look_up(move |connection| products::category(connection, id)).await
    }

    async fn list_categories(
        &self,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Category>, Error> {
        self.database.read(move |c| products::list_categories(c, after.as_ref(), limit)).await
    }

    async fn create_product(
        &self,
        product: NewProduct,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        let work = move |write: &Write<'_>| {
            remembered::once(write, Some(&request), || products::create(write, product))
        };
        self.write(now_ms, work).await
    }

    async fn products(&self, ids: Vec<Uuid>) -> Result<Vec<Listed>, Error> {
        self.database.look_up(move |connection| products::find_all(connection, &ids)).await
    }

    async fn list_products(
        &self,
        filter: ProductFilter,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.database.read(move |c| products::list(c, filter, after.as_ref(), limit)).await
    }

    async fn update_product(
        &self,
        id: Uuid,
        patch: ProductPatch,
        etag: Option<String>,
        request: Option<RequestKey>,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        let work = move |write: &Write<'_>| {
            let update = || products::update(write, id, patch, etag.as_deref());
            remembered::once(write, request.as_ref(), update)
        };
        self.write(now_ms, work).await
    }

    async fn inventory(&self, product_id: Uuid) -> Result<Inventory, Error> {
        self.database.look_up(move |connection| inventory::read(connection, product_id)).await
    }

    async fn adjust_inventory(
        &self,
        product_id: Uuid,
        delta: i64,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Inventory, Error> {
        let work = move |write: &Write<'_>| {
            let adjust = || inventory::adjust(write, product_id, delta);
            remembered::once(write, Some(&request), adjust)
        };
        self.write(now_ms, work).await
    }

    async fn reserve(&self, hold: Hold, now_ms: i64) -> Result<Reservation, Error> {
        self.write(now_ms, move |write| reservations::reserve(write, hold)).await
    }

    async fn extend(&self, id: Uuid, hold_ms: i64, now_ms: i64) -> Result<Reservation, Error> {
        self.write(now_ms, move |write| reservations::extend(write, id, hold_ms)).await
    }

    async fn commit(
        &self,
        id: Uuid,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        self.write(now_ms, move |write| reservations::commit(write, id, not_after_ms)).await
    }

    async fn release(&self, release: Release, now_ms: i64) -> Result<Reservation, Error> {
        self.write(now_ms, move |write| reservations::release(write, &release)).await
    }

    async fn expire_holds(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.write(now_ms, move |write| reservations::expire_holds(write, limit)).await
    }

    async fn forget_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.write(now_ms, move |write| reservations::forget_tombstones(write, limit)).await
    }
}
