//! Carts: what customers intend to buy, kept for seven days since the last change.
//!
//! A cart holds products and pieces, never prices: those are the catalog's, asked for at every read.
//! Its version grows with each change and is never used twice, so that an order can name what it bought
//! and take out just that ([`domain::Cart::apply`] with [`domain::Change::Clear`]).

pub mod config;
pub mod domain;
pub mod error;
mod pricing;
mod service;
pub mod store;
mod sweeper;

use std::sync::Arc;

use souk_mesh::platform::Platform;
use souk_proto::cart::v1::cart_service_server::CartServiceServer;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "cart";

/// Opens the store, starts the sweeper of expired carts where the store needs it, and returns the service.
///
/// # Errors
/// When the store cannot be opened. A Redis that is away is no error: calls are UNAVAILABLE until it is there.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let platform = platform.for_service(NAME);
    let store: Arc<dyn store::CartStore> = match config.store {
        config::Store::Sqlite => {
            let store = Arc::new(store::Sqlite::open(&platform.data_folder(NAME)?)?);
            sweeper::spawn(store.clone(), Arc::clone(&platform.clock), &platform.tasks);
            store
        }
        config::Store::Redis => Arc::new(store::Redis::open(&config.redis).await?),
    };
    let catalog = CatalogServiceClient::new(platform.directory.channel("catalog"));
    let service = service::Service::new(
        store,
        pricing::Pricing::new(catalog),
        Arc::clone(&platform.clock),
        config.lifetime_ms,
    );
    Ok(Routes::new(CartServiceServer::new(service)))
}
