//! The durable-execution engine and the workflows that it drives.
//!
//! [`engine`] knows nothing of commerce; [`workflows`] are the shop's, one file each; [`system`] has the engine's own; the rest is how the two are
//! reached: by gRPC ([`service`], [`wire`]) and by the shop's events ([`signals`]).

#![deny(clippy::iter_over_hash_type)] // the order of a hash map differs from run to run

pub mod config;
pub mod engine;
mod error;
mod history;
pub mod replay;
pub mod routing;
mod service;
mod shared;
mod signals;
pub mod store;
pub mod system;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;
pub mod workflows;

use souk_mesh::identity::Keys;
use souk_mesh::platform::Platform;
use souk_proto::workflow::v1::workflow_service_server::WorkflowServiceServer;
use tonic::service::Routes;

pub use config::Config;
use engine::seams::Seams;
use engine::{Engine, Resources};
pub use error::Error;
use workflows::Participants;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "workflow";

/// Opens the store, recovers every run that is on record, begins to hear the shop's events, and returns the service.
///
/// # Errors
/// When the store cannot be opened or read, is damaged, or the bus refuses the queue.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let platform = platform.for_service(NAME);
    if config.store == config::Store::Cql {
        return shared::start(&platform, config).await;
    }
    let (log, tables) = store::open_folder(&platform)?;
    let engine = system::open(
        config.options(),
        log,
        tables,
        Seams::system(),
        workflows::registry(),
        Resources::new().with(Participants::find(&platform.directory)),
    )
    .await?;
    end_with_the_process(&engine, &platform);
    signals::consume(engine.clone(), &platform).await?;
    Ok(routes(engine, &platform.keys))
}

/// The service over an engine that runs already.
#[must_use]
pub fn routes(engine: Engine, keys: &Keys) -> Routes {
    Routes::new(WorkflowServiceServer::new(service::Service::new(engine, keys)))
}

/// A drain leaves everything in the tables; a node that has lost its log must not go on, and panics out of the task so
/// that the process drains and is started anew.
fn end_with_the_process(engine: &Engine, platform: &Platform) {
    let (engine, drain) = (engine.clone(), platform.tasks.token());
    platform.tasks.spawn("workflow-engine", async move {
        tokio::select! {
            () = drain.cancelled() => {}
            () = engine.fenced() => panic!("this node has lost its log: SOUK-0010"),
        }
        if let Err(error) = engine.shutdown().await {
            tracing::warn!(%error, "the tables are behind the log; the next start makes up for it");
        }
    });
}
