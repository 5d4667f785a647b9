//! What a history says of undo: what is on record, what runs, and what nobody owes any more.

use souk_proto::workflow::v1::{HistoryEvent as WireEvent, HistoryEventKind as Kind, OpenUndo};

use super::{Walk, failure, told};
use crate::engine::event::{Body, Event, Reset, Undo};
use crate::engine::step::effect_key;

impl Walk {
    /// Takes in an event about undo.
    pub(super) fn observe_undo(
        &mut self,
        body: &Body,
        event: &Event,
        wire: &mut WireEvent,
    ) -> bool {
        match body {
            Body::UndoOwed(e) => {
                self.open_undo.remove(&e.replaces);
                self.record_undo(e.command, e.undo.as_ref(), None);
                wire.name = e.undo.as_ref().map(|undo| undo.name.clone()).unwrap_or_default();
                wire.set_kind(Kind::UndoOwed);
            }
            Body::UndoScheduled(e) => {
                self.schedule(
                    e.command,
                    &e.name,
                    e.occurrence,
                    Some(e.undoes),
                    event.time_ms,
                    wire,
                );
                wire.set_kind(Kind::UndoScheduled);
            }
            Body::UndoSucceeded(e) => {
                self.settle(e.command);
                self.close(e.command, e.attempt, wire);
                wire.set_kind(Kind::UndoCompleted);
            }
            Body::UndoParked(e) => {
                wire.attempt = e.attempt as i32;
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(Kind::Parked);
                self.park(e.command, wire);
            }
            Body::UndoRetried(e) => {
                self.reopen(e.command, event.time_ms, wire);
                wire.set_kind(Kind::RetryRequested);
            }
            Body::UndoSkipped(e) => {
                self.settle(e.command);
                self.close(e.command, 0, wire);
                wire.failure = Some(told("SKIPPED", &e.reason));
                wire.set_kind(Kind::UndoSkipped);
            }
            Body::CompensationBegan(e) => {
                wire.failure = failure(e.cause.as_ref(), false);
                wire.set_kind(Kind::CompensationStarted);
            }
            Body::LeftoversBegan(e) => {
                wire.payload = e.result.clone().or(e.next_input.clone()).unwrap_or_default();
                wire.set_kind(Kind::LeftoversBegan);
            }
            Body::RoundEnded(_) => {
                self.open_undo.retain(|command, _| self.inherited.contains(command));
                wire.set_kind(Kind::RoundEnded);
            }
            _ => return false,
        }
        true
    }

    /// What is open of the part that a reset dropped.
    pub(super) fn inherit(&mut self, reset: &Reset) {
        for used in &reset.occurrences {
            self.undo_occurrences.insert(used.name.clone(), used.count);
        }
        for inherited in &reset.inherited {
            let step = Some(&inherited.step).filter(|step| !step.is_empty());
            self.record_undo(inherited.command, inherited.undo.as_ref(), step);
            self.inherited.insert(inherited.command);
        }
    }

    pub(super) fn record_undo(&mut self, command: u64, undo: Option<&Undo>, step: Option<&String>) {
        let Some(undo) = undo else { return };
        let occurrence = self.undo_occurrences.entry(undo.name.clone()).or_default();
        *occurrence = if undo.occurrence > 0 { undo.occurrence } else { *occurrence + 1 };
        let open = OpenUndo {
            step: step.unwrap_or(&undo.name).clone(),
            occurrence: *occurrence as i32,
            effect_key: effect_key(&self.workflow_id, &undo.name, *occurrence, &self.effect_mark)
                .to_string(),
        };
        self.open_undo.insert(command, open);
    }

    fn reopen(&mut self, command: u64, now_ms: i64, wire: &mut WireEvent) {
        self.name(command, wire);
        if let Some(scheduled) = self.scheduled.get_mut(&command) {
            scheduled.scheduled_at_ms = now_ms;
            scheduled.retry_at_ms = None;
        }
    }

    /// The parked undo stays among what is pending: without a next attempt, until somebody decides.
    fn park(&mut self, command: u64, wire: &mut WireEvent) {
        self.name(command, wire);
        if let Some(scheduled) = self.scheduled.get_mut(&command) {
            scheduled.failed_attempts = wire.attempt.unsigned_abs();
            scheduled.retry_at_ms = None;
            scheduled.last_failure.clone_from(&wire.failure);
        }
    }

    /// An undo is owed until it has succeeded or was passed over.
    fn settle(&mut self, command: u64) {
        let undoes = self.scheduled.get(&command).and_then(|scheduled| scheduled.undoes);
        if let Some(undoes) = undoes {
            self.open_undo.remove(&undoes);
        }
    }

    /// Undo on record, in the order in which it would run: the last first.
    pub fn open_undo(&self) -> Vec<OpenUndo> {
        self.open_undo.values().rev().cloned().collect()
    }
}
