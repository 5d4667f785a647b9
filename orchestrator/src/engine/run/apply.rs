//! What an observation changes, before the workflow is polled for it.

use std::sync::Arc;

use super::{Phase, Run};
use crate::engine::cx::Part;
use crate::engine::event::Body;
use crate::engine::row::RunState;

impl Run {
    /// Takes an observation into the state. Live and in replay.
    pub(super) fn apply(&mut self, body: &Body, time_ms: i64) {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        state.now_ms = state.now_ms.max(time_ms);
        match body {
            Body::StepCompleted(step) => {
                state.calls.remove(&step.command);
                state.end_request_done(step.command, true);
                state.resolve(step.command, Ok(step.output.clone()));
            }
            Body::StepFailed(step) => {
                state.calls.remove(&step.command);
                state.end_request_done(step.command, false);
                if step.discharges_undo {
                    state.ledger.settle(step.command, Part::Undo);
                }
                let failure = step.failure.clone().unwrap_or_default();
                state.resolve(step.command, Err((&failure).into()));
            }
            Body::TimerFired(timer) => state.resolve(timer.command, Ok(bytes::Bytes::new())),
            Body::SignalReceived(signal) => {
                let arrival = self.signal_ids.len() as u64;
                self.signal_ids.entry(signal.id.clone()).or_insert(arrival);
                state.put_signal(signal);
                state.wake_waiters();
            }
            Body::UpdateAccepted(update) => {
                self.updates.insert(update.id.clone(), None);
                let inbox = state.updates.entry(update.name.clone()).or_default();
                inbox.push_back((update.id.clone(), update.payload.clone()));
                state.wake_waiters();
            }
            Body::CancelRequested(cancel) => state.cancel(cancel.reason.clone()),
            Body::UndoSucceeded(undo) => {
                state.calls.remove(&undo.command);
                drop(state);
                self.undo_succeeded();
            }
            Body::ChildStarted(child) => {
                state.calls.remove(&child.command);
                state.child_started(child.command);
            }
            Body::ChildClosed(child) => {
                state.calls.remove(&child.command);
                state.child_closed(child, self.is_ending_child(child.command));
            }
            Body::UndoParked(parked) => {
                state.calls.remove(&parked.command);
                if let Phase::Compensating(Some(undoing)) = self.phase {
                    self.phase = Phase::Parked(undoing);
                }
            }
            Body::UndoRetried(_) => {
                drop(state);
                self.retry_undo();
            }
            Body::UndoSkipped(_) => {
                drop(state);
                self.settle_undo();
            }
            Body::Terminated(_) | Body::Superseded(_) => {
                for call in std::mem::take(&mut state.calls).into_values() {
                    call.token.cancel();
                }
                drop(state);
                self.unload();
                self.phase = Phase::Closed(ended_by_force(body));
            }
            Body::Reset(reset) => {
                drop(state);
                self.inherit(reset, time_ms);
            }
            // Started moves the clock only; the rest is decided, not observed.
            _ => {}
        }
    }

    /// Takes what needs no poll: failed attempts, and whatever comes while the run is paused, or is stuck and waits for
    /// a build that fits. Ids are remembered, so that repetitions are recognised meanwhile.
    pub(super) fn note(&mut self, body: &Body) {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        if matches!(body, Body::AttemptFailed(_) | Body::Progressed(_)) {
            state.history_bytes += body.encoded_len() as u64;
        }
        match body {
            Body::AttemptFailed(failed) => {
                if let Some(call) = state.calls.get_mut(&failed.command).map(Arc::make_mut) {
                    call.failed_attempts = failed.attempt;
                    call.last_failure.clone_from(&failed.failure);
                    call.progress = failed.progress.clone().or_else(|| call.progress.take());
                }
            }
            Body::Progressed(progressed) => {
                if let Some(call) = state.calls.get_mut(&progressed.command).map(Arc::make_mut) {
                    call.progress = Some(progressed.progress.clone());
                }
            }
            Body::ChildStarted(child) => drop(state.calls.remove(&child.command)),
            Body::ChildClosed(child) => {
                state.calls.remove(&child.command);
                if let Some(child) = state.children.get_mut(&child.command) {
                    child.is_noted_closed = true;
                }
            }
            Body::StepCompleted(step) => drop(state.calls.remove(&step.command)),
            Body::StepFailed(step) => drop(state.calls.remove(&step.command)),
            Body::UndoSucceeded(undo) => drop(state.calls.remove(&undo.command)),
            Body::UndoParked(parked) => drop(state.calls.remove(&parked.command)),
            Body::TimerFired(timer) => {
                if let Some(wait) = state.waits.get_mut(&timer.command) {
                    wait.has_fired = true;
                }
            }
            Body::UpdateAccepted(update) => drop(self.updates.insert(update.id.clone(), None)),
            Body::SignalReceived(signal) => {
                let arrival = self.signal_ids.len() as u64;
                self.signal_ids.entry(signal.id.clone()).or_insert(arrival);
            }
            Body::Terminated(_) | Body::Superseded(_) => {
                for call in std::mem::take(&mut state.calls).into_values() {
                    call.token.cancel();
                }
                self.phase = Phase::Closed(ended_by_force(body));
            }
            _ => {}
        }
    }
}

fn ended_by_force(body: &Body) -> RunState {
    match body {
        Body::Superseded(_) => RunState::Continued,
        _ => RunState::Terminated,
    }
}
