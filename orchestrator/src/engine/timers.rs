//! Timers: those that are due soon are in memory, all others are found by a scan of the tables in time.
//!
//! Firing is an event that is valid only while its run shows the timer open, so a timer may be found twice and harmlessly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cell::RunCell;
use super::core::Core;
use super::error::Error;
use super::event::{Body, TimerFired};
use super::ids::RunId;
use super::limits::{
    CLOCK_CHECK_EVERY_MS, MAX_PAGE_ROWS, MAX_TIMERS_IN_MEMORY, TIMER_FIRE_CONCURRENCY,
    TIMER_HORIZON_MS, TIMER_SCAN_AT_LATEST_MS, TIMER_SCAN_EVERY_MS,
};
use super::row::TimerRow;

/// A timer by its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    fire_at_ms: i64,
    run_id: RunId,
    command: u64,
}

/// Timers that are due soon, with their workflow's id where it is known.
pub(crate) struct Timers {
    near: Mutex<BTreeMap<Key, Option<Arc<str>>>>,
    /// The earliest of those that were set and are far away.
    far_ms: AtomicI64,
    /// The tables are to be scanned at once.
    is_scan_wanted: AtomicBool,
    wake: Notify,
}

impl Timers {
    pub fn new() -> Timers {
        Timers {
            near: Mutex::new(BTreeMap::new()),
            far_ms: AtomicI64::new(i64::MAX),
            is_scan_wanted: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// A timer was set. One that is far away is left to the scan.
    pub fn set(&self, now_ms: i64, fire_at_ms: i64, cell: &RunCell, command: u64) {
        if fire_at_ms > now_ms.saturating_add(TIMER_HORIZON_MS) {
            if self.far_ms.fetch_min(fire_at_ms, Ordering::AcqRel) > fire_at_ms {
                self.wake.notify_one();
            }
        } else {
            let key = Key { fire_at_ms, run_id: cell.run_id, command };
            self.add(key, Some(cell.workflow_id.clone()));
        }
    }

    /// Something that is due was not taken in, or could not be fired: the next possible scan finds it.
    fn scan_soon(&self) {
        self.far_ms.store(i64::MIN, Ordering::Release);
    }

    /// There are runs now whose timers nobody has looked for.
    pub fn scan_now(&self) {
        self.is_scan_wanted.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn add(&self, key: Key, workflow_id: Option<Arc<str>>) {
        let mut near = self.near.lock();
        if near.len() < MAX_TIMERS_IN_MEMORY {
            near.entry(key).or_insert(workflow_id);
            self.wake.notify_one();
        } else {
            self.scan_soon();
        }
    }

    /// When the tables are to be scanned again: well before the first timer that is known to be far away.
    fn next_scan_ms(&self, scanned_ms: i64) -> i64 {
        let far_ms = self.far_ms.load(Ordering::Acquire).saturating_sub(TIMER_HORIZON_MS / 2);
        let earliest_ms = scanned_ms.saturating_add(TIMER_SCAN_EVERY_MS);
        far_ms.clamp(earliest_ms, scanned_ms.saturating_add(TIMER_SCAN_AT_LATEST_MS))
    }

    fn first_ms(&self) -> Option<i64> {
        self.near.lock().first_key_value().map(|(key, _)| key.fire_at_ms)
    }

    fn take_due(&self, now_ms: i64) -> Vec<(Key, Option<Arc<str>>)> {
        let mut near = self.near.lock();
        let mut due = Vec::new();
        while due.len() < TIMER_FIRE_CONCURRENCY {
            match near.first_entry() {
                Some(entry) if entry.key().fire_at_ms <= now_ms => due.push(entry.remove_entry()),
                _ => break,
            }
        }
        due
    }
}

/// Fires timers until the engine stops.
pub(crate) async fn fire_all(core: Arc<Core>) {
    let mut scanned_ms = None;
    loop {
        if core.stop.is_cancelled() {
            return;
        }
        let now_ms = core.now_ms();
        // A clock that was set back makes all that was planned void.
        let is_due =
            |scanned_ms| now_ms < scanned_ms || now_ms >= core.timers.next_scan_ms(scanned_ms);
        let is_wanted = core.timers.is_scan_wanted.swap(false, Ordering::AcqRel);
        if is_wanted || scanned_ms.is_none_or(is_due) {
            if let Err(error) = scan(&core, now_ms).await {
                core.timers.scan_soon();
                tracing::warn!(%error, "timers could not be scanned; they are again, later");
            }
            scanned_ms = Some(now_ms);
        }
        let next_scan_ms = core.timers.next_scan_ms(scanned_ms.unwrap_or(now_ms));
        let due = core.timers.take_due(core.now_ms());
        if !due.is_empty() {
            // One lot at a time: what is overdue after a long stop comes in at the pace of the log.
            stream::iter(due)
                .for_each_concurrent(TIMER_FIRE_CONCURRENCY, |(key, workflow_id)| {
                    fire(&core, key, workflow_id)
                })
                .await;
            continue;
        }
        let next_ms = core.timers.first_ms().unwrap_or(i64::MAX).min(next_scan_ms);
        // A clock that jumps ahead is noticed within this time.
        let pause_ms = next_ms.saturating_sub(core.now_ms()).clamp(0, CLOCK_CHECK_EVERY_MS);
        let pause_ms = pause_ms.unsigned_abs();
        tokio::select! {
            biased;
            () = core.seams.clock.sleep(Duration::from_millis(pause_ms)) => {}
            () = core.timers.wake.notified() => {}
            () = core.stop.cancelled() => return,
        }
    }
}

/// Brings in what is due soon, and notes when the first of the others is.
async fn scan(core: &Arc<Core>, now_ms: i64) -> Result<(), Error> {
    let far_ms = core.timers.far_ms.swap(i64::MAX, Ordering::AcqRel);
    if core.drainer.oldest_ms().is_some() {
        // What was set may not be in the tables yet: come back for it.
        core.timers.far_ms.fetch_min(far_ms, Ordering::AcqRel);
    }
    let own = core.ownership.serving();
    let until_ms = now_ms.saturating_add(TIMER_HORIZON_MS);
    let mut after = None;
    for _ in 0..MAX_TIMERS_IN_MEMORY / MAX_PAGE_ROWS {
        let page = core.tables.timers(&own, until_ms, after.as_ref(), MAX_PAGE_ROWS).await?;
        for row in &page {
            let key = Key { fire_at_ms: row.fire_at_ms, run_id: row.run_id, command: row.command };
            core.timers.add(key, None);
        }
        let is_last = page.len() < MAX_PAGE_ROWS;
        after = page.into_iter().next_back().or(after);
        if is_last {
            break;
        }
    }
    if let Some(beyond) = core.tables.timers(&own, i64::MAX, after.as_ref(), 1).await?.first() {
        core.timers.far_ms.fetch_min(beyond.fire_at_ms, Ordering::AcqRel);
    }
    Ok(())
}

/// The run does not wait for the timer, and a timer is set only once.
async fn forget(core: &Arc<Core>, key: &Key, workflow_id: &str) -> Result<(), Error> {
    let Key { fire_at_ms, run_id, command } = *key;
    let timer = TimerRow { fire_at_ms, run_id, command };
    Ok(core.tables.forget_timer(workflow_id, &timer).await?)
}

async fn fire(core: &Arc<Core>, key: Key, workflow_id: Option<Arc<str>>) {
    let fired = async {
        let workflow_id = match workflow_id {
            Some(workflow_id) => workflow_id,
            None => match core.tables.run(key.run_id).await? {
                Some(row) => row.workflow_id.into(),
                None => return Ok(()),
            },
        };
        let held = match core.hold(&workflow_id).await {
            Err(error @ (Error::Closed { .. } | Error::NotFound(_))) => {
                forget(core, &key, &workflow_id).await?;
                return Err(error);
            }
            held => held?,
        };
        if held.run_id != key.run_id {
            return forget(core, &key, &workflow_id).await;
        }
        let command = key.command;
        let mut is_awaited = false;
        let sequence = core.deliver(&held, |run| {
            is_awaited = run.awaits_timer(command);
            Ok(is_awaited.then_some(Body::TimerFired(TimerFired { command })))
        })?;
        if !is_awaited {
            forget(core, &key, &workflow_id).await?;
        }
        core.wait_durable(&held, sequence).await
    };
    match fired.await {
        Ok(())
        | Err(Error::Closed { .. } | Error::NotFound(_) | Error::Fenced | Error::ShuttingDown) => {}
        // Whoever serves the run now has it.
        Err(Error::NotOwner { partition, .. }) if !core.ownership.serving().contains(partition) => {
        }
        Err(error) => {
            core.timers.scan_soon();
            tracing::warn!(run_id = %key.run_id, %error, "a timer could not be fired; the next scan finds it again");
        }
    }
}
