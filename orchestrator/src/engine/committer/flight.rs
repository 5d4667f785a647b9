//! Several slots in flight, for logs that are a journey away: the next slot is written while the ones before it are not
//! known yet.
//!
//! A slot that is durable is nothing while one before it may not be: the log ends at the first gap, and whoever takes it
//! over seals it there. So slots are acknowledged in their order, and with the first one that is lost all that follow are
//! void, whatever became of them.
//!
//! A slot costs the store about the same whatever is in it, so they do not leave as fast as they can: beside others that
//! are under way, the next one gathers for half the time that a slot takes. A commit waits a quarter of that time more, in
//! the mean, and the store has two slots at a time in place of one for each commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::stream::{FuturesOrdered, StreamExt};

use super::{Commit, acknowledge, append, encode};
use crate::engine::core::Core;
use crate::engine::ids::Slot;
use crate::engine::limits::LONGEST_GATHER_MS;

/// A slot whose outcome is known.
struct Landed {
    slot: Slot,
    bytes: usize,
    commits: Vec<Commit>,
    /// Whether the slot holds what was written to it.
    is_ours: bool,
    /// How long that took to know.
    took_ms: u64,
}

/// When the next slot leaves beside those that are under way.
#[derive(Default)]
struct Pace {
    /// When the last one left, by the steady clock.
    left_ms: u64,
    /// How long a slot takes, smoothed.
    took_ms: u64,
    /// The last one was full, and left something behind.
    is_behind: bool,
}

impl Pace {
    /// How long to gather yet.
    fn wait_ms(&self, now_ms: u64) -> u64 {
        if self.is_behind {
            return 0;
        }
        let gather_ms = (self.took_ms / 2).min(LONGEST_GATHER_MS);
        gather_ms.saturating_sub(now_ms.saturating_sub(self.left_ms))
    }

    fn landed(&mut self, took_ms: u64) {
        self.took_ms = match self.took_ms {
            0 => took_ms,
            known => (3 * known + took_ms) / 4,
        };
    }
}

/// Writes batches until the engine stops or the log is lost.
pub(super) async fn commit_all(core: Arc<Core>) {
    let (limit, slot_bytes) = (core.log.slots_in_flight(), core.log.slot_bytes());
    let mut flights = FuturesOrdered::new();
    let mut slot = Slot(0);
    let mut pace = Pace::default();
    loop {
        let now_ms = core.seams.clock.steady_ms();
        let wait_ms = if flights.is_empty() { 0 } else { pace.wait_ms(now_ms) };
        let has_room = flights.len() < limit;
        let mut commits = Vec::new();
        if has_room && wait_ms == 0 {
            pace.is_behind = core.committer.take(&mut commits, slot_bytes);
        }
        if !commits.is_empty() {
            pace.left_ms = now_ms;
            flights.push_back(fly(&core, slot, commits));
            slot = slot.next();
            continue;
        }
        let gathers = has_room && wait_ms > 0 && core.committer.has_waiting();
        tokio::select! {
            biased;
            Some(landed) = flights.next() => {
                let Landed { slot, bytes, mut commits, is_ours, took_ms } = landed;
                if !is_ours {
                    core.fence();
                    return;
                }
                pace.landed(took_ms);
                acknowledge(&core, slot, bytes, &mut commits);
            }
            () = core.seams.clock.sleep(Duration::from_millis(wait_ms)), if gathers => {}
            () = core.committer.wake.notified(), if has_room => {}
            () = core.log_stop.cancelled(), if flights.is_empty() => return,
        }
    }
}

/// Writes a slot, as often as it takes to know what became of it.
async fn fly(core: &Arc<Core>, slot: Slot, commits: Vec<Commit>) -> Landed {
    let left_ms = core.seams.clock.steady_ms();
    // Numbered like their slots, from 1.
    let (encoded, _) = encode(BytesMut::new(), &core.writer, slot.0 + 1, &commits);
    let bytes = encoded.len();
    let is_ours = append(core, slot, encoded).await;
    let took_ms = core.seams.clock.steady_ms().saturating_sub(left_ms);
    Landed { slot, bytes, commits, is_ours, took_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gathers_for_half_the_time_that_one_takes_but_not_for_long() {
        let mut pace = Pace { left_ms: 100, ..Pace::default() };
        assert_eq!(pace.wait_ms(100), 0, "nothing is known yet");
        pace.landed(8);
        assert_eq!((pace.wait_ms(100), pace.wait_ms(103), pace.wait_ms(104)), (4, 1, 0));
        pace.landed(16);
        assert_eq!(pace.wait_ms(100), 5, "it follows slowly");
        pace.landed(60_000);
        assert_eq!(pace.wait_ms(100), LONGEST_GATHER_MS);
        pace.is_behind = true;
        assert_eq!(pace.wait_ms(100), 0, "a full slot is not waited for");
    }
}
