//! The payment provider as this service needs it, and nothing else of the shop knows it.
//!
//! Every call that changes something carries an idempotency key: the same key with the same
//! parameters has one effect and one answer, for as long as [`KEY_SAFE_MS`] at least.

mod http;

use async_trait::async_trait;
use souk_mesh::money::Money;

use crate::domain::Snapshot;
pub use http::HttpProvider;

/// How long a key can be trusted to be remembered, in milliseconds. Stripe keeps keys for 24 hours
/// or more; an hour is left for clocks that differ.
pub const KEY_SAFE_MS: i64 = 23 * 60 * 60 * 1_000;

/// What the provider is asked to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// Kept with the payment, so that it can be found by it.
    pub order_id: String,
    /// Kept with the payment, so that it can be found by it.
    pub payment_id: String,
    /// What is to be paid.
    pub amount: Money,
    /// The name of the provider's token.
    pub token: String,
}

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody knows whether it was done: no answer in time, a lost connection, a failure on their
    /// side. The same call with the same key may be tried again.
    #[error("the provider's answer is unknown: {0}")]
    Unknown(String),
    /// A definite no; nothing was done.
    #[error("the provider refused ({code}): {message}")]
    Refused {
        /// The provider's code.
        code: String,
        /// For people.
        message: String,
    },
}

/// A provider of payments with separate authorization and capture.
///
/// A card that is declined is an answer ([`crate::domain::Observed::Declined`]), not an error.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Makes a payment; no money moves.
    async fn create(&self, key: &str, intent: &NewIntent) -> Result<Snapshot, Error>;
    /// Asks the bank to set the money aside.
    async fn confirm(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error>;
    /// Takes the money that was set aside.
    async fn capture(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error>;
    /// Gives up a payment of which nothing was taken.
    async fn cancel(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error>;
    /// Gives that many minor units back; answers how many were given back in all.
    async fn refund(&self, key: &str, provider_id: &str, minor: i64) -> Result<i64, Error>;
    /// How a payment stands now.
    async fn get(&self, provider_id: &str) -> Result<Snapshot, Error>;
    /// The payment that was made for that payment id of ours, if one was.
    async fn find(&self, payment_id: &str) -> Result<Option<Snapshot>, Error>;
}
