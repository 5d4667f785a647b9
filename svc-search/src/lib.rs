//! Search: finds products by words, tolerating typing errors, and completes what a customer is typing.
//!
//! A full index of the catalog on disk, and nothing else: whatever happens to it, the catalog has it all.
//! `product.updated` events keep it up to date within a second ([`indexer`]); a comparison with the catalog at
//! the start and now and then fills a new index and finds what events could not tell ([`comparison`]). Both
//! go through [`domain::merge`], so that nothing older overwrites what is newer, in whatever order it comes.

pub mod comparison;
pub mod config;
pub mod domain;
pub mod error;
mod feed;
pub mod index;
pub mod indexer;
mod service;
pub mod text;

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::page::Tokens;
use souk_mesh::{Platform, bus};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::search::v1::search_service_server::SearchServiceServer;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "search";
/// The queue on the bus.
const QUEUE: &str = "search";
/// What changes what can be found.
const TOPICS: &[&str] = &["product.updated"];

/// Opens the index, begins to follow the catalog and returns the service. Until the first comparison is over,
/// a new index finds only part of the catalog.
///
/// # Errors
/// When the index's folder cannot be used, or the bus refuses the queue.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let folder = platform.data_folder(NAME)?;
    let open = move || index::ProductIndex::open(&folder);
    let index = Arc::new(tokio::task::spawn_blocking(open).await??);
    tracing::info!(products = index.known(), "the search index is open");
    let indexer = indexer::Indexer::spawn(Arc::clone(&index), &platform.tasks);
    let clock = Arc::clone(&platform.clock);
    let comparison = comparison::Comparison {
        catalog: CatalogServiceClient::new(platform.directory.channel("catalog")),
        indexer: indexer.clone(),
        clock: Arc::clone(&clock),
        every: Duration::from_millis(config.compare_every_ms),
    };
    // Subscribed first, so that the comparison covers what was before.
    bus::consume(Arc::clone(&platform.bus), &platform.tasks, QUEUE, TOPICS, move |event| {
        let (indexer, clock) = (indexer.clone(), Arc::clone(&clock));
        async move { feed::handle(event, &indexer, &clock).await }
    })
    .await?;
    comparison.spawn(&platform.tasks);
    let service = service::Service::new(index, Tokens::new(&platform.keys));
    Ok(Routes::new(SearchServiceServer::new(service)))
}
