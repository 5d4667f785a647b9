//! Several slots in flight, for logs that are a journey away: the next slot is written while the ones before it are not
//! known yet.
//!
//! A slot that is durable is nothing while one before it may not be: the log ends at the first gap, and whoever takes it
//! over seals it there. So slots are acknowledged in their order, and with the first one that is lost all that follow are
//! void, whatever became of them.

use std::sync::Arc;

use bytes::BytesMut;
use futures::stream::{FuturesOrdered, StreamExt};

use super::{Commit, acknowledge, append, encode};
use crate::engine::core::Core;
use crate::engine::ids::Slot;

/// A slot whose outcome is known.
struct Landed {
    slot: Slot,
    bytes: usize,
    commits: Vec<Commit>,
    /// Whether the slot holds what was written to it.
    is_ours: bool,
}

/// Writes batches until the engine stops or the log is lost.
pub(super) async fn commit_all(core: Arc<Core>) {
    let (limit, slot_bytes) = (core.log.slots_in_flight(), core.log.slot_bytes());
    let mut flights = FuturesOrdered::new();
    let mut slot = Slot(0);
    loop {
        let mut commits = Vec::new();
        if flights.len() < limit {
            core.committer.take(&mut commits, slot_bytes);
        }
        if !commits.is_empty() {
            flights.push_back(fly(&core, slot, commits));
            slot = slot.next();
            continue;
        }
        tokio::select! {
            biased;
            Some(landed) = flights.next() => {
                let Landed { slot, bytes, mut commits, is_ours } = landed;
                if !is_ours {
                    core.fence();
                    return;
                }
                acknowledge(&core, slot, bytes, &mut commits);
            }
            () = core.committer.wake.notified(), if flights.len() < limit => {}
            () = core.log_stop.cancelled(), if flights.is_empty() => return,
        }
    }
}

/// Writes a slot, as often as it takes to know what became of it.
async fn fly(core: &Arc<Core>, slot: Slot, commits: Vec<Commit>) -> Landed {
    // Numbered like their slots, from 1.
    let (encoded, _) = encode(BytesMut::new(), &core.writer, slot.0 + 1, &commits);
    let bytes = encoded.len();
    let is_ours = append(core, slot, encoded).await;
    Landed { slot, bytes, commits, is_ours }
}
