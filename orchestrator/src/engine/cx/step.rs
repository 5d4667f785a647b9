//! The future of a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::inheritance::Taken;
use super::state::State;
use super::wait::{drop_command, poll_command};
use super::{Cx, Entry, Part, from_json, write_json};
use crate::engine::call::{Call, CallKind, Callable, StepCall, Token};
use crate::engine::error::StuckCode;
use crate::engine::event::{Body, StepScheduled, Undo};
use crate::engine::failure::Failure;
use crate::engine::limits::{MAX_OPEN_STEPS, MAX_PAYLOAD_BYTES};
use crate::engine::step::{PlannedUndo, Step, UndoOf, effect_key};

/// See [`Cx::step`]. The step is scheduled when the future is first polled.
#[must_use = "a step is scheduled when it is first awaited"]
pub struct StepFuture<S: Step> {
    cx: Cx,
    step: Option<S>,
    command: Option<u64>,
}

impl<S: Step> StepFuture<S> {
    pub(super) fn new(cx: Cx, step: S) -> StepFuture<S> {
        StepFuture { cx, step: Some(step), command: None }
    }

    fn schedule(&mut self, step: S) -> Result<u64, Failure> {
        let mut state = self.cx.shared.state.lock();
        if let Some(failure) = state.cancellation(self.cx.shielded) {
            return Err(failure);
        }
        let input = match write_json(&step) {
            Ok(input) => input,
            Err(error) => {
                state.misfit_value(S::NAME, &error);
                Bytes::new()
            }
        };
        check_bounds(&mut state, S::NAME, input.len());
        let command = state.take_command();
        let plan = S::Undo::plan(&step);
        let again = state.inheritance.take_step(S::NAME, &input, &plan);
        let occurrence = again.unwrap_or_else(|| state.take_occurrence(S::NAME));
        let inherited = again.and_then(|_| state.inheritance.take_undo(S::NAME, occurrence));
        let workflow_id = &self.cx.shared.workflow_id;
        let key = effect_key(workflow_id, S::NAME, occurrence, &state.effect_mark);
        let undo = record_undo(&mut state, workflow_id, command, Some(&key), plan, inherited);
        state.emit(Body::StepScheduled(StepScheduled {
            command,
            name: S::NAME.to_owned(),
            occurrence,
            input,
            undo,
            replaces: inherited.map_or(0, |inherited| inherited.command),
        }));
        state.waits.insert(command, Box::default());
        launch(&mut state, command, S::NAME, key, None, CallKind::Step, Arc::new(StepCall(step)));
        Ok(command)
    }
}

/// Holds an input against its bound.
pub(super) fn check_payload(state: &mut State, name: &str, input_bytes: usize) {
    if input_bytes > MAX_PAYLOAD_BYTES {
        let message =
            format!("the input of {name} has {input_bytes} bytes, at most {MAX_PAYLOAD_BYTES}");
        state.misfit(StuckCode::BoundExceeded, message);
    }
}

fn check_bounds(state: &mut State, name: &str, input_bytes: usize) {
    check_payload(state, name, input_bytes);
    if state.open_steps() >= MAX_OPEN_STEPS {
        let message = format!("more than {MAX_OPEN_STEPS} steps are under way");
        state.misfit(StuckCode::BoundExceeded, message);
    }
}

/// Puts a call on the list of those that start once their commit is durable.
pub(crate) fn launch(
    state: &mut State,
    command: u64,
    name: &'static str,
    effect_key: Arc<str>,
    undone_key: Option<Arc<str>>,
    kind: CallKind,
    callable: Arc<dyn Callable>,
) {
    let call = Call {
        command,
        name,
        kind,
        callable,
        effect_key,
        undone_key,
        scheduled_at_ms: state.now_ms,
        failed_attempts: 0,
        last_failure: None,
        progress: None,
        token: Token::default(),
    };
    state.calls.insert(command, Arc::new(call));
    state.launches.push(command);
}

/// Takes an undo into the ledger, and gives what of it goes into the event.
pub(super) fn record_undo(
    state: &mut State,
    workflow_id: &str,
    command: u64,
    undone_key: Option<&Arc<str>>,
    plan: PlannedUndo,
    inherited: Option<Taken>,
) -> Option<Undo> {
    if let Some(inherited) = inherited {
        state.ledger.settle(inherited.command, Part::Undo);
    }
    match plan {
        PlannedUndo::Nothing => None,
        PlannedUndo::Earlier(name) => {
            if !state.ledger.has_open(name) {
                state.misfit(StuckCode::UndoMissing, format!("no open {name} is on record"));
            }
            None
        }
        PlannedUndo::Own { name, input, runner } => {
            let input = match input {
                Ok(input) => input,
                Err(error) => {
                    state.misfit_value(name, &error);
                    return None;
                }
            };
            let same = inherited.filter(|inherited| inherited.undo == name);
            let occurrence = match same {
                Some(same) => same.undo_occurrence,
                None => state.take_occurrence(name),
            };
            state.ledger.record(Entry {
                command,
                part: Part::Undo,
                name,
                input: input.clone(),
                runner,
                occurrence,
                effect_key: effect_key(workflow_id, name, occurrence, &state.effect_mark),
                undone_key: undone_key.cloned(),
            });
            let told = if state.inheritance.is_reset() { occurrence } else { 0 };
            Some(Undo { name: name.to_owned(), input, occurrence: told })
        }
    }
}

impl<S: Step> Unpin for StepFuture<S> {}

impl<S: Step> Future for StepFuture<S> {
    type Output = Result<S::Output, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(step) = self.step.take() {
            match self.schedule(step) {
                Ok(command) => self.command = Some(command),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let Some(command) = self.command else { return Poll::Pending };
        let outcome = match poll_command(&self.cx, command, task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(outcome) => outcome,
        };
        match outcome.map(|json| from_json(&json)) {
            Ok(Ok(output)) => Poll::Ready(Ok(output)),
            Ok(Err(error)) => {
                // The run is stuck: the workflow must not go on with a value that nobody understands.
                self.cx
                    .shared
                    .state
                    .lock()
                    .misfit_value(&format!("the result of {}", S::NAME), &error);
                Poll::Pending
            }
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}

impl<S: Step> Drop for StepFuture<S> {
    fn drop(&mut self) {
        drop_command(&self.cx.shared, self.command);
    }
}
