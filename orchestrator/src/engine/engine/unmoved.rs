//! Which runs do not get on: by type and step, with the cause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::engine::cell::RunCell;
use crate::engine::core::Core;
use crate::engine::error::Error;
use crate::engine::filter::Filter;
use crate::engine::limits::{MAX_PAGE_ROWS, WATCH_AT_LATEST_MS, WATCH_EVERY_MS};
use crate::engine::row::{RunRow, RunState};
use crate::engine::run::Phase;

/// Runs of one type that are at the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmoved {
    /// Their type.
    pub workflow_type: String,
    /// The step or compensation that they are at; empty for runs that are stuck.
    pub step: String,
    /// How many there are. Of parked runs, only the newest [`MAX_PAGE_ROWS`] are counted.
    pub runs: usize,
    /// How long the oldest has been there, in milliseconds.
    pub oldest_ms: i64,
    /// Since when it is there, in unix milliseconds.
    pub since_ms: i64,
    /// Its workflow id.
    pub oldest_workflow_id: String,
    /// What its last attempt failed with, or why it is parked or stuck; empty if nothing has failed yet.
    pub cause: String,
}

impl Engine {
    /// Runs with a step or compensation under way, parked or stuck: a line for each type and step, those with the oldest
    /// run first. Runs that wait for signals or timers are where they should be, and not here.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn unmoved(&self) -> Result<Vec<Unmoved>, Error> {
        unmoved(&self.core).await
    }
}

/// Keeps `souk_engine_oldest_unmoved_seconds` up to date until the engine stops.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut shown: Vec<Unmoved> = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = core.stop.cancelled() => return,
            () = core.seams.clock.sleep(Duration::from_millis(WATCH_EVERY_MS)) => {}
        }
        let found = match unmoved(&core).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "it could not be seen which runs do not get on");
                continue;
            }
        };
        // A gauge that nobody sets stays where it was.
        shown.iter().for_each(|line| gauge(line).set(0.0));
        found.iter().for_each(|line| gauge(line).set(line.oldest_ms as f64 / 1_000.0));
        shown = found;
        if shown.is_empty() {
            // Until something fails, there is nothing to look at.
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                () = core.trouble.notified() => {}
                () = core.seams.clock.sleep(Duration::from_millis(WATCH_AT_LATEST_MS)) => {}
            }
        }
    }
}

fn gauge(line: &Unmoved) -> metrics::Gauge {
    let (workflow_type, step) = (line.workflow_type.clone(), line.step.clone());
    metrics::gauge!("souk_engine_oldest_unmoved_seconds", "type" => workflow_type, "step" => step)
}

#[derive(Default)]
struct Lines {
    by_step: BTreeMap<(String, String), Unmoved>,
}

impl Lines {
    fn add(&mut self, line: Unmoved) {
        let key = (line.workflow_type.clone(), line.step.clone());
        match self.by_step.get_mut(&key) {
            None => drop(self.by_step.insert(key, line)),
            Some(known) => {
                let runs = known.runs + line.runs;
                if line.oldest_ms > known.oldest_ms {
                    *known = line;
                }
                known.runs = runs;
            }
        }
    }
}

async fn unmoved(core: &Arc<Core>) -> Result<Vec<Unmoved>, Error> {
    let now_ms = core.now_ms();
    let mut lines = Lines::default();
    for cell in core.directory.cells() {
        look(&cell, now_ms, &mut lines)?;
    }
    let parked = Filter::of_states(&[RunState::Parked]);
    let own = core.ownership.serving();
    let rows = core.tables.list(&parked, None, MAX_PAGE_ROWS).await?.rows;
    for row in rows.into_iter().filter(|row| own.holds(&row.workflow_id)) {
        let cause = row.parked_by.clone().unwrap_or_default();
        lines.add(line(&row, now_ms, cause.step, format!("{}: {}", cause.code, cause.message)));
    }
    let mut lines: Vec<Unmoved> = lines.by_step.into_values().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.oldest_ms));
    Ok(lines)
}

fn line(row: &RunRow, now_ms: i64, step: String, cause: String) -> Unmoved {
    Unmoved {
        workflow_type: row.workflow_type.clone(),
        step,
        runs: 1,
        oldest_ms: now_ms.saturating_sub(row.updated_at_ms),
        since_ms: row.updated_at_ms,
        oldest_workflow_id: row.workflow_id.clone(),
        cause,
    }
}

fn look(cell: &RunCell, now_ms: i64, lines: &mut Lines) -> Result<(), Error> {
    // A run that something happens to right now is not the one that is looked for.
    let Some(guard) = cell.run.try_lock() else { return Ok(()) };
    let Some(run) = guard.as_ref() else { return Ok(()) };
    if let Phase::Stuck(misfit) = &run.phase {
        if let Some(row) = cell.durable_row()? {
            let cause = format!("{}: {}", misfit.code, misfit.message);
            lines.add(line(&row, now_ms, String::new(), cause));
        }
        return Ok(());
    }
    for call in run.pending_calls() {
        let failure = call.last_failure.as_ref();
        lines.add(Unmoved {
            workflow_type: cell.workflow_type.to_string(),
            step: call.name.to_owned(),
            runs: 1,
            oldest_ms: now_ms.saturating_sub(call.scheduled_at_ms),
            since_ms: call.scheduled_at_ms,
            oldest_workflow_id: cell.workflow_id.to_string(),
            cause: failure
                .map(|failure| format!("{}: {}", failure.code, failure.message))
                .unwrap_or_default(),
        });
    }
    Ok(())
}
