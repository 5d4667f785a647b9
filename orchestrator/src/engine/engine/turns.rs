//! The runs under one workflow id: the newest, and those before it by their run ids.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Engine, answer_of};
use crate::engine::cell::{Held, RunCell};
use crate::engine::directory::Found;
use crate::engine::error::Error;
use crate::engine::ids::RunId;
use crate::engine::limits::{MAX_PAGE_ROWS, MAX_TURNS_WALKED};
use crate::engine::lineage::is_same;
use crate::engine::row::{RunRow, RunState};

/// Which run under a workflow id is meant. A text alone means the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRef<'a> {
    /// The workflow id.
    pub workflow_id: &'a str,
    /// A turn or an earlier run under it; the newest if absent.
    pub run_id: Option<RunId>,
}

impl<'a> From<&'a str> for RunRef<'a> {
    fn from(workflow_id: &'a str) -> RunRef<'a> {
        RunRef { workflow_id, run_id: None }
    }
}

impl<'a> From<&'a String> for RunRef<'a> {
    fn from(workflow_id: &'a String) -> RunRef<'a> {
        workflow_id.as_str().into()
    }
}

impl<'a> From<(&'a str, RunId)> for RunRef<'a> {
    fn from((workflow_id, run_id): (&'a str, RunId)) -> RunRef<'a> {
        RunRef { workflow_id, run_id: Some(run_id) }
    }
}

/// What goes on where a turn of a run has ended.
pub(super) enum NextTurn {
    /// The turn that is open now.
    Open(Held),
    /// Nothing any more: the row of the last turn.
    Ended(Box<RunRow>),
}

impl Engine {
    /// What goes on behind a turn that has ended. Never a run that uses the same workflow id again.
    pub(super) async fn turn_after(&self, turn: &RunCell) -> Result<NextTurn, Error> {
        match self.core.hold(&turn.workflow_id).await {
            Ok(held) if is_same(held.lineage.as_deref(), turn.lineage.as_deref()) => {
                Ok(NextTurn::Open(held))
            }
            Ok(_) | Err(Error::Closed { .. }) => {
                let last = self.last_turn(&turn.workflow_id, turn.run_id).await?;
                Ok(NextTurn::Ended(Box::new(last)))
            }
            Err(error) => Err(error),
        }
    }

    /// The answer of a run that a start has joined and that is not in memory, or was not then.
    pub(super) async fn answer_of_run(
        &self,
        workflow_id: &str,
        run_id: RunId,
        wait: Duration,
    ) -> Result<Answer, Error> {
        let row = self.last_turn(workflow_id, run_id).await?;
        if row.state().is_closed() && row.state() != RunState::Continued {
            return Ok(answer_of(&row));
        }
        self.answer(workflow_id, wait).await
    }

    /// The runs under a workflow id, newest first: turns of one run, and earlier uses of the id. Those before `before`
    /// only, at most `limit`. Ends where retention has deleted the rest.
    ///
    /// # Errors
    /// [`Error::NotFound`], also if there is no run `before`.
    pub async fn turns(
        &self,
        workflow_id: &str,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        let mut next = match before {
            None => Some(self.row(workflow_id).await?),
            Some(run_id) => {
                let row = self.row_of((workflow_id, run_id).into()).await?;
                self.row_before(&row).await?
            }
        };
        let mut rows = Vec::new();
        while let Some(row) = next.take()
            && rows.len() < limit.min(MAX_PAGE_ROWS)
        {
            next = self.row_before(&row).await?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// The row of the run before another one, unless it is deleted.
    async fn row_before(&self, row: &RunRow) -> Result<Option<RunRow>, Error> {
        let Some(run_id) = row.previous() else { return Ok(None) };
        match self.row_of((row.workflow_id.as_str(), run_id).into()).await {
            Ok(row) => Ok(Some(row)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The row of a run, wherever it is, as far as it is durable.
    pub(super) async fn row_of(&self, run: RunRef<'_>) -> Result<RunRow, Error> {
        let Some(run_id) = run.run_id else { return self.row(run.workflow_id).await };
        if let Some(held) = self.find(run)? {
            self.core.wait_durable(&held, 1).await?;
            if let Some(row) = held.durable_row()? {
                return Ok(Arc::unwrap_or_clone(row));
            }
        }
        let row = self.core.tables.run(run_id).await?;
        self.core.ownership.check(run.workflow_id)?;
        row.filter(|row| row.workflow_id == run.workflow_id)
            .ok_or_else(|| Error::NotFound(format!("{}, run {run_id}", run.workflow_id)))
    }

    /// The cell of a run, if it is in memory: the newest one, or one before it that is not in the tables yet.
    ///
    /// # Errors
    /// [`Error::NotOwner`].
    pub(super) fn find(&self, run: RunRef<'_>) -> Result<Option<Held>, Error> {
        let Found::Here(held) = self.core.directory.find(run.workflow_id)? else { return Ok(None) };
        let Some(run_id) = run.run_id.filter(|run_id| *run_id != held.run_id) else {
            return Ok(Some(held));
        };
        let mut cell: Option<Arc<RunCell>> = held.previous.upgrade();
        while let Some(found) = cell.filter(|cell| cell.run_id >= run_id) {
            if found.run_id == run_id {
                return Ok(Some(self.core.directory.hold(&found)));
            }
            cell = found.previous.upgrade();
        }
        Ok(None)
    }

    /// The last turn of the run that had this turn.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is deleted.
    pub(super) async fn last_turn(
        &self,
        workflow_id: &str,
        run_id: RunId,
    ) -> Result<RunRow, Error> {
        let mut row = self.row(workflow_id).await?;
        let mut last = row.clone();
        for _ in 0..MAX_TURNS_WALKED {
            if !is_same(row.lineage.as_ref(), last.lineage.as_ref()) {
                last = row.clone();
            }
            let began_as = row.lineage.as_ref().map(|lineage| &lineage.first_run_id[..]);
            if row.id() == run_id || began_as == Some(run_id.as_bytes()) {
                return Ok(last);
            }
            match self.row_before(&row).await? {
                Some(before) => row = before,
                None => break,
            }
        }
        Err(Error::NotFound(format!("{workflow_id}, run {run_id}")))
    }
}
