//! All open runs, one after the other: those that the tables know, and those that are too young for them.

use std::collections::{BTreeSet, VecDeque};

use futures::{Stream, stream};

use super::{Engine, HistoryEvent};
use crate::engine::directory::Found;
use crate::engine::error::Error;
use crate::engine::ids::RunId;
use crate::engine::limits::MAX_PAGE_ROWS;
use crate::engine::partition::PartitionSet;
use crate::engine::row::RunRow;

/// An open run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub run_id: RunId,
    /// Its workflow id.
    pub workflow_id: String,
    /// Its type.
    pub workflow_type: String,
}

impl Engine {
    /// All runs that are open now. Runs that are started or end meanwhile may be in it or not.
    ///
    /// The stream ends with the first error: the tables could not be read.
    pub fn open_runs(&self) -> impl Stream<Item = Result<OpenRun, Error>> + Send + use<> {
        let mut young: VecDeque<OpenRun> = VecDeque::new();
        for cell in self.core.directory.cells() {
            let is_young = cell.tail.lock().row().is_none();
            if is_young && cell.published.lock().closed.is_none() {
                young.push_back(OpenRun {
                    run_id: cell.run_id,
                    workflow_id: cell.workflow_id.to_string(),
                    workflow_type: cell.workflow_type.to_string(),
                });
            }
        }
        let known = young.iter().map(|run| run.run_id).collect();
        let walk = Walk { engine: self.clone(), page: young, known, after: None, is_done: false };
        stream::unfold(walk, |mut walk| async move { Some((walk.next().await?, walk)) })
    }

    /// Whether a run that the tables take for open is known to have ended.
    fn has_ended(&self, row: &RunRow) -> bool {
        match self.core.directory.find(&row.workflow_id) {
            Ok(Found::Here(held)) if held.run_id == row.id() => {
                held.published.lock().closed.is_some()
            }
            // Another one is the newest under its id.
            Ok(Found::Here(_)) => true,
            Ok(Found::Absent(_)) | Err(_) => false,
        }
    }

    /// The history of this very run so far, be another one open under its workflow id by now or not.
    pub fn history_of(
        &self,
        run: &OpenRun,
    ) -> impl Stream<Item = Result<HistoryEvent, Error>> + Send + use<> {
        let held = match self.core.directory.find(&run.workflow_id) {
            Ok(Found::Here(held)) if held.run_id == run.run_id => Some(held),
            _ => None,
        };
        self.events(held, run.run_id, 0, false)
    }
}

struct Walk {
    engine: Engine,
    page: VecDeque<OpenRun>,
    /// Those that were told before the tables were asked, and may be in the tables by then.
    known: BTreeSet<RunId>,
    after: Option<RunId>,
    is_done: bool,
}

impl Walk {
    async fn next(&mut self) -> Option<Result<OpenRun, Error>> {
        while self.page.is_empty() && !self.is_done {
            let tables = &self.engine.core.tables;
            let all = PartitionSet::all();
            let rows = match tables.open_runs(&all, false, self.after, MAX_PAGE_ROWS).await {
                Ok(rows) => rows,
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error.into()));
                }
            };
            self.is_done = rows.is_empty();
            self.after = rows.last().map(|row| row.id()).or(self.after);
            let (known, engine) = (&self.known, &self.engine);
            let runs = rows.into_iter().filter(|row| !known.contains(&row.id()));
            // The tables are a moment behind: what has just ended is open there.
            let runs = runs.filter(|row| !engine.has_ended(row));
            self.page.extend(runs.map(|row| OpenRun {
                run_id: row.id(),
                workflow_id: row.workflow_id,
                workflow_type: row.workflow_type,
            }));
        }
        self.page.pop_front().map(Ok)
    }
}
