//! A saga: steps, each with its undo on record, and undo that is owed without a step.

use super::step::record_undo;
use super::{Cx, StepFuture};
use crate::engine::call::undo_runner;
use crate::engine::event::{Body, UndoOwed};
use crate::engine::step::{Compensation, PlannedUndo, Step};

/// See [`Cx::saga`]. When the workflow fails, the undo on record is run in exact reverse order, through whichever
/// handle it was recorded.
#[derive(Clone)]
pub struct Saga {
    cx: Cx,
}

impl Saga {
    pub(super) fn new(cx: Cx) -> Saga {
        Saga { cx }
    }

    pub(super) fn cx(&self) -> &Cx {
        &self.cx
    }

    /// See [`Cx::step`].
    ///
    /// # Errors
    /// The future fails with the step's failure once it has failed for good.
    pub fn step<S: Step>(&self, step: S) -> StepFuture<S> {
        self.cx.step(step)
    }

    /// Puts an undo on record that no step of this run brings with it (of what the caller did before it started the
    /// run). It rides with the next commit.
    pub fn owe<C: Compensation>(&self, compensation: C) {
        let shared = &self.cx.shared;
        let mut state = shared.state.lock();
        let command = state.take_command();
        let plan = PlannedUndo::Own {
            name: C::NAME,
            input: serde_json::to_vec(&compensation).map(Into::into),
            runner: undo_runner::<C>(),
        };
        let inherited = state.inheritance.take_owed(C::NAME);
        let undo = record_undo(&mut state, &shared.workflow_id, command, None, plan, inherited);
        let replaces = inherited.map_or(0, |inherited| inherited.command);
        state.emit(Body::UndoOwed(UndoOwed { command, undo, replaces }));
    }
}
