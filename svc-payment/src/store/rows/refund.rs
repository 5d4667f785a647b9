//! Rows of refunds.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::money;
use crate::domain::{NewRefund, Refund};
use crate::store::KnownRefund;

const COLUMNS: &str = "refund_id, payment_id, request_key, fingerprint, amount, currency, reason,
    created_ms, answer";

/// A refund whose outcome is not known yet.
pub fn insert_refund(conn: &Connection, new: &NewRefund) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO refund (refund_id, payment_id, request_key, fingerprint, amount, currency,
                             reason, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        new.refund.refund_id.as_bytes(),
        new.refund.payment_id.as_bytes(),
        new.request_key.as_bytes(),
        new.fingerprint,
        new.refund.amount.minor,
        new.refund.amount.currency.code(),
        new.refund.reason,
        new.refund.created_ms,
    ])?;
    Ok(())
}

/// The refund that a request asked for.
pub fn refund_of(conn: &Connection, request_key: Uuid) -> rusqlite::Result<Option<KnownRefund>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM refund WHERE request_key = ?1"))?
        .query_row([request_key.as_bytes()], |row| {
            Ok(KnownRefund { asked: from_row(row)?, answer: row.get(8)? })
        })
        .optional()
}

/// Records the answer that a refund got; `false` when it has one, or is gone.
pub fn finish_refund(conn: &Connection, refund_id: Uuid, answer: &[u8]) -> rusqlite::Result<bool> {
    let updated = conn
        .prepare_cached("UPDATE refund SET answer = ?2 WHERE refund_id = ?1 AND answer IS NULL")?
        .execute(params![refund_id.as_bytes(), answer])?;
    Ok(updated == 1)
}

/// Takes a refund back that has no answer.
pub fn delete_refund(conn: &Connection, refund_id: Uuid) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM refund WHERE refund_id = ?1 AND answer IS NULL")?
        .execute([refund_id.as_bytes()])?;
    Ok(())
}

/// Refunds without an answer, oldest first.
pub fn unfinished_refunds(
    conn: &Connection,
    payment_id: Option<Uuid>,
    limit: usize,
) -> rusqlite::Result<Vec<NewRefund>> {
    let limit = limit as i64;
    match payment_id {
        Some(payment_id) => conn
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM refund WHERE payment_id = ?1 AND answer IS NULL
                 ORDER BY arrival LIMIT ?2"
            ))?
            .query_map(params![payment_id.as_bytes(), limit], from_row)?
            .collect(),
        None => conn
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM refund WHERE answer IS NULL ORDER BY arrival LIMIT ?1"
            ))?
            .query_map([limit], from_row)?
            .collect(),
    }
}

/// Refunds that were given, oldest first.
pub fn refunds(conn: &Connection, payment_id: Uuid) -> rusqlite::Result<Vec<Refund>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM refund WHERE payment_id = ?1 AND answer IS NOT NULL ORDER BY arrival"
    ))?
    .query_map([payment_id.as_bytes()], |row| Ok(from_row(row)?.refund))?
    .collect()
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<NewRefund> {
    let currency: String = row.get(5)?;
    Ok(NewRefund {
        refund: Refund {
            refund_id: Uuid::from_bytes(row.get(0)?),
            payment_id: Uuid::from_bytes(row.get(1)?),
            amount: money(row.get(4)?, &currency, 5)?,
            reason: row.get(6)?,
            created_ms: row.get(7)?,
        },
        request_key: Uuid::from_bytes(row.get(2)?),
        fingerprint: row.get(3)?,
    })
}
