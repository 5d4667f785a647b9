//! Runs that wait for signals or timers only: they leave memory after a while, and come back by replay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cell::RunCell;
use super::core::{Core, Options};
use super::limits::{EVICT_AT_ONCE, EVICT_EVERY_MS};
use super::seams::Clock;

/// Cells that were seen idle, with the time, the earliest first.
pub(crate) struct Idle {
    clock: Arc<dyn Clock>,
    /// How many may be here.
    max_runs: usize,
    queue: Mutex<VecDeque<(Arc<RunCell>, i64)>>,
    wake: Notify,
}

impl Idle {
    pub fn new(clock: Arc<dyn Clock>, max_runs: usize) -> Idle {
        Idle { clock, max_runs, queue: Mutex::default(), wake: Notify::new() }
    }

    /// A cell was drained: if its run waits for nothing that must be in memory, it may leave later.
    pub fn note(&self, cell: &Arc<RunCell>) {
        if cell.is_queued_idle.swap(true, Ordering::AcqRel) {
            return;
        }
        let runs = {
            let mut queue = self.queue.lock();
            queue.push_back((cell.clone(), self.clock.now_ms()));
            queue.len()
        };
        // Who waits for the first, or for its time, must know when there are too many.
        if runs == 1 || runs == self.max_runs + 1 || self.is_crowded(runs) {
            self.wake.notify_one();
        }
    }

    /// Whether there are so many too many that none may wait.
    fn is_crowded(&self, runs: usize) -> bool {
        runs > self.max_runs + EVICT_AT_ONCE
    }

    /// How long to wait before the next look; `None` while nothing is here.
    fn pause(&self, idle_after: Duration) -> Option<Duration> {
        let (since_ms, runs) = {
            let queue = self.queue.lock();
            (queue.front()?.1, queue.len())
        };
        if self.is_crowded(runs) {
            return Some(Duration::ZERO);
        }
        let least = Duration::from_millis(EVICT_EVERY_MS);
        if runs > self.max_runs {
            return Some(least);
        }
        // Who came in the future did so before the clock was set back.
        let idle_ms = idle_after.as_millis() as i64;
        let left_ms = since_ms.saturating_add(idle_ms).saturating_sub(self.clock.now_ms());
        Some(Duration::from_millis(left_ms.clamp(0, idle_ms).unsigned_abs()).max(least))
    }

    fn take_due(&self, idle_after: Duration) -> Vec<Arc<RunCell>> {
        let now_ms = self.clock.now_ms();
        let until_ms = now_ms.saturating_sub(idle_after.as_millis() as i64);
        let mut queue = self.queue.lock();
        let over = queue.len().saturating_sub(self.max_runs);
        let due = queue
            .iter()
            .take_while(|(_, since_ms)| *since_ms <= until_ms || *since_ms > now_ms)
            .count()
            .max(over);
        queue.drain(..due).map(|(cell, _)| cell).collect()
    }
}

/// Lets idle runs leave until the engine stops.
pub(crate) async fn evict_all(core: Arc<Core>) {
    let Options { idle_after, .. } = core.options;
    while !core.stop.is_cancelled() {
        let Some(pause) = core.idle.pause(idle_after) else {
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                () = core.idle.wake.notified() => continue,
            }
        };
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                () = core.idle.wake.notified() => continue,
                () = core.seams.clock.sleep(pause) => {}
            }
        }
        for cell in core.idle.take_due(idle_after) {
            evict(&core, &cell);
        }
        metrics::gauge!("souk_engine_loaded_runs").set(core.directory.len() as f64);
        metrics::gauge!("souk_engine_undrained_bytes").set(core.drainer.lag_bytes() as f64);
    }
}

fn evict(core: &Arc<Core>, cell: &Arc<RunCell>) {
    cell.is_queued_idle.store(false, Ordering::Release);
    let mut is_looked_at = false;
    let left = core.directory.remove_if(cell, || {
        let Some(mut guard) = cell.run.try_lock() else {
            is_looked_at = true;
            return false;
        };
        let is_idle = guard.as_ref().is_none_or(|run| run.is_idle());
        let may_leave = is_idle && cell.tail.lock().is_drained();
        if may_leave {
            *guard = None;
        }
        may_leave
    });
    // What has a step under way or is not drained yet comes up again when it is; what is in use, when it is not any more.
    // Who only looks at it does not hold it, and would leave it here for ever.
    if !left && (is_looked_at || cell.is_left_in_use()) {
        core.idle.note(cell);
    }
}
