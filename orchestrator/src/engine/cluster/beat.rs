//! A node says that it is alive. While it cannot, it does not answer from its memory.

use std::sync::Arc;
use std::time::Duration;

use super::{parts, within_limit};
use crate::engine::core::Core;
use crate::engine::error::Error;
use crate::engine::ids::Slot;
use crate::engine::limits::{BEAT_EVERY_MS, CERTAIN_MS, READ_BYTES};
use crate::engine::membership::{Beat, NodeState};
use crate::engine::slot::{self, Content};

/// Beats until nothing becomes durable any more.
pub(super) async fn beat_all(core: Arc<Core>) {
    let mut count = 0;
    while !core.over.is_cancelled() {
        count += 1;
        let began_ms = core.seams.clock.steady_ms();
        if let Err(error) = beat(&core, count, began_ms).await {
            tracing::warn!(%error, "the node could not say that it is alive; it tries again");
        }
        let passed_ms = core.seams.clock.steady_ms().saturating_sub(began_ms);
        let pause_ms = BEAT_EVERY_MS.saturating_sub(passed_ms).max(1);
        tokio::select! {
            biased;
            () = core.seams.clock.sleep(Duration::from_millis(pause_ms)) => {}
            () = core.over.cancelled() => return,
        }
    }
}

async fn beat(core: &Arc<Core>, count: u64, began_ms: u64) -> Result<(), Error> {
    let (joined, shared) = parts(core);
    let as_of_ms = core.drainer.behind_since_ms().unwrap_or_else(|| core.now_ms());
    let beat = joined.membership.beat(core.log_id, Beat { count, as_of_ms });
    within_limit(&core.seams, beat).await?;
    let was_certain = shared.is_certain();
    if !was_certain && was_taken_for_dead(core).await? {
        tracing::error!(log = core.log_id.0, "the node was taken for dead, and ends");
        core.fence();
        return Ok(());
    }
    // Others count from when they see it, which is later.
    shared.certain_until(began_ms + CERTAIN_MS);
    if !was_certain {
        // What was due meanwhile was turned away.
        core.timers.scan_now();
    }
    Ok(())
}

/// Whether somebody has sealed the log of this node, or says so.
async fn was_taken_for_dead(core: &Arc<Core>) -> Result<bool, Error> {
    let (joined, _) = parts(core);
    let view = within_limit(&core.seams, joined.membership.view()).await?;
    let is_on_record =
        view.nodes.get(&core.log_id).is_some_and(|node| node.state != NodeState::Sealed);
    if !is_on_record {
        return Ok(true);
    }
    // A SEAL is behind what this node has written, whether it knows that yet or not.
    let mut next = Slot(core.drainer.pushed());
    loop {
        let slots = core.log.read(core.log_id, next, READ_BYTES).await?;
        let Some(last) = slots.last() else { return Ok(false) };
        next = last.slot.next();
        if slots.iter().any(|one| matches!(slot::read(&one.bytes), Ok(Content::Seal))) {
            return Ok(true);
        }
    }
}
