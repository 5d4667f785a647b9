//! Products, prices and stock: reservations that never oversell.
//!
//! # Layout
//! * [`domain`]: what the catalog is about, pure.
//! * [`store`]: what it asks of a store, and [`store::sqlite`].
//! * [`service`], with `requests` and `wire`: gRPC in and out. `events`: what others are told.
//! * [`sweeper`]: ends forgotten holds. [`seed`] and [`pictures`]: the demonstration shop.

mod config;
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
use store::sqlite::SqliteStore;

/// The service's name in the directory and of its data folder.
pub const NAME: &str = "catalog";

/// Opens the store, starts the background work and returns the gRPC service.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let file = platform.data_folder(NAME)?.join("catalog.sqlite");
    let store = Arc::new(SqliteStore::open(&file)?);
    if config.seed {
        let added = seed::fill(store.as_ref(), platform.clock.now_ms()).await?;
        tracing::info!(added, "demonstration products");
    }
    outbox::spawn_relay(store.database(), Arc::clone(&platform.bus), &platform.tasks, NAME);
    let every = Duration::from_millis(config.sweep_every_ms);
    sweeper::spawn(Arc::clone(&store), Arc::clone(&platform.clock), &platform.tasks, every);
    let catalog = Catalog::new(store, Arc::clone(&platform.clock), platform.pages.clone());
    Ok(Routes::new(CatalogServiceServer::new(catalog)))
}
