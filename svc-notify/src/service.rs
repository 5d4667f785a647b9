//! `souk.notify.v1.NotificationService`: wire → domain → wire.

use std::sync::Arc;

use souk_mesh::idempotency::RequestKey;
use souk_mesh::identity::{Caller, Keys, Role};
use souk_mesh::page::{self, Tokens};
use souk_proto::notify::v1::notification_service_server::NotificationService;
use souk_proto::notify::v1::{
    self as proto, Channel, ListNotificationsRequest, ListNotificationsResponse, NotificationState,
    SendEmailRequest, SendEmailResponse,
};
use souk_proto::time::timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::{Draft, Notification, State};
use crate::sender::Sender;
use crate::store::{Filter, NotificationStore};

/// Notifications on a page when the caller names no size.
const DEFAULT_PAGE_SIZE: u32 = 50;
/// Notifications on a page at most.
const MAX_PAGE_SIZE: u32 = 500;

/// The service over any store.
pub struct Service {
    store: Arc<dyn NotificationStore>,
    sender: Arc<Sender>,
    pages: Tokens,
}

impl Service {
    /// Puts the parts together.
    pub fn new(store: Arc<dyn NotificationStore>, sender: Arc<Sender>, keys: &Keys) -> Self {
        Self { store, sender, pages: Tokens::new(keys) }
    }
}

#[tonic::async_trait]
impl NotificationService for Service {
    async fn send_email(
        &self,
        request: Request<SendEmailRequest>,
    ) -> Result<Response<SendEmailResponse>, Status> {
        let (caller, sent) = (Caller::of(&request), request.get_ref());
        let key = RequestKey::of(&caller, "SendEmail", &sent.request_id, sent);
        let SendEmailRequest { user_id, recipient, subject, body, order_id, .. } =
            request.into_inner();
        let draft = Draft {
            user_id: user_id.parse().ok(),
            recipient: Some(recipient),
            subject,
            body,
            order_id,
        };
        let notification = self.sender.notification(draft, String::new());
        let kept = self.store.keep_for_request(notification, key).await?;
        let sent = match kept.state {
            State::Queued => self.sender.send(kept).await?,
            State::Sent | State::Failed => kept,
        };
        Ok(Response::new(SendEmailResponse { notification: Some(wire(sent)) }))
    }

    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        let caller = Caller::of(&request);
        let ListNotificationsRequest { page_size, page_token, user_id, order_id } =
            request.into_inner();
        let filter = Filter { user_id: addressee(&caller, &user_id)?, order_id };
        let scope = format!("notifications/{:?}/{}", filter.user_id, filter.order_id);
        let before: Option<Uuid> = self.pages.decode(&page_token, &scope)?;
        let size = page::size(page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)? as usize;
        // One more than asked for tells whether there is a next page.
        let mut found = self.store.list(filter, before, size + 1).await?;
        let more = found.len() > size;
        found.truncate(size);
        let next_page_token = match found.last() {
            Some(last) if more => self.pages.encode(&last.id, &scope)?,
            _ => String::new(),
        };
        let notifications = found.into_iter().map(wire).collect();
        Ok(Response::new(ListNotificationsResponse { notifications, next_page_token }))
    }
}

/// Whose notifications are listed; `None` is everybody's, which is for staff and services.
fn addressee(caller: &Caller, named: &str) -> Result<Option<Uuid>, Status> {
    if let Ok(user_id) = named.parse() {
        caller.may_act_for(&user_id)?;
        return Ok(Some(user_id));
    }
    if caller.has(Role::Staff) || caller.has(Role::Service) {
        return Ok(None);
    }
    caller.user_id().map(Some)
}

fn wire(notification: Notification) -> proto::Notification {
    let state = match notification.state {
        State::Queued => NotificationState::Queued,
        State::Sent => NotificationState::Sent,
        State::Failed => NotificationState::Failed,
    };
    proto::Notification {
        notification_id: notification.id.to_string(),
        user_id: notification.user_id.map(|id| id.to_string()).unwrap_or_default(),
        channel: Channel::Email.into(),
        recipient: notification.recipient,
        subject: notification.subject,
        body: notification.body,
        state: state.into(),
        event_id: notification.event_id,
        order_id: notification.order_id,
        create_time: Some(timestamp(notification.created_at_ms)),
        send_time: notification.sent_at_ms.map(timestamp),
    }
}
