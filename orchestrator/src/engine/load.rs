//! How runs come into memory: by replay of what the tables have.

use std::sync::Arc;

use super::cell::{Held, RunCell, damaged, decode};
use super::core::{Core, closed};
use super::directory::Found;
use super::drainer::unpack_from;
use super::effects::Effects;
use super::error::Error;
use super::ids::RunId;
use super::limits::REPLAY_READ_BYTES;
use super::row::RunRow;
use super::run::{Replay, Replayed};

/// Looks of one caller for a run that keeps leaving while it is looked for.
const MAX_LOOKS: usize = 100;

impl Core {
    /// The open run of a workflow id, in memory and loaded.
    pub async fn hold(self: &Arc<Self>, workflow_id: &str) -> Result<Held, Error> {
        for _ in 0..MAX_LOOKS {
            let departures = match self.directory.find(workflow_id)? {
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
        let row = cell.tail.lock().row().cloned();
        let row =
            row.ok_or_else(|| damaged(cell.run_id, "a cell without a run and without a row"))?;
        let replayed =
            self.replay(cell.run_id, cell.workflow_id.clone(), row.next_sequence).await?;
        self.fill(cell, &row, replayed)
    }

    fn fill(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        row: &RunRow,
        replayed: Replayed,
    ) -> Result<(), Error> {
        let Replayed { mut run, events, .. } = replayed;
        let answered = run.updates.iter().filter_map(|(id, outcome)| {
            outcome.as_ref().map(|outcome| (id.clone(), outcome.clone()))
        });
        cell.published.lock().updates.extend(answered);
        for timer in &row.open_timers {
            self.timers.set(self.now_ms(), timer.fire_at_ms, cell, timer.command);
        }
        let mut guard = cell.run.lock();
        if cell.has_moved() {
            return Err(self.ownership.refusal(&cell.workflow_id));
        }
        // Without events all calls are on record already.
        let at_once = events.is_empty().then(|| Effects::gather(&mut run, &[]));
        if at_once.is_none() {
            self.commit(cell, &mut run, &events);
        }
        if run.is_closed() {
            run.unload();
        }
        *guard = Some(Box::new(run));
        drop(guard);
        if let Some(effects) = at_once {
            effects.release(self, cell);
        }
        self.idle.note(cell);
        Ok(())
    }

    /// Replays the history that the tables have of a run, a part at a time: however long it is, no more than a part of
    /// it is in memory.
    pub async fn replay(
        &self,
        run_id: RunId,
        workflow_id: Arc<str>,
        count: u64,
    ) -> Result<Replayed, Error> {
        let mut replay = Replay::new(&self.registry, run_id, workflow_id);
        while replay.fed() < count {
            let from = replay.fed();
            let chunks = self.tables.history(run_id, from, REPLAY_READ_BYTES).await?;
            if chunks.is_empty() {
                let what = format!("its events end at {from} instead of {count}");
                return Err(damaged(run_id, &what));
            }
            for chunk in chunks {
                let left = usize::try_from(count.saturating_sub(replay.fed()));
                let events = unpack_from(run_id, &chunk, replay.fed())?;
                for bytes in events.take(left.unwrap_or(usize::MAX)) {
                    replay.feed(decode(&bytes)?);
                }
            }
            // Others get their turn while a long history is replayed.
            tokio::task::yield_now().await;
        }
        Ok(replay.finish(self.now_ms()))
    }
}
