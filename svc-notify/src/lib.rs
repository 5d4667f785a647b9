//! Notifications: what happens to an order or an account, told to the person concerned.
//!
//! Events come from the bus, at least once. [`domain::compose`] decides whether a mail is due; the store
//! keeps it together with the mark that the event has been seen, so that a repeat writes nothing; and the
//! mailbox writes one file per notification, under the notification's own name, so that a repeat
//! overwrites rather than adds. What was kept but not sent before a crash is sent at the next start.

pub mod config;
pub mod domain;
pub mod error;
pub mod mailbox;
mod recipient;
mod sender;
mod service;
pub mod store;

use std::sync::Arc;

use souk_mesh::bus;
use souk_mesh::platform::Platform;
use souk_proto::notify::v1::notification_service_server::NotificationServiceServer;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "notify";
/// The queue on the bus.
const QUEUE: &str = "notify";
/// What may cause a mail.
const TOPICS: &[&str] = &[
    "order.updated",
    "order.shipped",
    "order.delivered",
    "order.cancelled",
    "payment.refunded",
    "user.registered",
];

/// Opens store and mailbox, sends what an earlier process left unsent, begins to consume events, and
/// returns the service.
///
/// # Errors
/// When store or mailbox cannot be opened, or the bus refuses the queue.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let platform = platform.for_service(NAME);
    let folder = platform.data_folder(NAME)?;
    let store: Arc<dyn store::NotificationStore> = Arc::new(store::Sqlite::open(&folder)?);
    let mailbox = mailbox::Mailbox::open(&folder.join(mailbox::FOLDER), &config.sender)?;
    let users = UserServiceClient::new(platform.directory.channel("user"));
    let sender = Arc::new(sender::Sender::new(
        Arc::clone(&store),
        mailbox,
        recipient::Recipients::new(users),
        Arc::clone(&platform.clock),
    ));
    sender::spawn(Arc::clone(&sender), &platform.tasks);
    let handler = Arc::clone(&sender);
    bus::consume(Arc::clone(&platform.bus), &platform.tasks, QUEUE, TOPICS, move |event| {
        let sender = Arc::clone(&handler);
        async move { sender.on_event(event).await.map_err(Into::into) }
    })
    .await?;
    let service = service::Service::new(store, sender, &platform.keys);
    Ok(Routes::new(NotificationServiceServer::new(service)))
}
