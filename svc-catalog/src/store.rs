//! What the catalog asks of a store. Every implementation passes the contract in
//! tests/contract.
//!
//! Each method that changes something is one atomic step: its check, its change, its events and
//! the answer kept for its request id are durable together, or nothing of it is.

mod answers;
pub mod cql;
mod refusals;
pub mod sqlite;
mod states;

use async_trait::async_trait;
pub use souk_mesh::idempotency::RequestKey;
use uuid::Uuid;

use crate::domain::{
    Category, Hold, Inventory, Listed, NewProduct, ProductPatch, Release, Reservation,
};
use crate::error::Error;

/// The last row of a page in order of name: the next page begins after it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NameCursor {
    /// Its name.
    pub name: String,
    /// Its id, where names are equal.
    pub id: Uuid,
}

/// Which products to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// Only of this category.
    pub category_id: Option<Uuid>,
    /// Archived ones too.
    pub include_archived: bool,
}

/// Products, categories and stock, kept.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Adds a category. [`Error::SlugTaken`], [`Error::IdTaken`]; [`Error::CategoryNotFound`] of its parent.
    async fn create_category(
        &self,
        category: Category,
        request: Option<RequestKey>,
    ) -> Result<Category, Error>;

    /// One category. [`Error::CategoryNotFound`].
    async fn category(&self, id: Uuid) -> Result<Category, Error>;

    /// Categories in order of name, at most `limit`.
    async fn list_categories(
        &self,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Category>, Error>;

    /// Adds a product with its stock. [`Error::SkuTaken`], [`Error::IdTaken`], [`Error::CategoryNotFound`].
    async fn create_product(
        &self,
        product: NewProduct,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Listed, Error>;

    /// Those of `ids` that are known, in that order.
    async fn products(&self, ids: Vec<Uuid>) -> Result<Vec<Listed>, Error>;

    /// Products in order of name, at most `limit`.
    async fn list_products(
        &self,
        filter: ProductFilter,
        after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;

    /// Changes a product, if `etag` (when given) names its version. [`Error::ProductNotFound`],
    /// [`Error::EtagMismatch`], [`Error::CategoryNotFound`].
    async fn update_product(
        &self,
        id: Uuid,
        patch: ProductPatch,
        etag: Option<String>,
        request: Option<RequestKey>,
        now_ms: i64,
    ) -> Result<Listed, Error>;

    /// The stock of one product. [`Error::ProductNotFound`].
    async fn inventory(&self, product_id: Uuid) -> Result<Inventory, Error>;

    /// Adds `delta` pieces, or takes them when negative. [`Error::ProductNotFound`],
    /// [`Error::StockNegative`], [`Error::TooManyOnHand`].
    async fn adjust_inventory(
        &self,
        product_id: Uuid,
        delta: i64,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Inventory, Error>;

    /// Holds all lines or none. [`Error::SoldOut`], [`Error::ProductNotFound`], [`Error::TooLate`],
    /// [`Error::Undone`], [`Error::ReservationReused`]. A repeat gets the reservation as it stands.
    async fn reserve(&self, hold: Hold, now_ms: i64) -> Result<Reservation, Error>;

    /// Holds for `hold_ms` from now at least. [`Error::ReservationNotFound`], [`Error::Undone`],
    /// [`Error::ReservationExpired`], [`Error::ReservationCommitted`].
    async fn extend(&self, id: Uuid, hold_ms: i64, now_ms: i64) -> Result<Reservation, Error>;

    /// Takes the pieces out of the stock; those of an expired hold are had again, all or none.
    /// [`Error::ReservationNotFound`], [`Error::Undone`], [`Error::ReservationExpired`], [`Error::TooLate`].
    async fn commit(
        &self,
        id: Uuid,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Reservation, Error>;

    /// Undoes a reservation from any state, also from none.
    async fn release(&self, release: Release, now_ms: i64) -> Result<Reservation, Error>;

    /// Ends at most `limit` holds whose time was over at `now_ms`; says how many.
    async fn expire_holds(&self, now_ms: i64, limit: usize) -> Result<usize, Error>;

    /// Forgets at most `limit` tombstones that need not be kept at `now_ms`; says how many.
    async fn forget_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error>;
}
