//! Being one node of many: joining, leaving, and who else is there.

use std::time::Duration;

use super::Engine;
use crate::engine::error::Error;
use crate::engine::ids::LogId;
use crate::engine::limits::LOOK_SOON_MS;
use crate::engine::membership::View;
use crate::engine::ownership::Owner;
use crate::engine::partition::{Partition, PartitionSet};

impl Engine {
    /// The log that this engine writes: under a cluster the node is known by it.
    pub fn log_id(&self) -> LogId {
        self.core.log_id
    }

    /// Who serves the runs under a workflow id, if that is another node.
    ///
    /// # Errors
    /// [`Error::NotOwner`] without an owner if nobody is known to: the partition is on its way, or this node cannot say
    /// that it is alive. Ask again soon.
    pub fn owner_of(&self, workflow_id: &str) -> Result<Option<Owner>, Error> {
        match self.core.ownership.check(workflow_id) {
            Ok(()) => Ok(None),
            Err(Error::NotOwner { owner: Some(owner), .. }) => Ok(Some(owner)),
            Err(error) => Err(error),
        }
    }

    /// The partitions that this node serves.
    pub fn serving(&self) -> PartitionSet {
        self.core.ownership.serving()
    }

    /// Whether this node serves a partition, and can say that it is alive.
    pub fn serves(&self, partition: Partition) -> bool {
        let shared = self.core.ownership.as_shared();
        shared.is_none_or(|shared| shared.is_certain() && shared.serving().contains(partition))
    }

    /// What was on record of nodes and partitions when this one last looked; `None` if it is the only one.
    pub fn nodes(&self) -> Option<View> {
        self.core.ownership.as_shared().map(|shared| View::clone(&shared.view()))
    }

    /// Hands everything over to the other nodes, as far as it goes within `limit`. What is left goes with
    /// [`Engine::shutdown`], which must follow. Returns whether nothing is left, or nobody is there to take it.
    pub async fn leave(&self, limit: Duration) -> bool {
        let Some(joined) = &self.core.cluster else { return true };
        joined.leaving.cancel();
        tokio::select! {
            biased;
            () = joined.left.cancelled() => true,
            () = self.core.over.cancelled() => false,
            () = self.core.seams.clock.sleep(limit) => false,
        }
    }

    /// Waits until this node serves something, or for `limit`. Returns whether it does.
    pub async fn serving_something(&self, limit: Duration) -> bool {
        let clock = &self.core.seams.clock;
        let end_ms = clock.steady_ms() + u64::try_from(limit.as_millis()).unwrap_or(u64::MAX / 2);
        while self.serving().is_empty() && clock.steady_ms() < end_ms {
            clock.sleep(Duration::from_millis(LOOK_SOON_MS)).await;
        }
        !self.serving().is_empty()
    }
}
