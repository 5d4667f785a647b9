//! What a history says of steps, and of the attempts of undos.

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{
    HistoryEvent as WireEvent, HistoryEventKind as Kind, PendingStep, WorkflowFailure,
};

use super::{Walk, failure};
use crate::engine::event::{Body, Event};
use crate::engine::step::effect_key;

/// A step or compensation that was scheduled.
pub(super) struct Scheduled {
    pub(super) name: String,
    pub(super) occurrence: u32,
    /// Of an undo: the command that it undoes.
    pub(super) undoes: Option<u64>,
    pub(super) scheduled_at_ms: i64,
    pub(super) failed_attempts: u32,
    pub(super) retry_at_ms: Option<i64>,
    pub(super) last_failure: Option<WorkflowFailure>,
}

impl Walk {
    /// Takes in an event about a step.
    pub(super) fn observe_step(
        &mut self,
        body: &Body,
        event: &Event,
        wire: &mut WireEvent,
    ) -> bool {
        match body {
            Body::StepScheduled(e) => {
                self.schedule(e.command, &e.name, e.occurrence, None, event.time_ms, wire);
                self.open_undo.remove(&e.replaces);
                self.record_undo(e.command, e.undo.as_ref(), Some(&e.name));
                wire.payload = e.input.clone();
                wire.set_kind(Kind::StepScheduled);
            }
            Body::StepCompleted(e) => {
                self.close(e.command, e.attempt, wire);
                wire.payload = e.output.clone();
                wire.set_kind(Kind::StepCompleted);
            }
            Body::StepFailed(e) => {
                if e.discharges_undo {
                    self.open_undo.remove(&e.command);
                }
                self.close(e.command, e.attempt, wire);
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(Kind::StepFailed);
            }
            Body::AttemptFailed(e) => {
                self.retry(
                    e.command,
                    e.attempt,
                    e.retry_at_ms,
                    failure(e.failure.as_ref(), true),
                    wire,
                );
            }
            Body::StepAbandoned(e) => {
                self.close(e.command, 0, wire);
                wire.set_kind(Kind::StepAbandoned);
            }
            Body::Progressed(e) => {
                self.name(e.command, wire);
                wire.payload = e.progress.clone();
                wire.set_kind(Kind::StepProgressed);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn schedule(
        &mut self,
        command: u64,
        name: &str,
        occurrence: u32,
        undoes: Option<u64>,
        now_ms: i64,
        wire: &mut WireEvent,
    ) {
        let scheduled = Scheduled {
            name: name.to_owned(),
            occurrence,
            undoes,
            scheduled_at_ms: now_ms,
            failed_attempts: 0,
            retry_at_ms: None,
            last_failure: None,
        };
        self.scheduled.insert(command, scheduled);
        self.name(command, wire);
    }

    fn retry(
        &mut self,
        command: u64,
        attempt: u32,
        retry_at_ms: i64,
        failure: Option<WorkflowFailure>,
        wire: &mut WireEvent,
    ) {
        self.name(command, wire);
        wire.set_kind(Kind::StepAttemptFailed);
        if let Some(scheduled) = self.scheduled.get_mut(&command) {
            scheduled.failed_attempts = attempt;
            scheduled.retry_at_ms = Some(retry_at_ms);
            scheduled.last_failure.clone_from(&failure);
            if scheduled.undoes.is_some() {
                wire.set_kind(Kind::UndoAttemptFailed);
            }
        }
        wire.attempt = attempt as i32;
        wire.fire_time = Some(timestamp(retry_at_ms));
        wire.failure = failure;
    }

    pub(super) fn close(&mut self, command: u64, attempt: u32, wire: &mut WireEvent) {
        self.name(command, wire);
        wire.attempt = attempt as i32;
        self.scheduled.remove(&command);
    }

    pub(super) fn name(&self, command: u64, wire: &mut WireEvent) {
        if let Some(scheduled) = self.scheduled.get(&command) {
            wire.name.clone_from(&scheduled.name);
            wire.occurrence = scheduled.occurrence as i32;
            wire.effect_key = self.effect_key(scheduled);
        }
    }

    fn effect_key(&self, scheduled: &Scheduled) -> String {
        let Scheduled { name, occurrence, .. } = scheduled;
        effect_key(&self.workflow_id, name, *occurrence, &self.effect_mark).to_string()
    }

    /// Steps and undos without an outcome.
    pub fn pending_steps(&self) -> Vec<PendingStep> {
        let open = self.scheduled.values();
        open.map(|scheduled| PendingStep {
            step: scheduled.name.clone(),
            occurrence: scheduled.occurrence as i32,
            undo: scheduled.undoes.is_some(),
            attempts: scheduled.failed_attempts as i32,
            first_attempt_time: Some(timestamp(scheduled.scheduled_at_ms)),
            next_attempt_time: scheduled.retry_at_ms.map(timestamp),
            last_failure: scheduled.last_failure.clone(),
            effect_key: self.effect_key(scheduled),
        })
        .collect()
    }
}
