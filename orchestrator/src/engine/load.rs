//! How runs come into memory: by replay of what the tables have.

use std::sync::Arc;

use super::cell::{Held, RunCell, damaged, decode};
use super::core::{Core, closed};
use super::directory::Found;
use super::drainer::unpack;
use super::effects::Effects;
use super::error::Error;
use super::event::Event;
use super::ids::RunId;
use super::limits::READ_BYTES;
use super::row::RunRow;
use super::run::{Replayed, replay};

/// Looks of one caller for a run that keeps leaving while it is looked for.
const MAX_LOOKS: usize = 100;

impl Core {
    /// The open run of a workflow id, in memory and loaded.
    pub async fn hold(self: &Arc<Self>, workflow_id: &str) -> Result<Held, Error> {
        for _ in 0..MAX_LOOKS {
            let departures = match self.directory.find(workflow_id) {
                Found::Here(held) => {
                    self.load(&held).await?;
                    return Ok(held);
                }
                Found::Absent(departures) => departures,
            };
            let row = self.tables.run_by_workflow_id(workflow_id).await?;
            let row = row.ok_or_else(|| Error::NotFound(workflow_id.to_owned()))?;
            if row.state().is_closed() {
                return Err(closed(workflow_id, row.state()));
            }
            let cell = Arc::new(RunCell::of_row(&row));
            if let Some(held) = self.directory.insert(cell, departures) {
                self.load(&held).await?;
                return Ok(held);
            }
        }
        Err(Error::Overloaded("the run keeps leaving memory"))
    }

    /// Loads the run of a cell, unless it is.
    async fn load(self: &Arc<Self>, cell: &Arc<RunCell>) -> Result<(), Error> {
        if cell.run.lock().is_some() {
            return Ok(());
        }
        let _gate = cell.load_gate.lock().await;
        if cell.run.lock().is_some() {
            return Ok(());
        }
        // Only who holds the gate fills the cell, and nothing happens to a run before it is loaded: the row stands.
        let row = cell.tail.lock().row.clone();
        let row =
            row.ok_or_else(|| damaged(cell.run_id, "a cell without a run and without a row"))?;
        let history = self.read_all(cell.run_id, row.next_sequence).await?;
        self.fill(cell, &row, &history);
        Ok(())
    }

    fn fill(self: &Arc<Self>, cell: &Arc<RunCell>, row: &RunRow, history: &[Event]) {
        let workflow_id = cell.workflow_id.clone();
        let replayed = replay(&self.registry, cell.run_id, workflow_id, history, self.now_ms());
        let Replayed { mut run, events } = replayed;
        let answered = run.updates.iter().filter_map(|(id, outcome)| {
            outcome.as_ref().map(|outcome| (id.clone(), outcome.clone()))
        });
        cell.published.lock().updates.extend(answered);
        for timer in &row.open_timers {
            self.timers.set(self.now_ms(), timer.fire_at_ms, cell, timer.command);
        }
        let mut guard = cell.run.lock();
        if events.is_empty() {
            // All calls are on record already.
            Effects::gather(&mut run, &[]).release(self, cell);
        } else {
            self.commit(cell, &mut run, &events);
        }
        if run.is_closed() {
            run.unload();
        }
        *guard = Some(Box::new(run));
        drop(guard);
        self.idle.note(cell);
    }

    pub async fn read_all(&self, run_id: RunId, count: u64) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while (events.len() as u64) < count {
            let from = events.len() as u64;
            let chunks = self.tables.history(run_id, from, READ_BYTES).await?;
            if chunks.is_empty() {
                return Err(damaged(
                    run_id,
                    &format!("its events end at {from} instead of {count}"),
                ));
            }
            for chunk in chunks {
                if chunk.first_sequence != events.len() as u64 {
                    return Err(damaged(run_id, &format!("event {} is missing", events.len())));
                }
                for bytes in unpack(run_id, &chunk)? {
                    events.push(decode(&bytes)?);
                }
            }
        }
        Ok(events)
    }
}
