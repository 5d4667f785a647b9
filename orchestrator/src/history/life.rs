//! What a history says of the run as a whole: how it began, where it stands, how it ended.

use souk_proto::workflow::v1::{
    HistoryEvent as WireEvent, HistoryEventKind as Kind, WorkflowState,
};

use super::{Walk, failure, told};
use crate::engine::event::Body;
use crate::engine::lineage::effect_mark;
use crate::engine::row::RunState;
use crate::wire;

impl Walk {
    /// Takes in an event about the run as a whole.
    pub(super) fn observe_life(&mut self, body: &Body, wire: &mut WireEvent) -> bool {
        match body {
            Body::Started(e) => {
                self.workflow_id.clone_from(&e.workflow_id);
                self.effect_mark = effect_mark(e.lineage.as_ref());
                self.input = e.input.clone();
                for occurrence in e.carried.iter().flat_map(|carried| &carried.occurrences) {
                    self.undo_occurrences.insert(occurrence.name.clone(), occurrence.count);
                }
                self.carry_children(e);
                wire.name.clone_from(&e.workflow_type);
                wire.payload = e.input.clone();
                wire.set_kind(Kind::Started);
            }
            Body::CancelRequested(e) => {
                wire.failure = Some(told("CANCELLED", &e.reason));
                wire.set_kind(Kind::CancelRequested);
            }
            Body::Stuck(e) => {
                wire.failure = Some(told(&e.code, &e.message));
                wire.set_kind(Kind::Stuck);
            }
            Body::Resumed(_) => wire.set_kind(Kind::Resumed),
            Body::Paused(e) => {
                wire.failure = Some(told("PAUSED", &e.reason));
                wire.set_kind(Kind::Paused);
            }
            Body::Unpaused(e) => {
                wire.failure = Some(told("UNPAUSED", &e.reason));
                wire.set_kind(Kind::Unpaused);
            }
            Body::Reset(e) => {
                self.inherit(e);
                wire.failure = Some(told("RESET", &e.reason));
                wire.set_kind(Kind::Reset);
            }
            Body::Superseded(e) => {
                self.open_undo.clear();
                self.end();
                wire.failure = Some(told("RESET", &e.reason));
                wire.set_kind(Kind::Superseded);
            }
            Body::Closed(e) => {
                let next = e.next.as_ref().map(|next| next.input.clone());
                wire.payload = e.result.clone().or(next).unwrap_or_default();
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(match e.state() {
                    RunState::Completed => Kind::Completed,
                    RunState::Cancelled => Kind::Cancelled,
                    RunState::Continued => Kind::ContinuedAsNew,
                    _ => Kind::Failed,
                });
                // What was not undone stays done, and nothing is owed any more.
                self.open_undo.clear();
                self.end();
            }
            Body::Terminated(e) => {
                self.end();
                wire.failure = Some(told("TERMINATED", &e.reason));
                wire.set_kind(Kind::Terminated);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn note_state(&mut self, body: &Body) {
        let state = match body {
            Body::Paused(_) => {
                self.paused_from.get_or_insert(self.state);
                WorkflowState::Paused
            }
            Body::Unpaused(_) => self.paused_from.take().unwrap_or(self.state),
            Body::Started(_) => WorkflowState::Running,
            Body::UndoRetried(_) | Body::UndoSkipped(_) if self.is_ending => WorkflowState::Running,
            Body::CompensationBegan(_) | Body::UndoRetried(_) | Body::UndoSkipped(_) => {
                WorkflowState::Compensating
            }
            Body::UndoParked(_) => WorkflowState::Parked,
            Body::Stuck(_) => {
                self.state_before_stuck = self.state;
                WorkflowState::Parked
            }
            Body::Resumed(_) => self.state_before_stuck,
            Body::Closed(closed) => wire::state(closed.state()),
            Body::Terminated(_) => WorkflowState::Terminated,
            Body::Superseded(_) => WorkflowState::Continued,
            Body::LeftoversBegan(_) => WorkflowState::Compensating,
            _ => return,
        };
        match &mut self.paused_from {
            // An undo may be parked meanwhile; the run stays paused all the same.
            Some(paused_from)
                if state == WorkflowState::Parked && !matches!(body, Body::Stuck(_)) =>
            {
                *paused_from = state;
            }
            _ => self.state = state,
        }
    }

    /// Nothing goes on in a run that has ended.
    fn end(&mut self) {
        self.open_timers.clear();
        self.scheduled.clear();
    }
}
