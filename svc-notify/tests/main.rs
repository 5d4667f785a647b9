//! From an event on the bus to a mail in the folder.

#![allow(clippy::unwrap_used)] // The helpers of tests may panic as tests do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::error::reason_of;
use souk_mesh::identity::{Role, Roles};
use souk_mesh::platform::Platform;
use souk_mesh::testing::signed;
use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, OrderChanged, PaymentChanged};
use souk_proto::google::r#type::Money;
use souk_proto::notify::v1::notification_service_client::NotificationServiceClient;
use souk_proto::notify::v1::{
    ListNotificationsRequest, Notification, NotificationState, SendEmailRequest,
};
use souk_proto::order::v1::{Order, OrderState};
use souk_proto::payment::v1::{Payment, Refund};
use souk_proto::user::v1::user_service_server::{UserService, UserServiceServer};
use souk_proto::user::v1::{GetUserRequest, GetUserResponse, User};
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// How long something that the bus carries may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Knows everybody under one address.
struct Users;

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let user_id = request.into_inner().user_id;
        let user = User { user_id, email: "looked-up@example.com".to_owned(), ..User::default() };
        Ok(Response::new(GetUserResponse { user: Some(user) }))
    }
}

/// A running svc-notify with a folder of its own.
struct Shop {
    platform: Platform,
    notifications: NotificationServiceClient<Channel>,
    folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap()).await
    }

    async fn open_in(folder: TempDir) -> Self {
        let clock = Arc::new(ManualClock::new(START_MS));
        let platform = Platform::for_tests_at(folder.path(), clock);
        platform.directory.bind_local("user", Routes::new(UserServiceServer::new(Users)));
        let routes = souk_notify::start(&platform, souk_notify::Config::default()).await.unwrap();
        platform.directory.bind_local(souk_notify::NAME, routes);
        let way = platform.directory.forwarding_channel(souk_notify::NAME);
        Self { platform, notifications: NotificationServiceClient::new(way), folder }
    }

    /// Stops it, as before a restart.
    async fn close(self) -> TempDir {
        self.platform.tasks.drain(PATIENCE).await.unwrap();
        self.folder
    }

    fn of_service<T>(&self, message: T) -> Request<T> {
        signed(&self.platform, &Uuid::max(), Roles::from(Role::Service), message)
    }

    async fn list(&self, order_id: &str) -> Vec<Notification> {
        let request =
            ListNotificationsRequest { order_id: order_id.to_owned(), ..Default::default() };
        let answer = self.notifications.clone().list_notifications(self.of_service(request)).await;
        answer.unwrap().into_inner().notifications
    }

    /// Waits until `count` notifications about the order are sent.
    async fn sent(&self, order_id: &str, count: usize) -> Vec<Notification> {
        let wait = async {
            loop {
                let found = self.list(order_id).await;
                if found.iter().filter(|n| n.state() == NotificationState::Sent).count() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the mail was never sent")
    }

    fn mails(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("notify/outbox");
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "eml")).collect()
    }
}

fn order_event(order: &Order, from: OrderState, to: OrderState, version: i64) -> Event {
    let order = Order { state: to.into(), version, ..order.clone() };
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: format!(
            "order.{}",
            if to == OrderState::Cancelled { "cancelled" } else { "updated" }
        ),
        aggregate_id: order.order_id.clone(),
        aggregate_version: version,
        payload: Some(Payload::Order(OrderChanged {
            order: Some(order),
            previous_state: from.into(),
        })),
        ..Event::default()
    }
}

fn order() -> Order {
    Order {
        order_id: Uuid::now_v7().to_string(),
        user_id: Uuid::now_v7().to_string(),
        email: "amina@example.com".to_owned(),
        cancel_message: "the card has no funds".to_owned(),
        ..Order::default()
    }
}

#[tokio::test]
async fn a_delivered_twice_event_is_one_mail() {
    let shop = Shop::open().await;
    let order = order();
    let confirmed = order_event(&order, OrderState::Pending, OrderState::Processing, 2);
    let cancelled = order_event(&order, OrderState::Processing, OrderState::Cancelled, 3);
    // The bus is at least once; what comes last tells that everything before it was handled.
    let events =
        vec![confirmed.clone(), confirmed.clone(), confirmed, cancelled.clone(), cancelled];
    shop.platform.bus.publish(events).await.unwrap();
    let sent = shop.sent(&order.order_id, 2).await;
    assert_eq!(sent.len(), 2, "{sent:?}");
    let mails = shop.mails();
    assert_eq!(mails.len(), 2);
    let texts: Vec<_> = mails.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let cancellation = texts.iter().find(|text| text.contains("is cancelled")).unwrap();
    assert!(cancellation.contains("the card has no funds"), "{cancellation}");
    assert!(cancellation.contains("To: amina@example.com"), "{cancellation}");
}

#[tokio::test]
async fn an_event_that_was_overtaken_says_nothing() {
    let shop = Shop::open().await;
    let order = order();
    let cancelled = order_event(&order, OrderState::Processing, OrderState::Cancelled, 3);
    let confirmed = order_event(&order, OrderState::Pending, OrderState::Processing, 2);
    let refund = Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: "payment.refunded".to_owned(),
        aggregate_id: Uuid::now_v7().to_string(),
        aggregate_version: 5,
        payload: Some(Payload::Payment(PaymentChanged {
            payment: Some(Payment {
                order_id: order.order_id.clone(),
                user_id: order.user_id.clone(),
                ..Payment::default()
            }),
            refund: Some(Refund {
                amount: Some(Money { currency_code: "EUR".to_owned(), units: 51, nanos: 0 }),
                ..Refund::default()
            }),
        })),
        ..Event::default()
    };
    shop.platform.bus.publish(vec![cancelled]).await.unwrap();
    shop.sent(&order.order_id, 1).await;
    shop.platform.bus.publish(vec![confirmed]).await.unwrap();
    shop.platform.bus.publish(vec![refund]).await.unwrap();
    let sent = shop.sent(&order.order_id, 2).await;
    assert_eq!(sent.len(), 2, "the late confirmation is not among them: {sent:?}");
    let refund = sent.iter().find(|n| n.subject.contains("refunded")).unwrap();
    assert_eq!(refund.recipient, "looked-up@example.com");
    assert!(refund.subject.contains("51"), "{}", refund.subject);
}

#[tokio::test]
async fn a_repeated_request_sends_nothing_more() {
    let shop = Shop::open().await;
    let request = SendEmailRequest {
        request_id: Uuid::new_v4().to_string(),
        recipient: "amina@example.com".to_owned(),
        subject: "Hello".to_owned(),
        body: "A line.".to_owned(),
        order_id: Uuid::new_v4().to_string(),
        ..SendEmailRequest::default()
    };
    let mut client = shop.notifications.clone();
    let first = client.send_email(shop.of_service(request.clone())).await.unwrap().into_inner();
    let again = client.send_email(shop.of_service(request.clone())).await.unwrap().into_inner();
    assert_eq!(
        first.notification.unwrap().notification_id,
        again.notification.unwrap().notification_id
    );
    assert_eq!(shop.mails().len(), 1);

    // Another sender's same id is unrelated; this sender's same id for something else is an error.
    let customer = signed(&shop.platform, &Uuid::new_v4(), Role::Customer, request);
    let refused = client.send_email(customer).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&refused).as_deref(), Some("ROLE_REQUIRED"));
}

#[tokio::test]
async fn mails_that_a_power_cut_took_are_written_again_at_the_next_start() {
    let shop = Shop::open().await;
    let orders = [order(), order(), order()];
    for order in &orders {
        let event = order_event(order, OrderState::Pending, OrderState::Processing, 2);
        shop.platform.bus.publish(vec![event]).await.unwrap();
        shop.sent(&order.order_id, 1).await;
    }
    let mut mails = shop.mails();
    mails.sort();
    let texts: Vec<_> = mails.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let folder = shop.close().await;
    std::fs::remove_file(&mails[0]).unwrap();
    std::fs::write(&mails[1], b"").unwrap();

    let shop = Shop::open_in(folder).await;
    let wait = async {
        while mails
            .iter()
            .zip(&texts)
            .any(|(mail, text)| std::fs::read(mail).ok().as_ref() != Some(text))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the mails are written again");
    assert_eq!(shop.mails().len(), 3);
}

#[tokio::test]
async fn customers_see_their_own_notifications_only() {
    let shop = Shop::open().await;
    let order = order();
    let event = order_event(&order, OrderState::Pending, OrderState::Processing, 2);
    shop.platform.bus.publish(vec![event]).await.unwrap();
    shop.sent(&order.order_id, 1).await;

    let mine: Uuid = order.user_id.parse().unwrap();
    let mut client = shop.notifications.clone();
    let own = signed(&shop.platform, &mine, Role::Customer, ListNotificationsRequest::default());
    let own = client.list_notifications(own).await.unwrap().into_inner();
    assert_eq!(own.notifications.len(), 1);
    let request = ListNotificationsRequest { user_id: order.user_id, ..Default::default() };
    let stranger = signed(&shop.platform, &Uuid::new_v4(), Role::Customer, request);
    let refused = client.list_notifications(stranger).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NOT_YOURS"));
}
