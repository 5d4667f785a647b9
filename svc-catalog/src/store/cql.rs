//! The catalog on ScyllaDB or Cassandra, for several processes at once.
//!
//! All that must change together is one partition: a product with its stock, its reservations, the answers of its
//! requests and its events ([`partition`]). Everything that waits on a product is decided together and written as one
//! conditional write ([`group`], [`queue`]); what spans products is told in [`steps`], what need not be read
//! in [`memory`], and why in
//! docs/adr ("Stock on CQL").

mod categories;
mod claims;
mod draft;
mod due;
mod group;
mod intents;
mod listing;
mod memory;
mod operation;
mod partition;
mod products;
mod queue;
mod reservations;
mod schema;
mod steps;
mod told;

use std::sync::Arc;

use async_trait::async_trait;
use souk_mesh::cql::outbox::Outbox;
use souk_mesh::cql::{Config, Error as CqlError, Session};
use souk_mesh::platform::Platform;
use uuid::Uuid;

use super::{NameCursor, ProductFilter, RequestKey, Store};
use crate::domain::{
    Category, Hold, Inventory, Listed, NewProduct, ProductPatch, Release, Reservation,
};
use crate::error::Error;
use categories::Categories;
use claims::Claims;
use due::Due;
use group::Groups;
use intents::Intents;
use listing::Listing;
use memory::Memory;
use partition::Partitions;
use products::Products;
use reservations::Reservations;
use steps::Steps;
use told::Told;

/// The version of the tables that this build makes.
pub const SCHEMA_VERSION: u32 = schema::MIGRATIONS.len() as u32;
/// Rows that one call reads side by side.
const READ_AT_ONCE: usize = 32;
/// The reason in the event of a hold that the sweeper ended.
const EXPIRED: &str = "expired";

/// The catalog's tables.
pub struct CqlStore {
    categories: Arc<Categories>,
    products: Products,
    reservations: Reservations,
}

impl CqlStore {
    /// Connects, makes the keyspace and its tables where they are missing, and starts to publish events on the
    /// platform's bus.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub async fn open(config: &Config, platform: &Platform) -> Result<CqlStore, Error> {
        let session = Session::open(config, crate::NAME, schema::MIGRATIONS).await?;
        Ok(CqlStore::on(&session, platform).await?)
    }

    async fn on(session: &Session, platform: &Platform) -> Result<CqlStore, CqlError> {
        let Platform { bus, tasks, clock, .. } = platform;
        let (bus, clock) = (Arc::clone(bus), Arc::clone(clock));
        let told = Arc::new(Told::prepare(session).await?);
        let outbox = Outbox::start(session, bus, tasks, clock, crate::NAME, told).await?;
        let claims = Arc::new(Claims::prepare(session).await?);
        let listing = Arc::new(Listing::prepare(session).await?);
        let categories = Categories::prepare(session, Arc::clone(&claims), Arc::clone(&listing));
        let categories = Arc::new(categories.await?);
        let partitions = Arc::new(Partitions::prepare(session, outbox).await?);
        let memory = Arc::<Memory>::default();
        let (kept, named) = (Arc::clone(&partitions), Arc::clone(&categories));
        let groups = Groups::start(kept, named, Arc::clone(&memory), tasks);
        let reservations = Reservations {
            steps: Steps { groups: groups.clone() },
            memory,
            intents: Intents::prepare(session).await?,
            due: Due::prepare(session).await?,
        };
        let products =
            Products { groups, partitions, categories: Arc::clone(&categories), claims, listing };
        Ok(CqlStore { categories, products, reservations })
    }
}

#[async_trait]
impl Store for CqlStore {
    async fn create_category(
        &self,
        category: Category,
        request: Option<RequestKey>,
    ) -> Result<Category, Error> {
        self.categories.create(category, request).await
    }

    async fn category(&self, id: Uuid) -> Result<Category, Error> {
        self.categories.category(id).await
    }

    async fn list_categories(
        &self,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Category>, Error> {
        self.categories.list(after, limit).await
    }

    async fn create_product(
        &self,
        product: NewProduct,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        self.products.create(product, request, now_ms).await
    }

    async fn products(&self, ids: Vec<Uuid>) -> Result<Vec<Listed>, Error> {
        self.products.find(ids).await
    }

    async fn list_products(
        &self,
        filter: ProductFilter,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.products.list(filter, after, limit).await
    }

    async fn update_product(
        &self,
        id: Uuid,
        patch: ProductPatch,
        etag: Option<String>,
        request: Option<RequestKey>,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        self.products.update(id, patch, etag, request, now_ms).await
    }

    async fn inventory(&self, product_id: Uuid) -> Result<Inventory, Error> {
        self.products.inventory(product_id).await
    }

    async fn adjust_inventory(
        &self,
        product_id: Uuid,
        delta: i64,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Inventory, Error> {
        self.products.adjust(product_id, delta, request, now_ms).await
    }

    async fn reserve(&self, hold: Hold, now_ms: i64) -> Result<Reservation, Error> {
        self.reservations.reserve(hold, now_ms).await
    }

    async fn extend(&self, id: Uuid, hold_ms: i64, now_ms: i64) -> Result<Reservation, Error> {
        self.reservations.extend(id, hold_ms, now_ms).await
    }

    async fn commit(
        &self,
        id: Uuid,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        self.reservations.commit(id, not_after_ms, now_ms).await
    }

    async fn release(&self, release: Release, now_ms: i64) -> Result<Reservation, Error> {
        self.reservations.release(release, now_ms).await
    }

    async fn expire_holds(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.reservations.expire(now_ms, limit).await
    }

    async fn forget_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.reservations.forget(now_ms, limit).await
    }
}
