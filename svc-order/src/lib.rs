//! Orders: the versioned record that arbitrates cancel, ship and deliver, and PlaceOrder, which
//! prices, records and has the workflow `place_order` carry it out.
//!
//! Layout: [`domain`] and [`pricing`] are pure; [`store`] keeps orders; [`placing`] is PlaceOrder
//! ([`flights`] lets equal requests travel as one, [`preparing`] prices, [`starter`] starts workflows
//! and makes up for lost starts, [`answering`] words the response); [`watch`] is WatchOrder ([`hub`]
//! wakes it, [`history`] reads the workflow, [`progress`] words it); [`workflow`] is the contract with
//! the orchestrator; [`wire`] and [`events`] translate.

pub mod answering;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod flights;
pub mod history;
pub mod hub;
pub mod placing;
pub mod preparing;
pub mod pricing;
pub mod progress;
pub mod service;
pub mod starter;
pub mod states;
pub mod store;
pub mod watch;
pub mod wire;
pub mod workflow;

use std::sync::Arc;

use souk_mesh::outbox;
use souk_mesh::platform::Platform;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::order::v1::order_service_server::OrderServiceServer;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

use history::Histories;
use hub::Hub;
use placing::Placer;
use preparing::Neighbours;
use service::Service;
use starter::Starter;
use store::OrderStore;
use store::cql::CqlStore;
use store::sqlite::SqliteStore;
use watch::Watches;

/// The service's name: in the directory, as its data folder, and as `service:order` to others.
pub const NAME: &str = "order";

async fn open_store(platform: &Platform, config: &Config) -> Result<Arc<dyn OrderStore>, Error> {
    Ok(match config.store {
        config::Store::Sqlite => {
            let sqlite = SqliteStore::open(&platform.data_folder(NAME)?.join("order.db"))?;
            outbox::spawn_relay(sqlite.store(), Arc::clone(&platform.bus), &platform.tasks, NAME);
            Arc::new(sqlite)
        }
        config::Store::Cql => Arc::new(CqlStore::open(platform, &config.cql).await?),
    })
}

/// Opens the store, starts the background work and returns the gRPC service.
///
/// # Errors
/// When the configuration cannot work or the data folder cannot be used.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    config.check()?;
    let platform = platform.for_service(NAME);
    let store = open_store(&platform, &config).await?;

    let neighbours = Neighbours {
        catalog: CatalogServiceClient::new(platform.directory.channel("catalog")),
        cart: CartServiceClient::new(platform.directory.channel("cart")),
        user: UserServiceClient::new(platform.directory.channel("user")),
    };
    let workflows = WorkflowServiceClient::new(platform.directory.channel("workflow"));
    let starter = Starter::new(workflows.clone(), Arc::clone(&store));
    starter.spawn_sweeper(&platform.tasks, platform.clock.clone(), &config);

    let hub = Hub::default();
    let histories = Histories::new(workflows);
    let clock = platform.clock.clone();
    let placer = Placer::new(Arc::clone(&store), clock.clone(), neighbours, starter, &config);
    let watches = Watches::new(
        Arc::clone(&store),
        histories.clone(),
        hub.clone(),
        clock.clone(),
        platform.tasks.token(),
        &config,
    );
    let pages = platform.pages.clone();
    let service = Service { store, placer, watches, hub, histories, pages, clock };
    Ok(Routes::new(OrderServiceServer::new(service)))
}
