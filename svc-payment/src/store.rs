//! What svc-payment keeps: payments, refunds, tombstones of payments undone before they were made,
//! and the request ids that it served. A payment's version decides between writers.

mod cql;
mod rows;
mod sqlite;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use crate::domain::{Change, NewRefund, Payment, Refund, State};
use crate::error::Error;
pub use cql::CqlStore;
pub use cql::SCHEMA_VERSION as CQL_SCHEMA_VERSION;
pub use sqlite::SqliteStore;

/// A payment to put on record before the provider is asked.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// As it is to be, in state `opening`.
    pub payment: Payment,
    /// A digest of the caller's scope, the method and the request id.
    pub request_key: Uuid,
    /// A digest of the request's parameters.
    pub fingerprint: [u8; 32],
    /// Refused when the clock is past it (unix milliseconds).
    pub not_after_ms: Option<i64>,
}

/// What became of a [`NewPayment`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "looked at once and gone")]
pub enum Opened {
    /// It is on record.
    New,
    /// It was on record before, with the same parameters; this is how it stands.
    Known(Payment),
    /// The payment id or the request id was used with other parameters.
    Reused,
    /// It was undone before it came.
    Undone,
    /// It came after its `not_after`.
    TooLate,
}

/// What is known under a payment id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "looked at once and gone")]
pub enum Found {
    /// A payment.
    Payment(Payment),
    /// A tombstone: undone before it was made.
    Tombstone,
    /// Nothing.
    Nothing,
}

/// A payment undone before it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The payment that must never be made.
    pub payment_id: Uuid,
    /// Unix milliseconds until which it must be kept; for good when `None`.
    pub keep_until_ms: Option<i64>,
    /// Unix milliseconds.
    pub created_ms: i64,
}

/// A recorded refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRefund {
    /// What was asked for.
    pub asked: NewRefund,
    /// The answer that it got, encoded; `None` while its outcome is unknown.
    pub answer: Option<Vec<u8>>,
}

/// A payment's place in the order of arrival: lists go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Grows with the arrivals; what it counts is the store's own affair.
    pub at: i64,
    /// Decides between payments of the same moment.
    pub tie: Uuid,
}

/// Some payments of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub payments: Vec<Payment>,
    /// Where the list goes on; `None` at its end. A page may be short, or empty, and the list still
    /// go on: a store looks at so many payments at a time.
    pub next: Option<Place>,
}

/// Which payments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this order.
    pub order_id: Option<Uuid>,
    /// Of this user.
    pub user_id: Option<Uuid>,
    /// In one of these states; all when empty.
    pub states: Vec<State>,
}

/// Keeps payments; every method is durable when it answers.
#[async_trait]
pub trait PaymentStore: Send + Sync + 'static {
    /// Puts a payment on record, unless it is known, undone or late at `now_ms`.
    async fn open(&self, new: NewPayment, now_ms: i64) -> Result<Opened, Error>;
    /// What is known under a payment id, and the payment that the request was first used for.
    async fn find(
        &self,
        payment_id: Uuid,
        request_key: Option<Uuid>,
    ) -> Result<(Found, Option<Uuid>), Error>;
    /// Saves a change together with its events, and remembers the request that made it.
    /// [`Error::Stale`] when the payment has another version than the change starts from. A note
    /// ([`Change::is_note`]) is never stale: it is passed over where the payment is further along.
    async fn save(
        &self,
        change: Change,
        request_key: Option<Uuid>,
        events: Vec<Event>,
    ) -> Result<(), Error>;
    /// Leaves a tombstone unless the payment exists; answers what is there then.
    async fn bury(&self, tombstone: Tombstone, request_key: Uuid) -> Result<Found, Error>;
    /// Forgets tombstones that need not be kept after `now_ms`, at most `limit`; says how many.
    async fn sweep_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error>;
    /// Puts a refund on record before the provider is asked; answers the known one when its request
    /// was used before. Refund ids are ordered by time.
    async fn begin_refund(&self, refund: NewRefund) -> Result<Option<KnownRefund>, Error>;
    /// The refund that a request asked for.
    async fn refund_of(&self, request_key: Uuid) -> Result<Option<KnownRefund>, Error>;
    /// Saves the payment's change, and with it the answer that the refund gets. [`Error::Stale`]
    /// when the payment has another version, or the refund was answered or taken back meanwhile.
    async fn finish_refund(
        &self,
        change: Change,
        refund: &NewRefund,
        answer: Vec<u8>,
        events: Vec<Event>,
    ) -> Result<(), Error>;
    /// Takes back a refund that the provider refused; one that was answered stays.
    async fn drop_refund(&self, refund: &NewRefund) -> Result<(), Error>;
    /// Refunds of unknown outcome: of one payment, or of all (at most `limit`), oldest first.
    async fn unfinished_refunds(
        &self,
        payment_id: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<NewRefund>, Error>;
    /// What was given back of a payment, oldest first.
    async fn refunds(&self, payment_id: Uuid) -> Result<Vec<Refund>, Error>;
    /// Payments, newest first: those before the place `before` only, at most `limit`.
    async fn list(
        &self,
        filter: Filter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Page, Error>;
}
