//! Statements and rows; no decisions.

mod payment;
mod refund;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};
use souk_mesh::money::{Currency, Money};
use souk_mesh::store::Migration;
use uuid::Uuid;

use super::Tombstone;
pub use payment::{insert_payment, note, payment, payments, update_payment};
pub use refund::{
    delete_refund, finish_refund, insert_refund, refund_of, refunds, unfinished_refunds,
};

/// The schema. Payments and refunds are rows in the order of their arrival and are never deleted:
/// they are the books. UUIDs are 16 bytes, amounts minor units, times unix milliseconds.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "payments, refunds, tombstones, requests",
    sql: "
        CREATE TABLE payment (
            arrival INTEGER PRIMARY KEY,
            payment_id BLOB NOT NULL UNIQUE,
            fingerprint BLOB NOT NULL,
            order_id BLOB NOT NULL,
            user_id BLOB,
            state TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            currency TEXT NOT NULL,
            captured INTEGER NOT NULL CHECK (captured BETWEEN 0 AND amount),
            refunded INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND captured),
            token TEXT NOT NULL,
            provider_id TEXT,
            challenge_url TEXT,
            decline_code TEXT,
            version INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX payment_by_order ON payment (order_id);
        CREATE INDEX payment_by_user ON payment (user_id) WHERE user_id IS NOT NULL;

        CREATE TABLE refund (
            arrival INTEGER PRIMARY KEY,
            refund_id BLOB NOT NULL UNIQUE,
            payment_id BLOB NOT NULL REFERENCES payment (payment_id),
            request_key BLOB NOT NULL UNIQUE,
            fingerprint BLOB NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            currency TEXT NOT NULL,
            reason TEXT NOT NULL,
            answer BLOB,
            created_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX refund_by_payment ON refund (payment_id);
        CREATE INDEX refund_unfinished ON refund (arrival) WHERE answer IS NULL;

        CREATE TABLE tombstone (
            payment_id BLOB PRIMARY KEY,
            keep_until_ms INTEGER,
            created_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE request (
            request_key BLOB PRIMARY KEY,
            payment_id BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
    ",
}];

/// Whether a payment was undone before it was made.
pub fn has_tombstone(conn: &Connection, payment_id: Uuid) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM tombstone WHERE payment_id = ?1")?
        .exists([payment_id.as_bytes()])
}

/// A new tombstone.
pub fn insert_tombstone(conn: &Connection, tombstone: &Tombstone) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO tombstone (payment_id, keep_until_ms, created_ms) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![
        tombstone.payment_id.as_bytes(),
        tombstone.keep_until_ms,
        tombstone.created_ms
    ])?;
    Ok(())
}

/// Deletes tombstones kept until before `now_ms`, at most `limit`; says how many.
pub fn forget_tombstones(conn: &Connection, now_ms: i64, limit: usize) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM tombstone WHERE payment_id IN
         (SELECT payment_id FROM tombstone WHERE keep_until_ms < ?1 LIMIT ?2)",
    )?
    .execute(params![now_ms, limit as i64])
}

/// Remembers what a request was used for; `false` when it was used before.
pub fn remember_request(
    conn: &Connection,
    request_key: Uuid,
    payment_id: Uuid,
) -> rusqlite::Result<bool> {
    let added = conn
        .prepare_cached(
            "INSERT INTO request (request_key, payment_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute([request_key.as_bytes(), payment_id.as_bytes()])?;
    Ok(added == 1)
}

/// The payment that a request was used for.
pub fn request(conn: &Connection, request_key: Uuid) -> rusqlite::Result<Option<Uuid>> {
    conn.prepare_cached("SELECT payment_id FROM request WHERE request_key = ?1")?
        .query_row([request_key.as_bytes()], |row| Ok(Uuid::from_bytes(row.get(0)?)))
        .optional()
}

/// An amount from its two columns; `column` is that of the currency.
fn money(minor: i64, currency: &str, column: usize) -> rusqlite::Result<Money> {
    let currency = Currency::from_code(currency).map_err(|error| damaged(column, error))?;
    Ok(Money { minor, currency })
}

/// A column that holds what this build never wrote.
fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
