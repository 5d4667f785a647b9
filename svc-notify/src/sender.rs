//! From an event to a mail: compose and keep; then, several at a time, deliver and mark. Every part may be repeated.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::SharedClock;
use souk_mesh::tasks::Tasks;
use souk_proto::event::v1::Event;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use crate::domain::{Draft, Notification, State, compose};
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::recipient::Recipients;
use crate::store::{Filter, NotificationStore, Seen};

/// Notifications sent at once at most.
const BATCH: usize = 100;
/// How long what is kept waits for others to be sent with it.
const GATHER: Duration = Duration::from_millis(10);
/// Pause after sending has failed, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The system writes files back within about 35 s: what is older than that before the last mail is on the disk.
const WRITE_BACK_MS: i64 = 60_000;

/// Turns events and requests into mail.
pub struct Sender {
    store: Arc<dyn NotificationStore>,
    mailbox: Mailbox,
    recipients: Recipients,
    clock: SharedClock,
    kept: Notify,
    /// Held while mail is delivered and marked, so that no mail is delivered by two at once.
    sending: Mutex<()>,
}

impl Sender {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn NotificationStore>,
        mailbox: Mailbox,
        recipients: Recipients,
        clock: SharedClock,
    ) -> Self {
        let (kept, sending) = (Notify::new(), Mutex::default());
        Self { store, mailbox, recipients, clock, kept, sending }
    }

    /// Keeps the notification that an event calls for; it is sent soon after. An error asks the bus to deliver the
    /// event again.
    pub async fn on_event(&self, event: Event) -> Result<(), Error> {
        let Some(draft) = compose(&event) else { return Ok(()) };
        let seen = Seen {
            event_id: event.event_id.clone(),
            aggregate_id: event.aggregate_id.clone(),
            version: event.aggregate_version,
        };
        let notification = self.notification(draft, event.event_id);
        if self.store.keep_for_event(notification, seen).await? {
            self.kept.notify_one();
        }
        Ok(())
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

    /// Sends a kept notification now, and tells what became of it.
    pub async fn send(&self, notification: Notification) -> Result<Notification, Error> {
        let _turn = self.sending.lock().await;
        let mut settled = self.deliver(vec![notification]).await?;
        Ok(settled.pop().expect("a notification is settled, or its error was returned"))
    }

    /// Sends some of what is kept; returns how many there were.
    async fn send_batch(&self) -> Result<usize, Error> {
        let _turn = self.sending.lock().await;
        let unsent = self.store.unsent(BATCH).await?;
        let count = unsent.len();
        self.deliver(unsent).await?;
        Ok(count)
    }

    /// Delivers and marks. Notifications that cannot be delivered now do not keep the others: they stay kept, and the
    /// first one's error is returned after the others are sent.
    async fn deliver(&self, notifications: Vec<Notification>) -> Result<Vec<Notification>, Error> {
        let mut mails = Vec::with_capacity(notifications.len());
        let mut settled = Vec::with_capacity(notifications.len());
        let mut first_error = None;
        for mut notification in notifications {
            let mail = match self.address(&mut notification).await {
                Ok(()) => self.mailbox.compose(&notification),
                Err(error) => Err(error),
            };
            match mail {
                Ok(mail) => {
                    mails.push(mail);
                    notification.state = State::Sent;
                    notification.sent_at_ms = Some(self.clock.now_ms());
                    settled.push(notification);
                }
                // No later try will find a better address.
                Err(Error::BadRecipient(_)) => {
                    notification.state = State::Failed;
                    settled.push(notification);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if !settled.is_empty() {
            self.mailbox.deliver(mails).await?;
            self.store.mark(settled.clone()).await?;
        }
        first_error.map_or(Ok(settled), Err)
    }

    async fn address(&self, notification: &mut Notification) -> Result<(), Error> {
        if notification.recipient.is_empty()
            && let Some(user_id) = notification.user_id
        {
            notification.recipient = self.recipients.email(user_id).await?.unwrap_or_default();
        }
        Ok(())
    }

    /// Writes again what a power cut has taken of the last mails.
    async fn repair(&self) -> Result<(), Error> {
        let mut before = None;
        let mut oldest_ms = None;
        loop {
            let page = self.store.list(Filter::default(), before, BATCH).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(()) };
            let oldest_ms = *oldest_ms.get_or_insert(first.created_at_ms - WRITE_BACK_MS);
            let is_over = last.created_at_ms < oldest_ms;
            before = Some(last.id);
            let sent = page.iter().filter(|notification| notification.state == State::Sent);
            let mails = sent.map(|sent| self.mailbox.compose(sent)).collect::<Result<_, _>>()?;
            self.mailbox.repair(mails).await?;
            if is_over {
                return Ok(());
            }
        }
    }

    async fn run(&self) -> Infallible {
        if let Err(error) = self.repair().await {
            tracing::warn!(%error, "the last mails of before could not be looked at");
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.send_batch().await {
                Ok(BATCH) => pause = FIRST_PAUSE,
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    self.kept.notified().await;
                    tokio::time::sleep(GATHER).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "notifications wait to be sent");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Sends what is kept, and first what an earlier process kept but did not send, until the drain; what is kept then is
/// sent after the next start.
pub fn spawn(sender: Arc<Sender>, tasks: &Tasks) {
    let drain = tasks.token();
    tasks.spawn("notify-sender", async move {
        tokio::select! {
            never = sender.run() => match never {},
            () = drain.cancelled() => {}
        }
    });
}
