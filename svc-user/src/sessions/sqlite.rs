//! Sessions in SQLite, in a file of their own: accounts may be elsewhere.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use souk_mesh::store::{Migration, Store};
use uuid::Uuid;

use super::store::{GRACE_MS, MAX_SESSIONS, Renewed, SessionStore, Times};
use super::token::{SessionId, TokenHash};
use crate::error::Error;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "sessions", sql: include_str!("sqlite/0001_sessions.sql") }];

/// The embedded form of the store: one file, group-committed.
#[derive(Clone)]
pub struct Sqlite {
    store: Store,
}

impl Sqlite {
    /// Opens `session.db` in `folder`, making it where it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self { store: Store::open(&folder.join("session.db"), MIGRATIONS)? })
    }
}

#[async_trait]
impl SessionStore for Sqlite {
    async fn open(&self, session: SessionId, token: TokenHash, times: Times) -> Result<(), Error> {
        self.store.write(move |conn| insert(conn, session, token, times)).await
    }

    async fn renew(
        &self,
        session: SessionId,
        presented: TokenHash,
        successor: TokenHash,
        times: Times,
    ) -> Result<Renewed, Error> {
        self.store
            .write(move |conn| {
                let renewed = judge(conn, session, presented, successor, times.now_ms)?;
                match renewed {
                    Renewed::New => replace(conn, session, successor, times)?,
                    Renewed::Reused => delete(conn, session)?,
                    Renewed::Again | Renewed::Unknown => {}
                }
                Ok(renewed)
            })
            .await
    }

    async fn close(&self, user_id: Uuid, session_id: Option<Uuid>) -> Result<(), Error> {
        self.store
            .write(move |conn| match session_id {
                Some(session_id) => delete(conn, SessionId { user_id, session_id }),
                None => {
                    conn.prepare_cached("DELETE FROM session WHERE user_id = ?1")?
                        .execute([user_id])?;
                    Ok(())
                }
            })
            .await
    }

    async fn sweep(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.store
            .write(move |conn| {
                let swept = conn
                    .prepare_cached(
                        "DELETE FROM session WHERE (user_id, id) IN
                            (SELECT user_id, id FROM session WHERE expires_at_ms <= ?1 LIMIT ?2)",
                    )?
                    .execute(params![now_ms, limit as i64])?;
                Ok(swept)
            })
            .await
    }
}

fn insert(
    conn: &Connection,
    session: SessionId,
    token: TokenHash,
    times: Times,
) -> Result<(), Error> {
    let SessionId { user_id, session_id } = session;
    conn.prepare_cached("DELETE FROM session WHERE user_id = ?1 AND expires_at_ms <= ?2")?
        .execute(params![user_id, times.now_ms])?;
    conn.prepare_cached(
        "DELETE FROM session WHERE user_id = ?1 AND id IN
            (SELECT id FROM session WHERE user_id = ?1
             ORDER BY renewed_at_ms DESC, id DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![user_id, MAX_SESSIONS as i64 - 1])?;
    conn.prepare_cached(
        "INSERT INTO session (user_id, id, token, renewed_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![user_id, session_id, token, times.now_ms, times.expires_at_ms])?;
    Ok(())
}

fn judge(
    conn: &Connection,
    session: SessionId,
    presented: TokenHash,
    successor: TokenHash,
    now_ms: i64,
) -> Result<Renewed, Error> {
    let kept: Option<(TokenHash, Option<TokenHash>, i64)> = conn
        .prepare_cached(
            "SELECT token, former_token, renewed_at_ms FROM session
             WHERE user_id = ?1 AND id = ?2 AND expires_at_ms > ?3",
        )?
        .query_row(params![session.user_id, session.session_id, now_ms], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(match kept {
        None => Renewed::Unknown,
        Some((token, ..)) if token == presented => Renewed::New,
        Some((token, former, renewed_at_ms))
            if former == Some(presented)
                && token == successor
                && now_ms < renewed_at_ms.saturating_add(GRACE_MS) =>
        {
            Renewed::Again
        }
        Some(_) => Renewed::Reused,
    })
}

fn replace(
    conn: &Connection,
    session: SessionId,
    successor: TokenHash,
    times: Times,
) -> Result<(), Error> {
    conn.prepare_cached(
        "UPDATE session SET former_token = token, token = ?3, renewed_at_ms = ?4,
            expires_at_ms = ?5 WHERE user_id = ?1 AND id = ?2",
    )?
    .execute(params![
        session.user_id,
        session.session_id,
        successor,
        times.now_ms,
        times.expires_at_ms,
    ])?;
    Ok(())
}

fn delete(conn: &Connection, session: SessionId) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM session WHERE user_id = ?1 AND id = ?2")?
        .execute([session.user_id, session.session_id])?;
    Ok(())
}
