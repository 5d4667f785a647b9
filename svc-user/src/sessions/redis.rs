//! Sessions in Redis: a hash a user, which dies with the last of them by itself.
//!
//! Each call is one script. Whether a session has expired says its own time and the caller's clock, as on SQLite; that
//! Redis forgets it by its own clock only saves memory.

use async_trait::async_trait;
use souk_mesh::redis::{self, Config, Redis as Connection, Script};
use uuid::Uuid;

use super::store::{GRACE_MS, MAX_SESSIONS, Renewed, SessionStore, Times};
use super::token::{SessionId, TokenHash};
use crate::error::Error;

static OPEN: Script = Script::new("session_open", include_str!("redis/open.lua"));
static RENEW: Script = Script::new("session_renew", include_str!("redis/renew.lua"));
static CLOSE: Script = Script::new("session_close", include_str!("redis/close.lua"));

/// How long Redis keeps sessions at most, in milliseconds: ten years. Redis refuses times that it cannot count, and would
/// do so in the middle of a script.
const MAX_KEPT_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// The form of the store that several processes share.
#[derive(Clone)]
pub struct Redis {
    connection: Connection,
}

impl Redis {
    /// Begins to connect; a Redis that is away is an error of the calls.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { connection: Connection::open(config).await? })
    }
}

#[async_trait]
impl SessionStore for Redis {
    async fn open(&self, session: SessionId, token: TokenHash, times: Times) -> Result<(), Error> {
        let arguments = [
            text(session.session_id),
            hex(token),
            text(times.now_ms),
            text(times.expires_at_ms),
            text(kept_for_ms(times)),
            text(MAX_SESSIONS),
        ];
        self.connection.run(&OPEN, &[key(session.user_id)], &arguments).await?;
        Ok(())
    }

    async fn renew(
        &self,
        session: SessionId,
        presented: TokenHash,
        successor: TokenHash,
        times: Times,
    ) -> Result<Renewed, Error> {
        let arguments = [
            text(session.session_id),
            hex(presented),
            hex(successor),
            text(times.now_ms),
            text(times.expires_at_ms),
            text(kept_for_ms(times)),
            text(GRACE_MS),
        ];
        let reply = self.connection.run(&RENEW, &[key(session.user_id)], &arguments).await?;
        Ok(match reply.into_bytes()?.as_deref() {
            None => Renewed::Unknown,
            Some(b"new") => Renewed::New,
            Some(b"again") => Renewed::Again,
            Some(b"reused") => Renewed::Reused,
            Some(_) => return Err(redis::Error::Refused("an unknown outcome".to_owned()).into()),
        })
    }

    async fn close(&self, user_id: Uuid, session_id: Option<Uuid>) -> Result<(), Error> {
        let session = session_id.map(text).unwrap_or_default();
        self.connection.run(&CLOSE, &[key(user_id)], &[session]).await?;
        Ok(())
    }

    /// Nothing: Redis forgets by itself, and opening a session forgets the user's expired ones.
    async fn sweep(&self, _now_ms: i64, _limit: usize) -> Result<usize, Error> {
        Ok(0)
    }
}

fn key(user_id: Uuid) -> String {
    format!("souk:sessions:{{{user_id}}}")
}

fn kept_for_ms(times: Times) -> i64 {
    times.expires_at_ms.saturating_sub(times.now_ms).clamp(1, MAX_KEPT_MS)
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn hex(hash: TokenHash) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    hash.into_iter().flat_map(digits).collect()
}
