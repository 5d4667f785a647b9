//! Answers that were given to request ids, kept in the same write as what they tell of.
//!
//! In one write closure: [`check`] first; if [`Remembered::New`], do the work and [`remember`] the
//! answer. As writes run one after the other, a thousand equal requests at once do the work once.
//! Only definite outcomes are remembered: an error leaves nothing behind (the closure's `Err`
//! undoes it), so the same request may be tried again.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// Most rows that one [`prune`] looks at.
const PRUNE_STEP: i64 = 256;

/// What is known of a request id within its scope and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Never answered.
    New,
    /// Answered before, for the same parameters: the bytes given to [`remember`].
    Same(Vec<u8>),
    /// Used before with other parameters: answer [`crate::error::request_id_reused`].
    Conflict,
}

/// Looks up a request id. Also usable in a read, to find an answer without queueing for the writer.
///
/// # Errors
/// Those of SQLite.
pub fn check(
    connection: &Connection,
    scope: &str,
    method: &str,
    request_id: &str,
    fingerprint: &[u8; 32],
) -> rusqlite::Result<Remembered> {
    let found = connection
        .prepare_cached(
            "SELECT fingerprint, answer FROM request_answer
             WHERE scope = ?1 AND method = ?2 AND request_id = ?3",
        )?
        .query_row([scope, method, request_id], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    Ok(match found {
        None => Remembered::New,
        Some((known, answer)) if known == fingerprint => Remembered::Same(answer),
        Some(_) => Remembered::Conflict,
    })
}

/// Keeps the answer to a request id; in the same write as what the answer tells of.
///
/// # Errors
/// A constraint violation when the request id is known already ([`check`] comes first).
pub fn remember(
    connection: &Connection,
    scope: &str,
    method: &str,
    request_id: &str,
    fingerprint: &[u8; 32],
    answer: &[u8],
    now_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO request_answer
                (scope, method, request_id, fingerprint, answer, answered_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![scope, method, request_id, fingerprint, answer, now_ms])?;
    Ok(())
}

/// Forgets some of the oldest answers, if they are older than `before_ms`; returns how many.
///
/// Only for stores none of whose methods moves money or stock: there, answers live as long as
/// what they touched.
///
/// # Errors
/// Those of SQLite.
pub fn prune(connection: &Connection, before_ms: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM request_answer WHERE rowid IN (
                SELECT rowid FROM (
                    SELECT rowid, answered_at_ms FROM request_answer ORDER BY rowid LIMIT ?1
                ) WHERE answered_at_ms < ?2
            )",
        )?
        .execute([PRUNE_STEP, before_ms])
}

/// SHA-256 of the encoded message, all of it: two requests are the same when every field is.
///
/// The request id itself may stay set, as it is equal wherever fingerprints are compared. Clear
/// what may differ between tries of one request (a deadline such as `not_after`) before. Maps in
/// the message must be compiled to `BTreeMap`, or equal requests could encode differently.
pub fn fingerprint(message: &impl Message) -> [u8; 32] {
    Sha256::digest(message.encode_to_vec()).into()
}
