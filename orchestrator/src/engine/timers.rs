//! Timers: those that are due soon are in memory, all others are found by a scan of the tables in time.
//!
//! Firing is an event that is valid only while its run shows the timer open, so a timer may be found twice and harmlessly.

use std::collections::BTreeMap;
use std::sync::Arc;
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
    MAX_PAGE_ROWS, MAX_TIMERS_IN_MEMORY, TIMER_FIRE_CONCURRENCY, TIMER_HORIZON_MS,
    TIMER_SCAN_EVERY_MS,
};

/// A timer by its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    fire_at_ms: i64,
    run_id: RunId,
    command: u64,
}

/// Timers that are due soon, with their workflow's id where it is known.
#[derive(Default)]
pub(crate) struct Timers {
    near: Mutex<BTreeMap<Key, Option<Arc<str>>>>,
    wake: Notify,
}

impl Timers {
    /// A timer was set. One that is far away is left to the scan.
    pub fn set(&self, now_ms: i64, fire_at_ms: i64, cell: &RunCell, command: u64) {
        if fire_at_ms <= now_ms.saturating_add(TIMER_HORIZON_MS) {
            let key = Key { fire_at_ms, run_id: cell.run_id, command };
            self.add(key, Some(cell.workflow_id.clone()));
        }
    }

    fn add(&self, key: Key, workflow_id: Option<Arc<str>>) {
        let mut near = self.near.lock();
        if near.len() < MAX_TIMERS_IN_MEMORY {
            near.entry(key).or_insert(workflow_id);
            self.wake.notify_one();
        }
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
    let mut next_scan_ms = i64::MIN;
    loop {
        let now_ms = core.now_ms();
        if now_ms >= next_scan_ms {
            if let Err(error) = scan(&core, now_ms).await {
                tracing::warn!(%error, "timers could not be scanned; they are again, later");
            }
            next_scan_ms = core.now_ms().saturating_add(TIMER_SCAN_EVERY_MS);
        }
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
        let pause_ms = u64::try_from(next_ms.saturating_sub(core.now_ms())).unwrap_or(0);
        tokio::select! {
            () = core.seams.clock.sleep(Duration::from_millis(pause_ms)) => {}
            () = core.timers.wake.notified() => {}
            () = core.stop.cancelled() => return,
        }
        if core.stop.is_cancelled() {
            return;
        }
    }
}

async fn scan(core: &Arc<Core>, now_ms: i64) -> Result<(), Error> {
    let until_ms = now_ms.saturating_add(TIMER_HORIZON_MS);
    let mut after = None;
    for _ in 0..MAX_TIMERS_IN_MEMORY / MAX_PAGE_ROWS {
        let page = core.tables.timers(until_ms, after.as_ref(), MAX_PAGE_ROWS).await?;
        for row in &page {
            let key = Key { fire_at_ms: row.fire_at_ms, run_id: row.run_id, command: row.command };
            core.timers.add(key, None);
        }
        if page.len() < MAX_PAGE_ROWS {
            break;
        }
        after = page.into_iter().next_back();
    }
    Ok(())
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
        let held = core.hold(&workflow_id).await?;
        if held.run_id != key.run_id {
            return Ok(());
        }
        let command = key.command;
        let sequence = core.deliver(&held, |run| {
            Ok(run.awaits_timer(command).then_some(Body::TimerFired(TimerFired { command })))
        })?;
        core.wait_durable(&held, sequence).await
    };
    match fired.await {
        Ok(())
        | Err(Error::Closed { .. } | Error::NotFound(_) | Error::Fenced | Error::ShuttingDown) => {}
        Err(error) => {
            tracing::warn!(run_id = %key.run_id, %error, "a timer could not be fired; the next scan finds it again");
        }
    }
}
