//! Statements and rows of the ledger; no decisions.

use axum::http::StatusCode;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use souk_mesh::store::Migration;
use uuid::Uuid;

use super::{Answer, Filter, Key};
use crate::intent::{Intent, Status};
use crate::token::Decline;

/// The schema. Keys are rows in the order of their arrival, so that old ones go from the front.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "intents and idempotency keys",
    sql: "
        CREATE TABLE intent (
            id TEXT PRIMARY KEY,
            order_id TEXT NOT NULL,
            payment_id TEXT NOT NULL,
            amount INTEGER NOT NULL,
            currency TEXT NOT NULL,
            token TEXT NOT NULL,
            status TEXT NOT NULL,
            captured INTEGER NOT NULL CHECK (captured BETWEEN 0 AND amount),
            refunded INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND captured),
            decline TEXT,
            created_ms INTEGER NOT NULL,
            entries TEXT NOT NULL,
            refund_fault_spent INTEGER NOT NULL DEFAULT 0
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX intent_by_order ON intent (order_id);
        CREATE INDEX intent_by_payment ON intent (payment_id);
        CREATE TABLE idempotency_key (
            arrival INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            fingerprint BLOB NOT NULL,
            status INTEGER NOT NULL,
            body TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT;
    ",
}];

/// A key's first request and its answer.
pub struct Remembered {
    /// Digest of the first request.
    pub fingerprint: Uuid,
    /// Its answer.
    pub answer: Answer,
}

/// What is remembered under a key.
pub fn remembered(conn: &Connection, name: &str) -> rusqlite::Result<Option<Remembered>> {
    conn.prepare_cached("SELECT fingerprint, status, body FROM idempotency_key WHERE name = ?1")?
        .query_row([name], |row| {
            let status = StatusCode::from_u16(row.get(1)?).map_err(|error| damaged(1, error))?;
            Ok(Remembered {
                fingerprint: Uuid::from_bytes(row.get(0)?),
                answer: Answer { status, body: row.get(2)?, fault: None },
            })
        })
        .optional()
}

/// Remembers the answer to a key's first request.
pub fn remember(
    conn: &Connection,
    key: &Key,
    answer: &Answer,
    now_ms: i64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO idempotency_key (name, fingerprint, status, body, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        key.name,
        key.fingerprint.as_bytes(),
        answer.status.as_u16(),
        answer.body,
        now_ms
    ])?;
    Ok(())
}

/// Forgets keys from before `before_ms`, oldest first, at most `limit`; says how many.
pub fn forget(conn: &Connection, before_ms: i64, limit: usize) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM idempotency_key WHERE created_ms < ?1 AND arrival IN
         (SELECT arrival FROM idempotency_key ORDER BY arrival LIMIT ?2)",
    )?
    .execute(params![before_ms, limit as i64])
}

/// A new intent.
pub fn insert(conn: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO intent (id, order_id, payment_id, amount, currency, token, status, captured,
                             refunded, decline, created_ms, entries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        intent.id,
        intent.order_id,
        intent.payment_id,
        intent.amount,
        intent.currency,
        intent.token.name(),
        intent.status.name(),
        intent.captured,
        intent.refunded,
        intent.decline.map(Decline::decline_code),
        intent.created_ms,
        entries_text(intent)?,
    ])?;
    Ok(())
}

/// What changes in an intent's life.
pub fn update(conn: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE intent SET status = ?2, captured = ?3, refunded = ?4, decline = ?5, entries = ?6
         WHERE id = ?1",
    )?
    .execute(params![
        intent.id,
        intent.status.name(),
        intent.captured,
        intent.refunded,
        intent.decline.map(Decline::decline_code),
        entries_text(intent)?,
    ])?;
    Ok(())
}

/// Uses up the one failing refund of an intent; `false` when it was used before.
pub fn spend_refund_fault(conn: &Connection, id: &str) -> rusqlite::Result<bool> {
    let spent = conn
        .prepare_cached(
            "UPDATE intent SET refund_fault_spent = 1 WHERE id = ?1 AND refund_fault_spent = 0",
        )?
        .execute([id])?;
    Ok(spent == 1)
}

/// The intent of that id.
pub fn intent(conn: &Connection, id: &str) -> rusqlite::Result<Option<Intent>> {
    conn.prepare_cached(&select("id = ?1"))?.query_row([id], from_row).optional()
}

/// Intents after the id `after`, in the order of their ids, which is that of their creation.
pub fn intents(
    conn: &Connection,
    filter: &Filter,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Intent>> {
    let limit = limit as i64;
    match filter {
        Filter::All => conn
            .prepare_cached(&select("id > ?1 ORDER BY id LIMIT ?2"))?
            .query_map(params![after, limit], from_row)?
            .collect(),
        Filter::Order(order_id) => conn
            .prepare_cached(&select("order_id = ?3 AND id > ?1 ORDER BY id LIMIT ?2"))?
            .query_map(params![after, limit, order_id], from_row)?
            .collect(),
        Filter::Payment(payment_id) => conn
            .prepare_cached(&select("payment_id = ?3 AND id > ?1 ORDER BY id LIMIT ?2"))?
            .query_map(params![after, limit, payment_id], from_row)?
            .collect(),
    }
}

fn select(rest: &str) -> String {
    format!(
        "SELECT id, order_id, payment_id, amount, currency, token, status, captured, refunded,
                decline, created_ms, entries
         FROM intent WHERE {rest}"
    )
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Intent> {
    let token: String = row.get(5)?;
    let status: String = row.get(6)?;
    let decline: Option<String> = row.get(9)?;
    let entries: String = row.get(11)?;
    Ok(Intent {
        id: row.get(0)?,
        order_id: row.get(1)?,
        payment_id: row.get(2)?,
        amount: row.get(3)?,
        currency: row.get(4)?,
        token: token.parse().map_err(|_| damaged(5, Damaged("token")))?,
        status: Status::of_name(&status).ok_or_else(|| damaged(6, Damaged("status")))?,
        captured: row.get(7)?,
        refunded: row.get(8)?,
        decline: decline
            .map(|code| Decline::of_code(&code).ok_or_else(|| damaged(9, Damaged("decline"))))
            .transpose()?,
        created_ms: row.get(10)?,
        entries: serde_json::from_str(&entries).map_err(|error| damaged(11, error))?,
    })
}

fn entries_text(intent: &Intent) -> rusqlite::Result<String> {
    serde_json::to_string(&intent.entries)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A column holds what this build never wrote.
#[derive(Debug, thiserror::Error)]
#[error("not a known {0}")]
struct Damaged(&'static str);

fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
