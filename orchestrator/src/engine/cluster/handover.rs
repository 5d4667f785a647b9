//! Partitions that leave this node while it lives.
//!
//! Nothing new begins in them, their runs leave memory, what they did becomes durable and goes into the tables, and then
//! the partition changes hands. No event in the log tells of it: whoever drains this log later finds every one of its
//! events in the tables, or newer ones, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{parts, within_limit};
use crate::engine::core::Core;
use crate::engine::error::Error;
use crate::engine::limits::{HANDOVER_LIMIT_MS, HANDOVER_LOOK_MS};
use crate::engine::membership::{Move, View};
use crate::engine::ownership::Standing;
use crate::engine::partition::PartitionSet;

/// Hands partitions over. Returns whether they have changed hands; if not, they are as the next view says.
pub(super) async fn hand_over(core: &Arc<Core>, moves: &[Move], view: &mut View) -> bool {
    let (joined, shared) = parts(core);
    let partitions: PartitionSet = moves.iter().map(|one| one.partition).collect();
    partitions.iter().for_each(|one| shared.set_standing(one, Standing::Moving));
    let_go(core, &partitions);
    if let Err(error) = come_to_rest(core).await {
        tracing::warn!(%error, "partitions could not be handed over; it is tried again");
        return false;
    }
    match within_limit(&core.seams, joined.membership.move_leases(moves)).await {
        Ok(true) => {
            metrics::counter!("souk_engine_handovers_total").increment(moves.len() as u64);
            view.leases.extend(moves.iter().map(|one| (one.partition, one.lease())));
            partitions.iter().for_each(|one| shared.set_standing(one, Standing::Absent));
            true
        }
        Ok(false) => false,
        Err(error) => {
            tracing::warn!(%error, "partitions may have been handed over or not; it is looked again");
            false
        }
    }
}

/// Takes the runs of partitions out of memory, with their calls. Whoever waits for them is told to ask elsewhere.
pub(super) fn let_go(core: &Arc<Core>, partitions: &PartitionSet) {
    loop {
        let cells = core.directory.depart(partitions);
        if cells.is_empty() {
            return;
        }
        for cell in cells {
            // From here on nothing can happen to it: what did before is in the queue for the log.
            if let Some(run) = cell.move_away() {
                run.give_calls_up();
            }
            core.directory.remove(&cell);
            cell.more_durable.notify_waiters();
            cell.more_published.notify_waiters();
        }
        // A turn that began while its predecessor was looked at is found the next time.
    }
}

/// Waits until everything that was decided so far is in the tables, for good.
async fn come_to_rest(core: &Arc<Core>) -> Result<(), Error> {
    let clock = &core.seams.clock;
    let end_ms = clock.steady_ms() + HANDOVER_LIMIT_MS;
    let look = || async {
        if core.fenced.is_cancelled() {
            return Err(Error::Fenced);
        }
        if clock.steady_ms() >= end_ms {
            return Err(Error::Overloaded("the tables are too far behind the log"));
        }
        clock.sleep(Duration::from_millis(HANDOVER_LOOK_MS)).await;
        Ok(())
    };
    let commits = core.committer.pushed();
    while core.committer.written() < commits {
        look().await?;
    }
    let slots = core.drainer.pushed();
    core.drainer.hurry(slots);
    while core.drainer.drained() < slots {
        look().await?;
    }
    core.tables.sync().await?;
    Ok(())
}
