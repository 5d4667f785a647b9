//! From an event to a mail: compose, keep, deliver, mark. Every part may be repeated.

use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::tasks::Tasks;
use souk_proto::event::v1::Event;
use uuid::Uuid;

use crate::domain::{Draft, Notification, State, compose};
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::recipient::Recipients;
use crate::store::{NotificationStore, Seen};

/// Unsent notifications taken up at once after a start.
const RESEND_AT_ONCE: usize = 100;

/// Turns events and requests into mail.
pub struct Sender {
    store: Arc<dyn NotificationStore>,
    mailbox: Mailbox,
    recipients: Recipients,
    clock: SharedClock,
}

impl Sender {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn NotificationStore>,
        mailbox: Mailbox,
        recipients: Recipients,
        clock: SharedClock,
    ) -> Self {
        Self { store, mailbox, recipients, clock }
    }

    /// Handles one delivery of an event. An error asks the bus to deliver it again.
    pub async fn on_event(&self, event: Event) -> Result<(), Error> {
        let Some(draft) = compose(&event) else { return Ok(()) };
        let seen = Seen {
            event_id: event.event_id.clone(),
            aggregate_id: event.aggregate_id.clone(),
            version: event.aggregate_version,
        };
        let notification = self.notification(draft, event.event_id);
        match self.store.keep_for_event(notification, seen).await? {
            Some(unsent) => self.send(unsent).await.map(drop),
            None => Ok(()),
        }
    }

    /// The draft as a queued notification.
    pub fn notification(&self, draft: Draft, event_id: String) -> Notification {
        Notification {
            id: Uuid::now_v7(),
            user_id: draft.user_id,
            recipient: draft.recipient.unwrap_or_default(),
            subject: draft.subject,
            body: draft.body,
            state: State::Queued,
            event_id,
            order_id: draft.order_id,
            created_at_ms: self.clock.now_ms(),
            sent_at_ms: None,
        }
    }

    /// Delivers a kept notification and marks what became of it.
    pub async fn send(&self, mut notification: Notification) -> Result<Notification, Error> {
        if notification.recipient.is_empty()
            && let Some(user_id) = notification.user_id
        {
            notification.recipient = self.recipients.email(user_id).await?.unwrap_or_default();
        }
        match self.mailbox.deliver(&notification).await {
            Ok(_) => {
                notification.state = State::Sent;
                notification.sent_at_ms = Some(self.clock.now_ms());
            }
            // No later try will find a better address.
            Err(Error::BadRecipient(_)) => notification.state = State::Failed,
            Err(error) => return Err(error),
        }
        self.store.mark(notification.clone()).await?;
        Ok(notification)
    }

    async fn resend(&self) -> Result<(), Error> {
        loop {
            let unsent = self.store.unsent(RESEND_AT_ONCE).await?;
            if unsent.is_empty() {
                return Ok(());
            }
            for notification in unsent {
                self.send(notification).await?;
            }
        }
    }
}

/// Sends, once, what an earlier process kept but did not send.
pub fn spawn_resend(sender: Arc<Sender>, tasks: &Tasks) {
    tasks.spawn("notify-resend", async move {
        if let Err(error) = sender.resend().await {
            tracing::warn!(%error, "unsent notifications wait for the next start");
        }
    });
}
