//! An orchestrator that shares its runs with others: log, tables and the record of nodes are on CQL.

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::platform::Platform;
use tonic::service::Routes;

use crate::engine::cluster::Cluster;
use crate::engine::seams::Seams;
use crate::engine::{Engine, Resources};
use crate::routing::{self, GrpcPeers};
use crate::store::cql::{self, CqlLog, CqlMembership, CqlTables};
use crate::workflows::{self, Participants};
use crate::{Config, Error, signals, system};

/// How long a node that ends tries to hand its runs over. What is left then goes with its log, when that is sealed.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that starts waits until it serves something. If others keep it waiting, its requests are passed on.
const FIRST_SHARE_LIMIT: Duration = Duration::from_secs(15);

/// Joins the orchestrators on the same keyspace, and returns the service.
pub(crate) async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let session = cql::open(&config.cql).await?;
    let log = Arc::new(CqlLog::open(&session).await?);
    let tables = Arc::new(CqlTables::open(&session).await?);
    let nodes = routing::nodes(&platform.directory);
    let cluster = Cluster {
        membership: Arc::new(CqlMembership::open(&session).await?),
        peers: Arc::new(GrpcPeers::new(nodes.clone())),
        address: config.address.clone(),
    };
    let engine = system::join(
        config.options(),
        (log, tables),
        cluster,
        Seams::system(),
        workflows::registry(),
        Resources::new().with(Participants::find(&platform.directory)),
    )
    .await?;
    tracing::info!(node = engine.log_id().0, address = config.address, "joined the orchestrators");
    leave_with_the_process(&engine, platform);
    engine.serving_something(FIRST_SHARE_LIMIT).await;
    signals::consume(engine.clone(), platform).await?;
    Ok(routing::routes(engine, &platform.keys, nodes))
}

/// A drain hands everything over; a node that was taken for dead must not go on, and panics out of the task so that the
/// process drains and is started anew, as another node.
fn leave_with_the_process(engine: &Engine, platform: &Platform) {
    let (engine, drain) = (engine.clone(), platform.tasks.token());
    platform.tasks.spawn("workflow-engine", async move {
        tokio::select! {
            () = drain.cancelled() => {}
            () = engine.fenced() => panic!("this node was taken for dead: SOUK-0010"),
        }
        if !engine.leave(LEAVE_LIMIT).await {
            tracing::warn!("not everything could be handed over; it goes with this node's log");
        }
        if let Err(error) = engine.shutdown().await {
            tracing::warn!(%error, "the log could not be sealed; others do that soon");
        }
    });
}
