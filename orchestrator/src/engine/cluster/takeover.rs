//! The log of a node that is dead, or of this one when it ends: sealed, drained, and said to be so.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{parts, within_limit};
use crate::engine::core::Core;
use crate::engine::error::Error;
use crate::engine::ids::LogId;
use crate::engine::membership::NodeState;
use crate::engine::recovery;

/// Logs that this node is taking over now.
#[derive(Clone, Default)]
pub(super) struct Takeovers {
    under_way: Arc<Mutex<BTreeSet<LogId>>>,
}

impl Takeovers {
    /// Takes a log over beside everything else, unless that is under way.
    pub fn begin(&self, core: &Arc<Core>, log: LogId) {
        if !self.under_way.lock().insert(log) {
            return;
        }
        let (core, under_way) = (core.clone(), self.under_way.clone());
        let spawner = core.seams.spawner.clone();
        let work = async move {
            match take_over(&core, log).await {
                Ok(()) => {
                    tracing::warn!(log = log.0, "took the log of a dead node over");
                    metrics::counter!("souk_engine_takeovers_total").increment(1);
                }
                Err(error) => {
                    tracing::error!(log = log.0, %error, "a log could not be taken over; it is tried again");
                }
            }
            under_way.lock().remove(&log);
        };
        spawner.spawn_blocking("engine-takeover", Box::pin(work));
    }
}

async fn take_over(core: &Arc<Core>, log: LogId) -> Result<(), Error> {
    recovery::take_over(&*core.log, &*core.tables, &core.seams, &core.writer, log).await?;
    let (joined, _) = parts(core);
    within_limit(&core.seams, joined.membership.set_state(log, NodeState::Sealed)).await?;
    Ok(())
}

/// A node that ends has its own log taken over by itself, so that nobody needs to wait for it to be dead.
pub(crate) async fn seal_own_log(core: &Arc<Core>) -> Result<(), Error> {
    take_over(core, core.log_id).await
}
