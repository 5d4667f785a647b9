//! Engines on many nodes: each serves the runs of some partitions, and takes its part over from those that end or die.
//!
//! Two tasks do it. One says every second that the node is alive (`beat`); the other looks at the record of nodes as often
//! and does what follows from it (`watch`): it fences this node if it was taken for dead, takes the logs of dead nodes over
//! (`takeover`), claims partitions that are free and assigned to this node, and hands those over that are assigned to
//! others (`handover`). A third looks after children whose nodes have changed (`children`).
//!
//! Why no run is ever served by two: a partition changes hands only by a conditional change, made by its owner once
//! everything it did is in the tables, or by anybody once the owner's log is sealed and drained. Whatever a node believes
//! that was sealed, it can make nothing durable any more, and what it does to the tables late changes nothing there.

mod beat;
mod children;
mod handover;
mod takeover;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::error::Error;
use super::ids::LogId;
use super::limits::{BEAT_EVERY_MS, MAX_JOIN_TRIES, MEMBERSHIP_LIMIT_MS};
use super::membership::{self, Membership};
use super::ownership::Shared;
use super::peers::Peers;
use super::seams::Seams;
pub(crate) use takeover::seal_own_log;

/// What makes an engine one of many.
#[derive(Clone)]
pub struct Cluster {
    /// The record of nodes.
    pub membership: Arc<dyn Membership>,
    /// The way to the other nodes.
    pub peers: Arc<dyn Peers>,
    /// Where they reach this one: whatever `peers` makes of it.
    pub address: String,
}

/// What an engine that is one of many keeps of it.
pub(crate) struct Joined {
    pub membership: Arc<dyn Membership>,
    pub peers: Arc<dyn Peers>,
    /// The node is to hand everything over.
    pub leaving: CancellationToken,
    /// It has: it owns nothing, or nobody is there to take it.
    pub left: CancellationToken,
    /// Children may have ended unheard.
    pub children: tokio::sync::Notify,
}

impl Joined {
    pub fn new(cluster: &Cluster) -> Joined {
        Joined {
            membership: cluster.membership.clone(),
            peers: cluster.peers.clone(),
            leaving: CancellationToken::new(),
            left: CancellationToken::new(),
            children: tokio::sync::Notify::new(),
        }
    }
}

/// Gets a log of its own for a node. One whose answer is lost stays on record until others take it for dead.
pub(crate) async fn join(cluster: &Cluster, seams: &Seams) -> Result<LogId, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match within_limit(seams, cluster.membership.join(&cluster.address)).await {
            Err(error) if tries < MAX_JOIN_TRIES => {
                tracing::warn!(%error, "the node could not join; it tries again");
            }
            joined => return Ok(joined?),
        }
        seams.clock.sleep(Duration::from_millis(BEAT_EVERY_MS)).await;
    }
}

/// Begins the tasks that keep a node in the cluster.
pub(crate) fn begin(core: &Arc<Core>) {
    let spawner = &core.seams.spawner;
    spawner.spawn("cluster-beat", Box::pin(beat::beat_all(core.clone())));
    spawner.spawn("cluster-watch", Box::pin(watch::watch_all(core.clone())));
    spawner.spawn("cluster-children", Box::pin(children::check_all(core.clone())));
}

/// What only a node of a cluster has.
fn parts(core: &Core) -> (&Joined, &Shared) {
    let joined = core.cluster.as_ref().zip(core.ownership.as_shared());
    joined.expect("only nodes of a cluster come here")
}

/// An answer of the record of nodes, or that it takes too long.
async fn within_limit<T>(
    seams: &Seams,
    answer: impl Future<Output = Result<T, membership::Error>>,
) -> Result<T, membership::Error> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = seams.clock.sleep(Duration::from_millis(MEMBERSHIP_LIMIT_MS)) => {
            Err(membership::Error::Unknown("it takes too long".into()))
        }
    }
}
