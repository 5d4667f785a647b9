//! Where accounts and address books are kept.

mod cql;
mod sqlite;

use async_trait::async_trait;
pub use souk_mesh::idempotency::RequestKey;
use uuid::Uuid;

pub use cql::{Cql, SCHEMA_VERSION as CQL_SCHEMA_VERSION};
pub use sqlite::Sqlite;

use crate::domain::{Address, AddressChange, User};
use crate::error::Error;

/// What became of a registration.
#[derive(Clone, Debug)]
pub enum Registered {
    /// The account was made.
    New(User),
    /// An earlier request with the same id and parameters made this account.
    Before(User),
}

/// A store of accounts. Every write happens entirely or not at all, and is durable when it returns; one that fails with
/// anything but a refusal may stand, and is tried again under the same key. `tests/contract.rs` holds every
/// implementation to this.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Keeps a new account and its `user.registered` event.
    async fn register(
        &self,
        user: User,
        password_hash: String,
        key: Option<RequestKey>,
    ) -> Result<Registered, Error>;

    /// The account of this id.
    async fn user(&self, user_id: Uuid) -> Result<Option<User>, Error>;

    /// The account under this (canonical) e-mail address, and its password hash.
    async fn credentials(&self, email: &str) -> Result<Option<(User, String)>, Error>;

    /// Addresses of a user, oldest first, those after `after`, at most `limit`.
    async fn addresses(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Address>, Error>;

    /// Keeps a new address; the first one becomes the default. A repeat returns the first one's address.
    async fn create_address(
        &self,
        address: Address,
        key: Option<RequestKey>,
    ) -> Result<Address, Error>;

    /// Changes an address; `version` is the one that the change is based on, `None` for any.
    async fn update_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
        change: AddressChange,
        now_ms: i64,
    ) -> Result<Address, Error>;

    /// Removes an address; one that is gone already is no error.
    async fn delete_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
    ) -> Result<(), Error>;
}

/// Refuses a change that is based on another version than the address has.
fn check_version(address: &Address, version: Option<u64>) -> Result<(), Error> {
    match version {
        Some(version) if version != address.version => Err(Error::EtagMismatch),
        _ => Ok(()),
    }
}
