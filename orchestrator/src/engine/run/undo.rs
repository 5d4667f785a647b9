//! Compensation: what is on record is undone, the last first, one at a time.

use super::{Phase, Run, Undoing};
use crate::engine::cx::launch;
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{Body, CompensationBegan, UndoScheduled};
use crate::engine::failure::Failure;
use crate::engine::row::RunState;

impl Run {
    /// The workflow has failed. Without anything to undo, that is the end.
    pub(super) fn begin_compensation(&mut self, failure: Failure) {
        let open = self.shared.state.lock().ledger.open_count();
        if open > 0 {
            let began = CompensationBegan { cause: Some((&failure).into()) };
            self.shared.state.lock().emit(Body::CompensationBegan(began));
        }
        self.cause = Some(failure);
        self.phase = Phase::Compensating(None);
    }

    /// Schedules the next compensation, or ends the run.
    pub(super) fn undo_next(&mut self) -> Result<(), Misfit> {
        let cause = self.cause.clone().unwrap_or_else(|| Failure::new("UNKNOWN", ""));
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        let Some(entry) = state.ledger.last_open() else {
            let cancelled = state.cancelled.is_some() && cause.is_cancelled();
            drop(state);
            let end = if cancelled { RunState::Cancelled } else { RunState::Failed };
            self.close(end, None, Some(&cause));
            return Ok(());
        };
        let callable = entry.runner.call(&entry.input, &cause).map_err(|error| {
            let message = format!("the recorded input of {}: {error}", entry.name);
            Misfit::new(StuckCode::ValueMismatch, message)
        })?;
        let (name, undoes, occurrence) = (entry.name, entry.command, entry.occurrence);
        let (key, undone_key) = (entry.effect_key.clone(), entry.undone_key.clone());
        let command = state.take_command();
        let scheduled = UndoScheduled { command, undoes, name: name.to_owned(), occurrence };
        state.emit(Body::UndoScheduled(scheduled));
        launch(&mut state, command, name, key, undone_key, true, callable);
        self.phase = Phase::Compensating(Some(Undoing { command, undoes, name }));
        Ok(())
    }

    /// The compensation that was under way or parked is done with.
    pub(super) fn settle_undo(&mut self) {
        if let Phase::Compensating(Some(undoing)) | Phase::Parked(undoing) = self.phase {
            self.shared.state.lock().ledger.settle(undoing.undoes);
            self.phase = Phase::Compensating(None);
        }
    }

    /// The parked compensation gets a new round of attempts, under the same command and effect key.
    pub(super) fn retry_undo(&mut self) {
        let Phase::Parked(undoing) = self.phase else { return };
        let Some(cause) = self.cause.clone() else { return };
        let mut state = self.shared.state.lock();
        let Some(entry) = state.ledger.last_open() else { return };
        // It was read from its record before, when it was scheduled.
        let Ok(callable) = entry.runner.call(&entry.input, &cause) else { return };
        let (key, undone_key) = (entry.effect_key.clone(), entry.undone_key.clone());
        launch(&mut state, undoing.command, undoing.name, key, undone_key, true, callable);
        drop(state);
        self.phase = Phase::Compensating(Some(undoing));
    }
}
