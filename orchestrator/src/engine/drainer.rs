//! Draining: what the log holds goes into the keyed tables, a while later, run by run.
//!
//! A run is drained with all its durable events, also those of slots that are not due yet. So a run that closes within the
//! delay leaves one record. Draining again what was drained before changes nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

mod change;

use super::cell::RunCell;
use super::core::Core;
use super::error::Error;
use super::ids::Slot;
use super::limits::{
    DRAIN_EARLY_BYTES, DRAIN_EARLY_RUNS, DRAIN_RETRY_MS, MAX_BYTES_PER_DRAIN, MAX_RUNS_PER_DRAIN,
    TRIM_EVERY_BYTES,
};
use super::row::{Cursor, RunRow};
use super::tables::DrainStep;
use change::change_to;
pub(crate) use change::{change_of, unpack_from};

/// A durable slot that is to be drained.
pub(crate) struct DrainSlot {
    pub slot: Slot,
    pub bytes: u64,
    /// The runs with events in it that no earlier slot in the queue names.
    pub cells: Vec<Arc<RunCell>>,
    /// When it became durable, in unix milliseconds.
    pub at_ms: i64,
}

/// The queue behind the log.
#[derive(Default)]
pub(crate) struct Drainer {
    slots: Mutex<VecDeque<DrainSlot>>,
    /// When the oldest slot that is being applied became durable.
    applying_ms: Mutex<Option<i64>>,
    wake: Notify,
    bytes: AtomicU64,
    /// Runs that wait to be drained.
    runs: AtomicUsize,
    /// How many slots were ever pushed.
    pushed: AtomicU64,
    /// How many of them are in the tables.
    drained: AtomicU64,
    /// How many of them someone waits for.
    hurried: AtomicU64,
}

impl Drainer {
    pub fn push(&self, slot: DrainSlot) {
        self.bytes.fetch_add(slot.bytes, Ordering::Relaxed);
        self.runs.fetch_add(slot.cells.len(), Ordering::Relaxed);
        {
            let mut slots = self.slots.lock();
            slots.push_back(slot);
            self.pushed.fetch_add(1, Ordering::AcqRel);
        }
        self.wake.notify_one();
    }

    /// How many slots of the log are durable.
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    /// How many of them are in the tables.
    pub fn drained(&self) -> u64 {
        self.drained.load(Ordering::Acquire)
    }

    /// Has the first `count` slots drained without delay.
    pub fn hurry(&self, count: u64) {
        self.hurried.fetch_max(count, Ordering::AcqRel);
        self.wake.notify_one();
    }

    fn is_hurried(&self) -> bool {
        self.drained() < self.hurried.load(Ordering::Acquire)
    }

    /// Bytes of the log that are not in the tables.
    pub fn lag_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Runs with durable events that are not in the tables.
    pub fn lag_runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    /// Whether so much waits that it must not wait any longer.
    fn is_long(&self) -> bool {
        self.lag_bytes() >= DRAIN_EARLY_BYTES
            || self.lag_runs() >= DRAIN_EARLY_RUNS
            || self.is_hurried()
    }

    /// When the oldest slot that is not in the tables became durable, in unix milliseconds.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.slots.lock().front().map(|slot| slot.at_ms)
    }

    /// The tables know everything that was durable before this time, in unix milliseconds; `None`: everything.
    pub fn behind_since_ms(&self) -> Option<i64> {
        let slots = self.slots.lock();
        self.applying_ms.lock().or_else(|| slots.front().map(|slot| slot.at_ms))
    }

    /// The next slots, in order: at least one if there is one, of the others those that became durable before `until_ms`.
    fn take(&self, until_ms: i64) -> Vec<DrainSlot> {
        let mut slots = self.slots.lock();
        *self.applying_ms.lock() = slots.front().map(|slot| slot.at_ms);
        let (mut runs, mut bytes) = (0, 0);
        let fitting = slots.iter().take_while(|slot| {
            runs += slot.cells.len();
            bytes += slot.bytes as usize;
            runs <= MAX_RUNS_PER_DRAIN && bytes <= MAX_BYTES_PER_DRAIN && slot.at_ms <= until_ms
        });
        let count = fitting.count().max(1).min(slots.len());
        slots.drain(..count).collect()
    }
}

/// Drains until the engine stops, and then what is left.
pub(crate) async fn drain_all(core: Arc<Core>) {
    let mut untrimmed = 0;
    loop {
        if !wait_until_due(&core).await {
            break;
        }
        untrimmed += drain_some(&core).await;
        if untrimmed >= TRIM_EVERY_BYTES {
            untrimmed = 0;
            trim(&core).await;
        }
    }
    core.drained.cancel();
    core.over.cancel();
}

/// Returns false when the engine stops and nothing is left.
async fn wait_until_due(core: &Arc<Core>) -> bool {
    loop {
        let oldest = core.drainer.oldest_ms();
        let stopping = core.drain_stop.is_cancelled();
        match oldest {
            None if stopping => return false,
            None => tokio::select! {
                biased;
                () = core.drainer.wake.notified() => {}
                () = core.drain_stop.cancelled() => {}
            },
            Some(_) if core.fenced.is_cancelled() => return false,
            Some(_) if stopping || core.drainer.is_long() => return true,
            Some(at_ms) => {
                let delay_ms = core.options.drain_delay.as_millis() as i64;
                let left_ms = at_ms.saturating_add(delay_ms) - core.now_ms();
                // A slot from the future was written before the clock was set back.
                if left_ms <= 0 || left_ms > delay_ms {
                    return true;
                }
                tokio::select! {
                    biased;
                    () = core.seams.clock.sleep(Duration::from_millis(left_ms as u64)) => {}
                    () = core.drain_stop.cancelled() => {}
                    // More came: it may be enough now.
                    () = core.drainer.wake.notified() => {}
                }
            }
        }
    }
}

async fn drain_some(core: &Arc<Core>) -> u64 {
    let stopping = core.drain_stop.is_cancelled() || core.drainer.is_hurried();
    let half_delay_ms = (core.options.drain_delay.as_millis() / 2) as i64;
    // What has just become durable stays: most runs in it are about to close, and then leave one record.
    let until_ms = if stopping { i64::MAX } else { core.now_ms().saturating_sub(half_delay_ms) };
    let slots = core.drainer.take(until_ms);
    let (count, bytes) = (slots.len() as u64, slots.iter().map(|slot| slot.bytes).sum());
    let Some(last) = slots.last() else { return 0 };
    let cursor = Cursor { log: core.log_id, slot: last.slot.next() };
    let cells: Vec<Arc<RunCell>> = slots.into_iter().flat_map(|slot| slot.cells).collect();
    // Once, however often the tables refuse: what becomes durable from here on names the cell in one slot, not in more.
    cells.iter().for_each(|cell| cell.begin_draining());
    loop {
        match drain_cells(core, cursor, &cells).await {
            Ok(()) => break,
            Err(error) => tracing::error!(%error, "draining failed and is tried again"),
        }
        tokio::select! {
            biased;
            () = core.seams.clock.sleep(Duration::from_millis(DRAIN_RETRY_MS)) => {}
            () = core.fenced.cancelled() => return 0,
        }
    }
    *core.drainer.applying_ms.lock() = None;
    core.drainer.drained.fetch_add(count, Ordering::AcqRel);
    core.drainer.bytes.fetch_sub(bytes, Ordering::Relaxed);
    core.drainer.runs.fetch_sub(cells.len(), Ordering::Relaxed);
    bytes
}

/// What is to be taken off a cell once its step is applied.
struct Drained {
    cell: Arc<RunCell>,
    row: Arc<RunRow>,
}

async fn drain_cells(
    core: &Arc<Core>,
    cursor: Cursor,
    cells: &[Arc<RunCell>],
) -> Result<(), Error> {
    let mut step = DrainStep { cursor, runs: Vec::with_capacity(cells.len()) };
    let mut drained = Vec::with_capacity(cells.len());
    let mut plain = Vec::new();
    for cell in cells {
        plain.clear();
        let undrained = cell.tail.lock().undrained(cell.run_id, cell.durable(), &mut plain)?;
        let Some(undrained) = undrained else { continue };
        step.runs.push(change_to(&undrained, &plain));
        drained.push(Drained { cell: cell.clone(), row: undrained.after });
    }
    core.tables.apply(step).await?;
    for Drained { cell, row } in drained {
        let is_closed = row.state().is_closed();
        {
            cell.tail.lock().drained(row);
        }
        if is_closed {
            core.directory.remove(&cell);
        } else {
            core.idle.note(&cell);
        }
    }
    Ok(())
}

async fn trim(core: &Arc<Core>) {
    let result = async {
        core.tables.sync().await?;
        if let Some(cursor) = core.tables.cursor_of(core.log_id).await? {
            core.log.trim(cursor.log, cursor.slot).await?;
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = result.await {
        tracing::warn!(%error, "the log could not be trimmed; it is tried again later");
    }
}
