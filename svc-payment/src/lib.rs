//! Payments: the only code that knows the payment provider.
//!
//! Layout: [`domain`] has the rules, [`provider`] the provider as this service needs it, [`store`]
//! the books; [`payments`] brings the three together, one worker at a time per payment
//! ([`keyed_lock`]); [`service`] and [`wire`] translate. README.md tells what each call does, and
//! how often it waits for a disk.

pub mod config;
pub mod domain;
pub mod error;
mod keyed_lock;
mod payments;
pub mod provider;
mod service;
pub mod store;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::outbox;
use souk_mesh::platform::Platform;
use souk_proto::payment::v1::payment_service_server::PaymentServiceServer;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "payment";
const STORE_FILE: &str = "payment.sqlite";

/// Opens the books, begins to move their events to the bus and to bring unfinished refunds to their
/// end, and returns the service, which speaks to the provider over HTTP.
///
/// # Errors
/// When the data folder is in use, or the books do not open.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let timeout = Duration::from_millis(config.provider_timeout_ms);
    let provider = provider::HttpProvider::new(&config.provider_url, timeout)?;
    start_with(platform, config, Arc::new(provider)).await
}

/// As [`start`], with another way to the provider.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    platform: &Platform,
    config: Config,
    provider: Arc<dyn provider::Provider>,
) -> Result<Routes, Error> {
    let store = open_store(platform, &config).await?;
    let payments =
        payments::Payments::new(store, provider, platform.clock.clone(), platform.tasks.clone());
    payments::spawn_housekeeping(&payments);
    let service = service::Service::new(payments, platform.pages.clone(), platform.clock.clone());
    Ok(Routes::new(PaymentServiceServer::new(service)))
}

/// Opens the books that the configuration names, and begins to move their events to the bus.
async fn open_store(
    platform: &Platform,
    config: &Config,
) -> Result<Arc<dyn store::PaymentStore>, Error> {
    let Platform { bus, tasks, clock, .. } = platform;
    Ok(match config.store {
        config::Store::Sqlite => {
            let folder = platform.data_folder(NAME)?;
            let store = store::SqliteStore::open(&folder.join(STORE_FILE))?;
            outbox::spawn_relay(store.file(), bus.clone(), tasks, NAME);
            Arc::new(store)
        }
        config::Store::Cql => {
            let open = store::CqlStore::open(&config.cql, bus.clone(), tasks, clock.clone());
            // Boxed: the driver's futures are deep, and those of the whole shop are made of them.
            Arc::new(Box::pin(open).await?)
        }
    })
}
