//! What people do to runs: cancel, terminate, pause, resume, and decide about what is parked.

use super::Engine;
use crate::engine::cell::RunCell;
use crate::engine::core::closed_error;
use crate::engine::error::Error;
use crate::engine::event::{
    Body, CancelRequested, Paused, Terminated, UndoOutcome, UndoSkipped, Unpaused,
};
use crate::engine::run::{Phase, Run, Undoing};

impl Engine {
    /// Asks a run to end: everything that it waits for fails, and what it did is undone. Changes nothing if it was asked
    /// before, or is being undone already. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Closed`].
    pub async fn cancel(&self, workflow_id: &str, reason: &str) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| cancellation(cell, run, reason)).await
    }

    /// Ends a run by force. What it did stays done: therefore it is refused while undo is open, unless the caller
    /// abandons that explicitly.
    ///
    /// # Errors
    /// [`Error::OpenUndo`], [`Error::NotFound`], [`Error::Closed`].
    pub async fn terminate(
        &self,
        workflow_id: &str,
        reason: &str,
        abandon_undo: bool,
    ) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| {
            Ok(Some(Body::Terminated(termination(cell, run, reason, abandon_undo)?)))
        })
        .await
    }

    /// Lets nothing new begin in a run until it is resumed. What is under way ends, with its retries and within its time;
    /// results, signals, updates, timers and a cancellation are recorded and wait. Changes nothing if it is paused already.
    ///
    /// # Errors
    /// [`Error::Stuck`], [`Error::NotFound`], [`Error::Closed`].
    pub async fn pause(&self, workflow_id: &str, reason: &str) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| {
            check_fits(cell, run)?;
            let paused = Paused { reason: reason.to_owned() };
            Ok((!run.is_paused()).then_some(Body::Paused(paused)))
        })
        .await
    }

    /// Lets a paused run go on with all that has come meanwhile. Changes nothing if it is not paused.
    ///
    /// # Errors
    /// Those of [`Engine::pause`].
    pub async fn resume(&self, workflow_id: &str, reason: &str) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| {
            check_fits(cell, run)?;
            let unpaused = Unpaused { reason: reason.to_owned() };
            Ok(run.is_paused().then_some(Body::Unpaused(unpaused)))
        })
        .await
    }

    /// Gives the parked compensation of a run another round of attempts.
    ///
    /// # Errors
    /// [`Error::NotParked`]; [`Error::Stuck`]: a build that fits is needed; [`Error::NotFound`], [`Error::Closed`].
    pub async fn retry_step(&self, workflow_id: &str) -> Result<(), Error> {
        self.retry_parked(workflow_id, None).await
    }

    /// The same, if the run is parked at this command (see [`crate::engine::row::RunRow::parked_command`]) and no other.
    ///
    /// # Errors
    /// Those of [`Engine::retry_step`].
    pub async fn retry_step_at(&self, workflow_id: &str, command: u64) -> Result<(), Error> {
        self.retry_parked(workflow_id, Some(command)).await
    }

    async fn retry_parked(&self, workflow_id: &str, at: Option<u64>) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| {
            let undoing = parked(cell, run, at)?;
            let (command, name) = (undoing.command, undoing.name.to_owned());
            Ok(Some(Body::UndoRetried(UndoOutcome { command, name, attempt: 0 })))
        })
        .await
    }

    /// Passes the parked compensation of a run over: someone has seen to it, or accepts that nobody does.
    ///
    /// # Errors
    /// Those of [`Engine::retry_step`].
    pub async fn skip_step(&self, workflow_id: &str, reason: &str) -> Result<(), Error> {
        self.skip_parked(workflow_id, None, reason).await
    }

    /// The same, if the run is parked at this command (see [`crate::engine::row::RunRow::parked_command`]) and no other: so a repetition skips
    /// nothing that was parked later.
    ///
    /// # Errors
    /// Those of [`Engine::retry_step`].
    pub async fn skip_step_at(
        &self,
        workflow_id: &str,
        command: u64,
        reason: &str,
    ) -> Result<(), Error> {
        self.skip_parked(workflow_id, Some(command), reason).await
    }

    async fn skip_parked(
        &self,
        workflow_id: &str,
        at: Option<u64>,
        reason: &str,
    ) -> Result<(), Error> {
        self.control(workflow_id, |cell, run| {
            let undoing = parked(cell, run, at)?;
            let (command, name) = (undoing.command, undoing.name.to_owned());
            Ok(Some(Body::UndoSkipped(UndoSkipped { command, name, reason: reason.to_owned() })))
        })
        .await
    }

    pub(super) async fn control(
        &self,
        workflow_id: &str,
        make: impl Fn(&RunCell, &mut Run) -> Result<Option<Body>, Error>,
    ) -> Result<(), Error> {
        self.core.check_open()?;
        let make = &make;
        self.in_open_turn(|| async move {
            let held = self.core.hold(workflow_id).await?;
            let sequence = self.core.deliver(&held, |run| make(&held, run))?;
            self.core.wait_durable(&held, sequence).await
        })
        .await
    }
}

/// The request to end, unless it is moot.
pub(super) fn cancellation(cell: &RunCell, run: &Run, reason: &str) -> Result<Option<Body>, Error> {
    if let Some(error) = closed_error(cell, run) {
        return Err(error);
    }
    let is_undone = matches!(run.phase, Phase::Compensating(_) | Phase::Parked(_));
    let is_moot = is_undone || run.is_cancelled();
    let request = CancelRequested { reason: reason.to_owned() };
    Ok((!is_moot).then_some(Body::CancelRequested(request)))
}

/// How a run is ended by force, if it may be.
pub(super) fn termination(
    cell: &RunCell,
    run: &Run,
    reason: &str,
    abandon_undo: bool,
) -> Result<Terminated, Error> {
    if let Some(error) = closed_error(cell, run) {
        return Err(error);
    }
    let open_undo = open_undo(cell, run)?;
    if open_undo > 0 && !abandon_undo {
        return Err(Error::OpenUndo { open_undo });
    }
    Ok(Terminated { reason: reason.to_owned(), abandoned_undo: open_undo })
}

/// The compensation at which the run is parked; with `at` only that one.
fn parked(cell: &RunCell, run: &Run, at: Option<u64>) -> Result<Undoing, Error> {
    check_fits(cell, run)?;
    match &run.phase {
        _ if run.is_paused() => Err(Error::Paused(cell.workflow_id.to_string())),
        Phase::Parked(undoing) if at.is_none_or(|at| at == undoing.command) => Ok(*undoing),
        _ => Err(Error::NotParked(cell.workflow_id.to_string())),
    }
}

/// Whether the run is open, and its code fits it.
fn check_fits(cell: &RunCell, run: &Run) -> Result<(), Error> {
    if let Some(error) = closed_error(cell, run) {
        return Err(error);
    }
    match &run.phase {
        Phase::Stuck(misfit) => Err(Error::stuck(misfit)),
        _ => Ok(()),
    }
}

/// A run that is stuck was not replayed to its end, so its ledger may lack what its events have.
pub(super) fn open_undo(cell: &RunCell, run: &Run) -> Result<u64, Error> {
    match run.phase {
        Phase::Stuck(_) => Ok(cell.row_before(u64::MAX)?.map_or(0, |row| row.owed())),
        _ => Ok(run.open_undo()),
    }
}
