//! Where carts are kept.

mod redis;
mod sqlite;

use async_trait::async_trait;
pub use souk_mesh::idempotency::RequestKey;
use uuid::Uuid;

pub use redis::{MAX_REMEMBERED, Redis};
pub use sqlite::Sqlite;

use crate::domain::{Cart, Change};
use crate::error::Error;

/// A change, and when it is made.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Whose cart.
    pub user_id: Uuid,
    /// What to change.
    pub change: Change,
    /// Recognizes a repeat; `None` when the caller sent no request id.
    pub key: Option<RequestKey>,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// How long the cart lives from now on, in milliseconds.
    pub lifetime_ms: i64,
}

/// A store of carts. Every write is atomic per cart and durable when it returns; one that fails with anything but a
/// refusal may stand or not, and is tried again under the same [`Edit::key`]. `tests/contract` holds every
/// implementation to this.
#[async_trait]
pub trait CartStore: Send + Sync + 'static {
    /// The user's cart at `now_ms`; an empty one where there is none.
    async fn cart(&self, user_id: Uuid, now_ms: i64) -> Result<Cart, Error>;

    /// Changes a cart and returns it as it is afterwards. A repeat changes nothing, and returns the cart as it is by
    /// then; a refused edit is not remembered.
    async fn edit(&self, edit: Edit) -> Result<Cart, Error>;

    /// Forgets carts that died before `now_ms`, at most `limit`; says how many.
    async fn sweep(&self, now_ms: i64, limit: usize) -> Result<usize, Error>;
}
