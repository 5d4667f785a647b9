//! Sessions: who stays signed in, by refresh tokens that work once.
//!
//! A sign-in makes a session and its first refresh token. Each refresh uses the token up and answers its successor; a
//! token that is shown again ends the session, as then two have it (RFC 9700 §4.14.2). The one exception is a client
//! that did not hear the answer and asks again by the same request id, within [`GRACE_MS`] and before the successor was
//! used. Stores hold hashes of tokens only.
//!
//! Access tokens are not touched by any of this: they are believed until they expire, without asking a store.

mod redis;
mod sqlite;
mod store;
mod sweeper;
mod token;

use std::sync::Arc;

use ring::hmac;
use ring::rand::SystemRandom;
use souk_mesh::clock::SharedClock;
use souk_mesh::identity::Keys;
use souk_mesh::platform::Platform;
use uuid::Uuid;

pub use redis::Redis;
pub use sqlite::Sqlite;
pub use store::{GRACE_MS, MAX_SESSIONS, Renewed, SessionStore, Times};
pub use token::{RefreshToken, SessionId, TokenHash};

use crate::config::{self, Config};
use crate::error::Error;

/// What the key of successors is derived for.
const KEY_PURPOSE: &str = "refresh token successors";

/// The sessions of all users, over any store.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    key: hmac::Key,
    random: SystemRandom,
    clock: SharedClock,
    lifetime_ms: i64,
}

impl Sessions {
    /// Opens the store that the configuration names, with a sweeper where it needs one.
    ///
    /// # Errors
    /// When the store cannot be opened. A Redis that is away is no error: calls are UNAVAILABLE until it is there.
    pub async fn start(platform: &Platform, config: &Config) -> Result<Self, Error> {
        let store: Arc<dyn SessionStore> = match config.sessions {
            config::Sessions::Sqlite => {
                let store = Arc::new(Sqlite::open(&platform.data_folder(crate::NAME)?)?);
                sweeper::spawn(store.clone(), Arc::clone(&platform.clock), &platform.tasks);
                store
            }
            config::Sessions::Redis => Arc::new(Redis::open(&config.redis).await?),
        };
        let clock = Arc::clone(&platform.clock);
        Ok(Self::new(store, &platform.keys, clock, config.session_lifetime_ms))
    }

    fn new(
        store: Arc<dyn SessionStore>,
        keys: &Keys,
        clock: SharedClock,
        lifetime_ms: i64,
    ) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &keys.derive(KEY_PURPOSE));
        Self { store, key, random: SystemRandom::new(), clock, lifetime_ms }
    }

    /// Signs a user in: the first refresh token of a new session.
    ///
    /// # Errors
    /// Those of the store; then there may be a session that nobody has a token of.
    pub async fn open(&self, user_id: Uuid) -> Result<String, Error> {
        let token = RefreshToken::first(user_id, &self.random)?;
        self.store.open(token.session, token.hash(), self.times()).await?;
        count("opened");
        Ok(token.text())
    }

    /// Uses `token` up: its successor.
    ///
    /// # Errors
    /// [`Error::BadRefreshToken`]; those of the store, after which the same `request_id` gets the same successor.
    pub async fn renew(&self, token: &RefreshToken, request_id: &str) -> Result<String, Error> {
        let successor = token.successor(request_id, &self.key, &self.random)?;
        let (presented, next) = (token.hash(), successor.hash());
        let renewed = self.store.renew(token.session, presented, next, self.times()).await?;
        match renewed {
            Renewed::New => count("renewed"),
            Renewed::Again => count("repeated"),
            Renewed::Unknown => {
                count("refused");
                return Err(Error::BadRefreshToken);
            }
            Renewed::Reused => {
                count("reused");
                let SessionId { user_id, session_id } = token.session;
                tracing::warn!(%user_id, %session_id, "a refresh token was used twice: its session has ended");
                return Err(Error::BadRefreshToken);
            }
        }
        Ok(successor.text())
    }

    /// Signs a user out: of the session that `token` belongs to, or of all where it is empty. A token that is none, or
    /// somebody else's, is useless to the user already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn close(&self, user_id: Uuid, token: &str) -> Result<(), Error> {
        let session_id = match (token, RefreshToken::parse(token)) {
            ("", _) => None,
            // Looked for among the caller's own: another user's is not found there.
            (_, Some(token)) => Some(token.session.session_id),
            (_, None) => return Ok(()),
        };
        self.store.close(user_id, session_id).await?;
        count("closed");
        Ok(())
    }

    fn times(&self) -> Times {
        let now_ms = self.clock.now_ms();
        Times { now_ms, expires_at_ms: now_ms.saturating_add(self.lifetime_ms) }
    }
}

fn count(event: &'static str) {
    metrics::counter!("souk_user_sessions_total", "event" => event).increment(1);
}
