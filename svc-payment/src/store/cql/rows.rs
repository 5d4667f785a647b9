//! Rows as they are read, and what they say in the words of the domain.

use scylla::DeserializeRow;
use souk_mesh::cql;
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::domain::{NewRefund, Payment, Refund, State};
use crate::error::Error;
use crate::store::{Found, KnownRefund};

/// The static columns of a payment's partition.
#[derive(Clone, DeserializeRow)]
pub struct HeadRow {
    payment_id: Uuid,
    version: Option<i64>,
    writer: Option<Uuid>,
    fingerprint: Option<Vec<u8>>,
    order_id: Option<Uuid>,
    user_id: Option<Uuid>,
    state: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    captured: Option<i64>,
    refunded: Option<i64>,
    payment_token: Option<String>,
    provider_id: Option<String>,
    challenge_url: Option<String>,
    decline_code: Option<String>,
    created_ms: Option<i64>,
    updated_ms: Option<i64>,
    noted_state: Option<String>,
    noted_provider_id: Option<String>,
    noted_ms: Option<i64>,
}

impl cql::Row<Uuid> for HeadRow {
    fn key(&self) -> Uuid {
        self.payment_id
    }
}

/// What a payment's partition says of it.
pub struct Head {
    /// What is known under its id.
    pub found: Found,
    /// The stored version; 0 of a tombstone, -1 where there is nothing.
    pub version: i64,
    /// The mark of the last conditional write.
    pub writer: Option<Uuid>,
    /// The digest of the request that made it; empty where it was not made.
    pub fingerprint: Vec<u8>,
}

impl Head {
    /// Of a row, if there is one.
    pub fn of(payment_id: Uuid, row: Option<HeadRow>) -> Result<Head, Error> {
        let nothing =
            Head { found: Found::Nothing, version: -1, writer: None, fingerprint: Vec::new() };
        // A note may have come to a payment that never was: it says nothing by itself.
        let Some((row, version)) = row.and_then(|row| row.version.map(|version| (row, version)))
        else {
            return Ok(nothing);
        };
        let mut row = row;
        let writer = row.writer;
        let fingerprint = row.fingerprint.take().unwrap_or_default();
        let found = match version {
            0 => Found::Tombstone,
            _ => Found::Payment(payment(payment_id, version, row)?),
        };
        Ok(Head { found, version, writer, fingerprint })
    }
}

fn payment(payment_id: Uuid, version: i64, row: HeadRow) -> Result<Payment, Error> {
    let mut payment = Payment {
        payment_id,
        order_id: there(row.order_id, "order_id")?,
        user_id: row.user_id,
        state: state(&there(row.state, "state")?)?,
        amount: money(there(row.amount, "amount")?, &there(row.currency, "currency")?)?,
        captured: row.captured.unwrap_or(0),
        refunded: row.refunded.unwrap_or(0),
        token: row.payment_token.unwrap_or_default(),
        provider_id: row.provider_id,
        challenge_url: row.challenge_url,
        decline_code: row.decline_code,
        version,
        created_ms: there(row.created_ms, "created_ms")?,
        updated_ms: there(row.updated_ms, "updated_ms")?,
    };
    // A note counts until the payment is further along by a change.
    if let (State::Opening, Some(noted)) = (payment.state, row.noted_state) {
        payment.state = state(&noted)?;
        payment.provider_id = row.noted_provider_id;
        payment.updated_ms = payment.updated_ms.max(row.noted_ms.unwrap_or(0));
    }
    Ok(payment)
}

/// A refund's row.
#[derive(DeserializeRow)]
pub struct RefundRow {
    item: Vec<u8>,
    refund_id: Option<Uuid>,
    refund_fingerprint: Option<Vec<u8>>,
    refund_amount: Option<i64>,
    refund_currency: Option<String>,
    refund_reason: Option<String>,
    refund_created_ms: Option<i64>,
    answer: Option<Vec<u8>>,
}

impl RefundRow {
    /// The refund that it records.
    pub fn known(self, payment_id: Uuid) -> Result<KnownRefund, Error> {
        let fingerprint = there(self.refund_fingerprint, "refund_fingerprint")?;
        let currency = there(self.refund_currency, "refund_currency")?;
        let refund = Refund {
            refund_id: there(self.refund_id, "refund_id")?,
            payment_id,
            amount: money(there(self.refund_amount, "refund_amount")?, &currency)?,
            reason: self.refund_reason.unwrap_or_default(),
            created_ms: there(self.refund_created_ms, "refund_created_ms")?,
        };
        let asked = NewRefund {
            refund,
            request_key: Uuid::from_slice(&self.item).map_err(damaged)?,
            fingerprint: fingerprint.try_into().map_err(|_| damaged("a fingerprint's length"))?,
        };
        Ok(KnownRefund { asked, answer: self.answer })
    }
}

fn state(name: &str) -> Result<State, Error> {
    State::of_name(name).ok_or_else(|| damaged(format!("{name:?} is not a state of a payment")))
}

fn money(minor: i64, currency: &str) -> Result<Money, Error> {
    Ok(Money { minor, currency: Currency::from_code(currency).map_err(damaged)? })
}

/// A column that every such row has.
fn there<T>(value: Option<T>, column: &str) -> Result<T, Error> {
    value.ok_or_else(|| damaged(format!("{column} is missing")))
}

/// The tables hold what this build never wrote.
pub fn damaged(problem: impl std::fmt::Display) -> Error {
    Error::Cql(cql::Error::form(problem))
}
