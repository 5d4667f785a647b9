//! Compensation: what is on record is undone, the last first, one at a time.

use bytes::Bytes;

use super::{Phase, Run, Undoing};
use crate::engine::call::CallKind;
use crate::engine::cx::{Part, State, ToEnd, launch};
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{Body, CompensationBegan, END_CHILD, EndingBegan, UndoScheduled};
use crate::engine::failure::Failure;
use crate::engine::row::RunState;

/// The child whose end is owed next; `None` if something else is.
fn last_owed(state: &State, is_ending: bool) -> Option<u64> {
    let ledger = &state.ledger;
    let next = if is_ending { ledger.last_open_child() } else { ledger.last_open() };
    next.filter(|entry| entry.part == Part::EndOfChild).map(|entry| entry.command)
}

/// Which entry of the ledger a compensation settles.
fn part_of(compensation: &str) -> Part {
    if compensation == END_CHILD { Part::EndOfChild } else { Part::Undo }
}

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

    /// The workflow has returned. Without children that end with it, that is the end.
    pub(super) fn begin_ending(&mut self, result: Bytes) {
        let mut state = self.shared.state.lock();
        if state.ledger.open_children() == 0 {
            drop(state);
            return self.close(RunState::Completed, Some(result), None);
        }
        state.emit(Body::EndingBegan(EndingBegan { result: result.clone() }));
        drop(state);
        self.ending = Some(result);
        self.phase = Phase::Compensating(None);
    }

    /// Nothing is owed any more.
    fn end(&mut self, cause: &Failure) {
        if let Some(result) = self.ending.take() {
            return self.close(RunState::Completed, Some(result), None);
        }
        let is_cancelled = self.shared.state.lock().cancelled.is_some() && cause.is_cancelled();
        let end = if is_cancelled { RunState::Cancelled } else { RunState::Failed };
        self.close(end, None, Some(cause));
    }

    /// Whether a child keeps the run from going on with its undo, or its end: it is being started, being asked to end, or
    /// has been asked and is awaited.
    fn waits_for_child(&self, state: &mut State) -> bool {
        let is_ending = self.ending.is_some();
        while let Some(command) = last_owed(state, is_ending) {
            match state.child_to_end(command) {
                ToEnd::Wait => return true,
                ToEnd::Ask => return false,
                ToEnd::Asked if !is_ending => return true,
                ToEnd::Asked | ToEnd::Gone => state.ledger.settle(command, Part::EndOfChild),
            }
        }
        false
    }

    /// What compensations are told. A run that has returned has none: it only has children end.
    fn cause_of_undo(&self) -> Failure {
        self.cause.clone().unwrap_or_else(|| Failure::new("UNKNOWN", ""))
    }

    /// Schedules the next compensation, or ends the run.
    pub(super) fn undo_next(&mut self) -> Result<(), Misfit> {
        let cause = self.cause_of_undo();
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        if self.leftovers.is_none() && self.waits_for_child(&mut state) {
            return Ok(());
        }
        let next = match (&self.leftovers, &self.ending) {
            (Some(_), _) => {
                let leftover = state.inheritance.last_leftover();
                leftover.and_then(|command| state.ledger.get(command, Part::Undo))
            }
            (None, Some(_)) => state.ledger.last_open_child(),
            (None, None) => state.ledger.last_open(),
        };
        let Some(entry) = next else {
            if let Some(ending) = self.leftovers.take() {
                drop(state);
                return self.end_with(ending);
            }
            drop(state);
            self.end(&cause);
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
        launch(&mut state, command, name, key, undone_key, CallKind::Undo, callable);
        self.phase = Phase::Compensating(Some(Undoing { command, undoes, name }));
        Ok(())
    }

    /// The compensation that was under way or parked is done with.
    pub(super) fn settle_undo(&mut self) {
        if let Phase::Compensating(Some(undoing)) | Phase::Parked(undoing) = self.phase {
            let mut state = self.shared.state.lock();
            state.ledger.settle(undoing.undoes, part_of(undoing.name));
            state.inheritance.settle(undoing.undoes);
            drop(state);
            self.phase = Phase::Compensating(None);
        }
    }

    /// The compensation that was under way has succeeded. A child that was asked to end is owed until it has.
    pub(super) fn undo_succeeded(&mut self) {
        if let Phase::Compensating(Some(undoing)) = self.phase
            && undoing.name == END_CHILD
        {
            self.shared.state.lock().asked_to_end(undoing.undoes);
            self.phase = Phase::Compensating(None);
            return;
        }
        self.settle_undo();
    }

    /// The parked compensation gets a new round of attempts, under the same command and effect key.
    pub(super) fn retry_undo(&mut self) {
        let Phase::Parked(undoing) = self.phase else { return };
        let cause = self.cause_of_undo();
        let mut state = self.shared.state.lock();
        let entry = state.ledger.get(undoing.undoes, part_of(undoing.name));
        let Some(entry) = entry else { return };
        // It was read from its record before, when it was scheduled.
        let Ok(callable) = entry.runner.call(&entry.input, &cause) else { return };
        let (key, undone_key) = (entry.effect_key.clone(), entry.undone_key.clone());
        launch(
            &mut state,
            undoing.command,
            undoing.name,
            key,
            undone_key,
            CallKind::Undo,
            callable,
        );
        drop(state);
        self.phase = Phase::Compensating(Some(undoing));
    }
}
