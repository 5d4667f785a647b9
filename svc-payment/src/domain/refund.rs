//! Money given back, and the bound on it.

use souk_mesh::money::Money;
use uuid::Uuid;

/// Money given back, or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Chosen here; the provider's idempotency key follows from it.
    pub refund_id: Uuid,
    /// Of which payment.
    pub payment_id: Uuid,
    /// How much; more than nothing.
    pub amount: Money,
    /// Why, for the record.
    pub reason: String,
    /// Unix milliseconds.
    pub created_ms: i64,
}

/// A refund that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// What is to be recorded.
    pub refund: Refund,
    /// A digest of the caller's scope and request id: the same one gives nothing more.
    pub request_key: Uuid,
    /// A digest of the request's parameters.
    pub fingerprint: [u8; 32],
}
