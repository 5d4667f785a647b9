//! Products, prices and stock: reservations that never oversell.
//!
//! # Layout
//! * [`domain`]: what the catalog is about, pure.
//! * [`store`]: what it asks of a store, [`store::sqlite`] and [`store::cql`].
//! * [`service`], with `requests` and `wire`: gRPC in and out. `events`: what others are told.
//! * [`sweeper`]: ends forgotten holds. [`seed`] and [`pictures`]: the demonstration shop.

pub mod config;
pub mod domain;
mod error;
mod events;
pub mod pictures;
mod requests;
pub mod seed;
pub mod service;
pub mod store;
pub mod sweeper;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::outbox;
use souk_mesh::platform::Platform;
use souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;
use service::Catalog;
use store::Store;
use store::cql::CqlStore;
use store::sqlite::SqliteStore;

/// The service's name in the directory and of its data folder.
pub const NAME: &str = "catalog";

/// Opens the store, starts the background work and returns the gRPC service.
///
/// # Errors
/// When the store cannot be opened, or the demonstration shop not be put into it.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    match config.store {
        config::Store::Sqlite => {
            let file = platform.data_folder(NAME)?.join("catalog.sqlite");
            let store = Arc::new(SqliteStore::open(&file)?);
            let bus = Arc::clone(&platform.bus);
            outbox::spawn_relay(store.database(), bus, &platform.tasks, NAME);
            serve(platform, &config, store).await
        }
        config::Store::Cql => {
            let store = Arc::new(CqlStore::open(&config.cql, platform).await?);
            serve(platform, &config, store).await
        }
    }
}

async fn serve<S: Store>(
    platform: &Platform,
    config: &Config,
    store: Arc<S>,
) -> Result<Routes, Error> {
    let clock = Arc::clone(&platform.clock);
    if config.seed {
        let added = seed::fill(store.as_ref(), clock.now_ms()).await?;
        tracing::info!(added, "demonstration products");
    }
    let every = Duration::from_millis(config.sweep_every_ms);
    sweeper::spawn(Arc::clone(&store), Arc::clone(&clock), &platform.tasks, every);
    let catalog = Catalog::new(store, clock, platform.pages.clone());
    Ok(Routes::new(CatalogServiceServer::new(catalog)))
}
