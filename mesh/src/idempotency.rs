//! Answers that were given to request ids, kept in the same write as what they tell of.
//!
//! In one write closure: [`RequestKey::check`] first; if [`Remembered::New`], do the work and
//! [`RequestKey::remember`] the answer. As writes run one after the other, a thousand equal requests at once do the work once.
//! Only definite outcomes are remembered: an error leaves nothing behind (the closure's `Err`
//! undoes it), so the same request may be tried again.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::identity::Caller;

/// Most rows that one [`prune`] looks at.
const PRUNE_STEP: i64 = 256;

/// What is known of a request id within its scope and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Never answered.
    New,
    /// Answered before, for the same parameters: the bytes given to [`RequestKey::remember`].
    Same(Vec<u8>),
    /// Used before with other parameters: answer [`crate::error::request_id_reused`].
    Conflict,
}

/// Names a request, so that a repeat of it finds the first answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Who asked ([`Caller::scope`]); the same id of another caller is unrelated.
    pub scope: String,
    /// The RPC.
    pub method: &'static str,
    /// Chosen by the caller.
    pub request_id: String,
    /// Of the parameters: a repeat with others is a [`Remembered::Conflict`].
    pub fingerprint: [u8; 32],
}

impl RequestKey {
    /// The key of `request`, as its caller sent it; see [`fingerprint`].
    #[must_use]
    pub fn of(
        caller: &Caller,
        method: &'static str,
        request_id: &str,
        request: &impl Message,
    ) -> Self {
        Self {
            scope: caller.scope(),
            method,
            request_id: request_id.to_owned(),
            fingerprint: fingerprint(request),
        }
    }

    /// As [`RequestKey::of`], where the id may be left out.
    #[must_use]
    pub fn if_any(
        caller: &Caller,
        method: &'static str,
        request_id: &str,
        request: &impl Message,
    ) -> Option<Self> {
        (!request_id.is_empty()).then(|| Self::of(caller, method, request_id, request))
    }

    /// A name of the request without its parameters, equally short for all: for stores that keep no columns.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [self.scope.as_str(), self.method, &self.request_id] {
            // With its length, so that no two requests run together.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Looks the request up. Also usable in a read, to find an answer without queueing for the writer.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn check(&self, connection: &Connection) -> rusqlite::Result<Remembered> {
        let found = connection
            .prepare_cached(
                "SELECT fingerprint, answer FROM request_answer
                 WHERE scope = ?1 AND method = ?2 AND request_id = ?3",
            )?
            .query_row([&self.scope, self.method, &self.request_id], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        Ok(match found {
            None => Remembered::New,
            Some((known, answer)) if known == self.fingerprint => Remembered::Same(answer),
            Some(_) => Remembered::Conflict,
        })
    }

    /// Keeps the answer; in the same write as what the answer tells of.
    ///
    /// # Errors
    /// A constraint violation when the request is known already ([`RequestKey::check`] comes first).
    pub fn remember(
        &self,
        connection: &Connection,
        answer: &[u8],
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let Self { scope, method, request_id, fingerprint } = self;
        connection
            .prepare_cached(
                "INSERT INTO request_answer
                    (scope, method, request_id, fingerprint, answer, answered_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![scope, method, request_id, fingerprint, answer, now_ms])?;
        Ok(())
    }
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
