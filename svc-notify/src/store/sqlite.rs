//! Notifications in SQLite.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use souk_mesh::idempotency::{Remembered, RequestKey};
use souk_mesh::inbox;
use souk_mesh::store::{Migration, Store};
use uuid::Uuid;

use super::{Filter, NotificationStore, Seen};
use crate::domain::{Notification, State};
use crate::error::Error;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "notifications",
    sql: include_str!("sqlite/0001_notifications.sql"),
}];

const CONSUMER: &str = "notify";

/// The embedded form of the store: one file, group-committed.
#[derive(Clone)]
pub struct Sqlite {
    store: Store,
}

impl Sqlite {
    /// Opens `notify.db` in `folder`, making it where it is not there.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self { store: Store::open(&folder.join("notify.db"), MIGRATIONS)? })
    }
}

#[async_trait]
impl NotificationStore for Sqlite {
    async fn keep_for_event(&self, notification: Notification, seen: Seen) -> Result<bool, Error> {
        self.store
            .write(move |conn| {
                let is_due = inbox::first_time(conn, CONSUMER, &seen.event_id)?
                    && inbox::is_newer(conn, CONSUMER, &seen.aggregate_id, seen.version)?;
                if is_due {
                    put(conn, &notification)?;
                }
                Ok(is_due)
            })
            .await
    }

    async fn keep_for_request(
        &self,
        notification: Notification,
        key: RequestKey,
    ) -> Result<Notification, Error> {
        self.store
            .write(move |conn| {
                match key.check(conn)? {
                    Remembered::New => {}
                    Remembered::Conflict => return Err(Error::RequestIdReused),
                    Remembered::Same(id) => {
                        let earlier = conn
                            .prepare_cached("SELECT * FROM notification WHERE id = ?1")?
                            .query_row([id], notification_of)?;
                        return Ok(earlier);
                    }
                }
                put(conn, &notification)?;
                key.remember(conn, notification.id.as_bytes(), notification.created_at_ms)?;
                Ok(notification)
            })
            .await
    }

    async fn mark(&self, notifications: Vec<Notification>) -> Result<(), Error> {
        self.store
            .write(move |conn| {
                let mut update = conn.prepare_cached(
                    "UPDATE notification SET state = ?2, recipient = ?3, sent_at_ms = ?4 WHERE id = ?1",
                )?;
                for notification in &notifications {
                    update.execute(params![
                        notification.id,
                        number(notification.state),
                        notification.recipient,
                        notification.sent_at_ms
                    ])?;
                }
                Ok(())
            })
            .await
    }

    async fn unsent(&self, limit: usize) -> Result<Vec<Notification>, Error> {
        self.store
            .read(move |conn| {
                let mut statement = conn.prepare_cached(
                    "SELECT * FROM notification WHERE state = 1 ORDER BY id LIMIT ?1",
                )?;
                let rows = statement.query_map([limit as i64], notification_of)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn list(
        &self,
        filter: Filter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Notification>, Error> {
        self.store
            .read(move |conn| {
                let mut statement = conn.prepare_cached(
                    "SELECT * FROM notification
                     WHERE id < ?1 AND (?2 IS NULL OR user_id = ?2) AND (?3 = '' OR order_id = ?3)
                     ORDER BY id DESC LIMIT ?4",
                )?;
                let before = before.unwrap_or(Uuid::max());
                let parameters = params![before, filter.user_id, filter.order_id, limit as i64];
                let rows = statement.query_map(parameters, notification_of)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn put(conn: &Connection, notification: &Notification) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO notification (id, user_id, recipient, subject, body, state, event_id,
            order_id, created_at_ms, sent_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        notification.id,
        notification.user_id,
        notification.recipient,
        notification.subject,
        notification.body,
        number(notification.state),
        notification.event_id,
        notification.order_id,
        notification.created_at_ms,
        notification.sent_at_ms,
    ])?;
    Ok(())
}

const fn number(state: State) -> i64 {
    match state {
        State::Queued => 1,
        State::Sent => 2,
        State::Failed => 3,
    }
}

fn notification_of(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let state = match row.get::<_, i64>("state")? {
        1 => State::Queued,
        2 => State::Sent,
        3 => State::Failed,
        unknown => return Err(rusqlite::Error::IntegralValueOutOfRange(5, unknown)),
    };
    Ok(Notification {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        recipient: row.get("recipient")?,
        subject: row.get("subject")?,
        body: row.get("body")?,
        state,
        event_id: row.get("event_id")?,
        order_id: row.get("order_id")?,
        created_at_ms: row.get("created_at_ms")?,
        sent_at_ms: row.get("sent_at_ms")?,
    })
}
