//! Where notifications are kept.

mod sqlite;

use async_trait::async_trait;
use souk_mesh::idempotency::RequestKey;
use uuid::Uuid;

pub use sqlite::Sqlite;

use crate::domain::Notification;
use crate::error::Error;

/// What to remember of an event, so that a repeat, or one that was overtaken, causes nothing.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The event.
    pub event_id: String,
    /// What changed.
    pub aggregate_id: String,
    /// The version of it that the change made.
    pub version: i64,
}

/// Which notifications to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only to this user.
    pub user_id: Option<Uuid>,
    /// Only about this order; empty for all.
    pub order_id: String,
}

/// A store of notifications. Every write is one transaction and durable when it returns.
#[async_trait]
pub trait NotificationStore: Send + Sync + 'static {
    /// Keeps the notification that an event calls for. `false` when nothing was kept: the event came before, or was
    /// overtaken by a newer version of the same aggregate.
    async fn keep_for_event(&self, notification: Notification, seen: Seen) -> Result<bool, Error>;

    /// Keeps a notification that was asked for; a repeat returns the first one.
    async fn keep_for_request(
        &self,
        notification: Notification,
        key: RequestKey,
    ) -> Result<Notification, Error>;

    /// Writes down where notifications stand, and their recipients.
    async fn mark(&self, notifications: Vec<Notification>) -> Result<(), Error>;

    /// Notifications that wait to be sent, oldest first.
    async fn unsent(&self, limit: usize) -> Result<Vec<Notification>, Error>;

    /// Notifications, newest first, those older than `before`.
    async fn list(
        &self,
        filter: Filter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Notification>, Error>;
}
