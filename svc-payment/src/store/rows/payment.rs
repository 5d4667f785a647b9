//! Rows of payments.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::{damaged, money};
use crate::domain::{Change, Payment, State};
use crate::store::{Filter, NewPayment};

const COLUMNS: &str =
    "arrival, payment_id, fingerprint, order_id, user_id, state, amount, currency,
    captured, refunded, token, provider_id, challenge_url, decline_code, version, created_ms,
    updated_ms";

/// A new payment.
pub fn insert_payment(conn: &Connection, new: &NewPayment) -> rusqlite::Result<()> {
    let payment = &new.payment;
    conn.prepare_cached(
        "INSERT INTO payment (payment_id, fingerprint, order_id, user_id, state, amount, currency,
                              captured, refunded, token, version, created_ms, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        payment.payment_id.as_bytes(),
        new.fingerprint,
        payment.order_id.as_bytes(),
        payment.user_id.as_ref().map(Uuid::as_bytes),
        payment.state.name(),
        payment.amount.minor,
        payment.amount.currency.code(),
        payment.captured,
        payment.refunded,
        payment.token,
        payment.version,
        payment.created_ms,
        payment.updated_ms,
    ])?;
    Ok(())
}

/// What can change of a payment; `false` when it has another version than the change starts from.
pub fn update_payment(conn: &Connection, change: &Change) -> rusqlite::Result<bool> {
    let payment = &change.payment;
    let updated = conn
        .prepare_cached(
            "UPDATE payment SET state = ?3, captured = ?4, refunded = ?5, provider_id = ?6,
                    challenge_url = ?7, decline_code = ?8, version = ?9, updated_ms = ?10
             WHERE payment_id = ?1 AND version = ?2",
        )?
        .execute(params![
            payment.payment_id.as_bytes(),
            change.from_version,
            payment.state.name(),
            payment.captured,
            payment.refunded,
            payment.provider_id,
            payment.challenge_url,
            payment.decline_code,
            payment.version,
            payment.updated_ms,
        ])?;
    Ok(updated == 1)
}

/// What a note tells of a payment, unless it is further along.
pub fn note(conn: &Connection, change: &Change) -> rusqlite::Result<()> {
    let payment = &change.payment;
    conn.prepare_cached(
        "UPDATE payment SET state = ?3, provider_id = ?4, challenge_url = ?5, updated_ms = ?6
         WHERE payment_id = ?1 AND version = ?2 AND state IN (?7, ?8)",
    )?
    .execute(params![
        payment.payment_id.as_bytes(),
        change.from_version,
        payment.state.name(),
        payment.provider_id,
        payment.challenge_url,
        payment.updated_ms,
        State::Opening.name(),
        State::Created.name(),
    ])?;
    Ok(())
}

/// A payment, and the digest of the request that made it.
pub fn payment(
    conn: &Connection,
    payment_id: Uuid,
) -> rusqlite::Result<Option<(Payment, [u8; 32])>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM payment WHERE payment_id = ?1"))?
        .query_row([payment_id.as_bytes()], |row| Ok((from_row(row)?, row.get(2)?)))
        .optional()
}

/// Payments before the place `before`, newest first, each with its place.
pub fn payments(
    conn: &Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, Payment)>> {
    let before = before.unwrap_or(i64::MAX);
    let limit = limit as i64;
    let mut wheres = String::from("arrival < ?");
    let mut values: Vec<&dyn ToSql> = vec![&before];
    let order = filter.order_id.as_ref().map(Uuid::as_bytes);
    if let Some(order) = &order {
        wheres.push_str(" AND order_id = ?");
        values.push(order);
    }
    let user = filter.user_id.as_ref().map(Uuid::as_bytes);
    if let Some(user) = &user {
        wheres.push_str(" AND user_id = ?");
        values.push(user);
    }
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    if !states.is_empty() {
        let marks = vec!["?"; states.len()].join(", ");
        wheres.push_str(&format!(" AND state IN ({marks})"));
        values.extend(states.iter().map(|state| state as &dyn ToSql));
    }
    values.push(&limit);
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM payment WHERE {wheres} ORDER BY arrival DESC LIMIT ?"
    ))?
    .query_map(values.as_slice(), |row| Ok((row.get(0)?, from_row(row)?)))?
    .collect()
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Payment> {
    let user_id: Option<[u8; 16]> = row.get(4)?;
    let state: String = row.get(5)?;
    let currency: String = row.get(7)?;
    Ok(Payment {
        payment_id: Uuid::from_bytes(row.get(1)?),
        order_id: Uuid::from_bytes(row.get(3)?),
        user_id: user_id.map(Uuid::from_bytes),
        state: State::of_name(&state).ok_or_else(|| damaged(5, UnknownState(state)))?,
        amount: money(row.get(6)?, &currency, 7)?,
        captured: row.get(8)?,
        refunded: row.get(9)?,
        token: row.get(10)?,
        provider_id: row.get(11)?,
        challenge_url: row.get(12)?,
        decline_code: row.get(13)?,
        version: row.get(14)?,
        created_ms: row.get(15)?,
        updated_ms: row.get(16)?,
    })
}

/// The state column holds what this build never wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a state of a payment")]
struct UnknownState(String);
