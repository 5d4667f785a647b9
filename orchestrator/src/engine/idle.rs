//! Runs that wait for signals or timers only: they leave memory after a while, and come back by replay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::cell::RunCell;
use super::core::Core;
use super::limits::EVICT_EVERY_MS;

/// Cells that were seen idle, with the time, the earliest first.
#[derive(Default)]
pub(crate) struct Idle {
    queue: Mutex<VecDeque<(Arc<RunCell>, i64)>>,
}

impl Idle {
    /// A cell was drained: if its run waits for nothing that must be in memory, it may leave later.
    pub fn note(&self, cell: &Arc<RunCell>, now_ms: i64) {
        if !cell.is_queued_idle.swap(true, Ordering::AcqRel) {
            self.queue.lock().push_back((cell.clone(), now_ms));
        }
    }

    fn take_due(&self, now_ms: i64, idle_after: Duration, max_idle: usize) -> Vec<Arc<RunCell>> {
        let until_ms = now_ms.saturating_sub(idle_after.as_millis() as i64);
        let mut queue = self.queue.lock();
        let over = queue.len().saturating_sub(max_idle);
        let due = queue.iter().take_while(|(_, since_ms)| *since_ms <= until_ms).count().max(over);
        queue.drain(..due).map(|(cell, _)| cell).collect()
    }
}

/// Lets idle runs leave until the engine stops.
pub(crate) async fn evict_all(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.seams.clock.sleep(Duration::from_millis(EVICT_EVERY_MS)) => {}
            () = core.stop.cancelled() => return,
        }
        let options = &core.options;
        let due = core.idle.take_due(core.now_ms(), options.idle_after, options.max_idle_runs);
        for cell in due {
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
        let may_leave = is_idle && cell.tail.lock().events.is_empty();
        if may_leave {
            *guard = None;
        }
        may_leave
    });
    // What is in use comes up again later; what waits for a step does so when the step's outcome is drained.
    if !left && cell.tail.lock().row.as_ref().is_some_and(|row| !row.state().is_closed()) {
        core.idle.note(cell, core.now_ms());
    }
}
