//! A run that goes on in the place of one that was reset: what it takes in, and how it ends.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::{Phase, Run};
use crate::engine::cx::{Entry, Part};
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{Body, LeftoversBegan, Reset};
use crate::engine::failure::{Failure, RESET};
use crate::engine::step::effect_key;

/// How a run ends for which nothing more is to be done.
pub(super) enum Ending {
    /// With this result.
    Completed(Bytes),
    /// It continues as new with this input.
    Turn(Bytes),
}

impl Run {
    /// Takes in what the run has of the part that was dropped. What is under way has its whole time again.
    pub(super) fn inherit(&mut self, reset: &Reset, time_ms: i64) {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        for used in &reset.occurrences {
            let count = state.occurrences.entry(Cow::Owned(used.name.clone())).or_insert(0);
            *count = used.count.max(*count);
        }
        for call in state.calls.values_mut().map(Arc::make_mut) {
            call.scheduled_at_ms = time_ms;
            call.failed_attempts = 0;
            call.last_failure = None;
        }
        if let (None, Some(answer)) = (&state.answer, &reset.answer) {
            state.answered = true;
            state.answer = Some(answer.clone());
        }
        state.inheritance.drop_steps(reset);
        for inherited in &reset.inherited {
            let undo = inherited.undo.clone().unwrap_or_default();
            let Some(runner) = self.compensations.get(undo.name.as_str()).cloned() else {
                let message =
                    format!("the compensation {} is not registered in this build", undo.name);
                state.misfit(StuckCode::UndoMissing, message);
                return;
            };
            let workflow_id = &shared.workflow_id;
            let (name, occurrence) = (runner.name(), undo.occurrence);
            let has_step = !inherited.step.is_empty();
            let entry = Entry {
                command: inherited.command,
                part: Part::Undo,
                name,
                input: undo.input,
                runner,
                occurrence,
                effect_key: effect_key(workflow_id, name, occurrence, &state.effect_mark),
                undone_key: has_step.then(|| {
                    let (step, occurrence) = (&inherited.step, inherited.occurrence);
                    effect_key(workflow_id, step, occurrence, &state.effect_mark)
                }),
            };
            state.ledger.record(entry);
            state.inheritance.open(inherited, name, occurrence);
            state.next_command = state.next_command.max(inherited.command);
        }
    }

    /// The workflow has ended well. What it has not done again since a reset is undone first.
    pub(super) fn end_as(&mut self, ending: Ending) -> Result<(), Misfit> {
        if self.shared.state.lock().inheritance.last_leftover().is_none() {
            return self.end_with(ending);
        }
        match &ending {
            Ending::Completed(_) => self.workflow = None,
            // What goes along to the next turn is not given up.
            Ending::Turn(_) => self.unload(),
        }
        let (result, next_input) = match &ending {
            Ending::Completed(result) => (Some(result.clone()), None),
            Ending::Turn(input) => (None, Some(input.clone())),
        };
        let began = LeftoversBegan { result, next_input };
        self.shared.state.lock().emit(Body::LeftoversBegan(began));
        let message = "the run was reset, and has not done this again";
        self.cause = Some(Failure::new(RESET, message));
        self.leftovers = Some(ending);
        self.phase = Phase::Compensating(None);
        Ok(())
    }

    pub(super) fn end_with(&mut self, ending: Ending) -> Result<(), Misfit> {
        match ending {
            Ending::Completed(result) => {
                self.phase = Phase::Running;
                self.begin_ending(result);
                if self.phase == Phase::Compensating(None) { self.undo_next() } else { Ok(()) }
            }
            Ending::Turn(input) => self.end_turn(input),
        }
    }
}
