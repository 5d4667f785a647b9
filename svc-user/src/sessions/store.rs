//! What a store of sessions promises; `tests/sessions` holds every implementation to it.

use async_trait::async_trait;
use uuid::Uuid;

use super::token::{SessionId, TokenHash};
use crate::error::Error;

/// Sessions that one user may have at once; with one more, the one that was renewed longest ago ends.
pub const MAX_SESSIONS: usize = 16;
/// How long a refresh that was answered is answered alike again, for a client that did not hear it, in milliseconds.
pub const GRACE_MS: i64 = 60_000;

/// When something happens to a session, and until when the session lives from then on; unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Now.
    pub now_ms: i64,
    /// The end, if nothing more happens to it.
    pub expires_at_ms: i64,
}

/// What became of a token that was shown to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It was the session's token; its successor is from now on.
    New,
    /// This very successor took its place less than [`GRACE_MS`] ago and was not used since. Nothing has changed.
    Again,
    /// It is of the session, but not its token any more: somebody has a token that is not theirs. The session has ended
    /// (RFC 9700 §4.14.2).
    Reused,
    /// There is no such session: it has expired, was ended, or never was.
    Unknown,
}

/// A store of sessions. Every call happens entirely or not at all, and is durable when it returns; one that fails may
/// have happened.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Keeps a new session with its first token, and ends older ones of the user beyond [`MAX_SESSIONS`].
    async fn open(&self, session: SessionId, token: TokenHash, times: Times) -> Result<(), Error>;

    /// Puts `successor` in the place of `presented`, if that is the session's token.
    async fn renew(
        &self,
        session: SessionId,
        presented: TokenHash,
        successor: TokenHash,
        times: Times,
    ) -> Result<Renewed, Error>;

    /// Ends a session of a user, or all of them; what has ended is no error.
    async fn close(&self, user_id: Uuid, session_id: Option<Uuid>) -> Result<(), Error>;

    /// Forgets sessions that expired before `now_ms`, at most `limit`; says how many.
    async fn sweep(&self, now_ms: i64, limit: usize) -> Result<usize, Error>;
}
