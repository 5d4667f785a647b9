//! Runs that wait for signals or timers only: they leave memory after a while, and come back by replay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cell::RunCell;
use super::core::{Core, Options};
use super::limits::EVICT_EVERY_MS;
use super::seams::Clock;

/// Cells that were seen idle, with the time, the earliest first.
pub(crate) struct Idle {
    clock: Arc<dyn Clock>,
    queue: Mutex<VecDeque<(Arc<RunCell>, i64)>>,
    wake: Notify,
}

impl Idle {
    pub fn new(clock: Arc<dyn Clock>) -> Idle {
        Idle { clock, queue: Mutex::default(), wake: Notify::new() }
    }

    /// A cell was drained: if its run waits for nothing that must be in memory, it may leave later.
    pub fn note(&self, cell: &Arc<RunCell>) {
        if !cell.is_queued_idle.swap(true, Ordering::AcqRel) {
            self.queue.lock().push_back((cell.clone(), self.clock.now_ms()));
            self.wake.notify_one();
        }
    }

    /// When to look next, in unix milliseconds: at once if there are too many, else when the first is due.
    fn next_ms(&self, idle_after: Duration, max_idle: usize) -> Option<i64> {
        let queue = self.queue.lock();
        let (_, since_ms) = queue.front()?;
        let is_over = queue.len() > max_idle;
        Some(if is_over {
            i64::MIN
        } else {
            since_ms.saturating_add(idle_after.as_millis() as i64)
        })
    }

    fn take_due(&self, now_ms: i64, idle_after: Duration, max_idle: usize) -> Vec<Arc<RunCell>> {
        let until_ms = now_ms.saturating_sub(idle_after.as_millis() as i64);
        let mut queue = self.queue.lock();
        let over = queue.len().saturating_sub(max_idle);
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
    let Options { idle_after, max_idle_runs, .. } = core.options;
    while !core.stop.is_cancelled() {
        let Some(next_ms) = core.idle.next_ms(idle_after, max_idle_runs) else {
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                () = core.idle.wake.notified() => continue,
            }
        };
        // Who came in the future did so before the clock was set back.
        let pause_ms = next_ms.saturating_sub(core.now_ms());
        let pause_ms = pause_ms.clamp(0, idle_after.as_millis() as i64).unsigned_abs();
        tokio::select! {
            biased;
            () = core.stop.cancelled() => return,
            () = core.seams.clock.sleep(Duration::from_millis(pause_ms.max(EVICT_EVERY_MS))) => {}
        }
        for cell in core.idle.take_due(core.now_ms(), idle_after, max_idle_runs) {
            evict(&core, &cell);
        }
        metrics::gauge!("souk_engine_loaded_runs").set(core.directory.len() as f64);
        metrics::gauge!("souk_engine_undrained_bytes").set(core.drainer.lag_bytes() as f64);
    }
}

fn evict(core: &Arc<Core>, cell: &Arc<RunCell>) {
    cell.is_queued_idle.store(false, Ordering::Release);
    let left = core.directory.remove_if(cell, || {
        let Some(mut guard) = cell.run.try_lock() else { return false };
        let is_idle = guard.as_ref().is_none_or(|run| run.is_idle());
        let may_leave = is_idle && cell.tail.lock().is_drained();
        if may_leave {
            *guard = None;
        }
        may_leave
    });
    // What has a step under way or is not drained yet comes up again when it is; what is in use, when it is not any more.
    if !left && cell.is_left_in_use() {
        core.idle.note(cell);
    }
}
