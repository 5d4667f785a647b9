//! A run's history, walked once from its beginning: each event as callers see it, and what the walk adds up to.
//!
//! Events name steps by the number of their command; names, occurrences and effect keys are known from the event that
//! scheduled them, so a walk always begins at the first event.

mod children;
mod messages;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{
    HistoryEvent as WireEvent, HistoryEventKind as Kind, OpenTimer, OpenUndo, PendingStep,
    WorkflowFailure, WorkflowState,
};

use crate::engine::engine::HistoryEvent;
use crate::engine::event::{Body, Event, Reset, Undo};
use crate::engine::lineage::effect_mark;
use crate::engine::row::{FailureRecord, RunState};
use crate::engine::step::effect_key;
use crate::wire;
pub use messages::messages;

/// A step or compensation that was scheduled.
struct Scheduled {
    name: String,
    occurrence: u32,
    /// Of an undo: the command that it undoes.
    undoes: Option<u64>,
    scheduled_at_ms: i64,
    failed_attempts: u32,
    retry_at_ms: Option<i64>,
    last_failure: Option<WorkflowFailure>,
}

/// What the walk has seen so far.
#[derive(Default)]
pub struct Walk {
    workflow_id: String,
    effect_mark: String,
    /// Those without an outcome: a walk over a long history keeps no more than is open.
    scheduled: BTreeMap<u64, Scheduled>,
    /// Undo on record, by the command that put it there.
    open_undo: BTreeMap<u64, OpenUndo>,
    /// Those of them that a reset has left: no round's end lets them stand.
    inherited: BTreeSet<u64>,
    open_timers: BTreeMap<u64, i64>,
    undo_occurrences: HashMap<String, u32>,
    /// JSON that the run was started with.
    pub input: bytes::Bytes,
    state: WorkflowState,
    state_before_stuck: WorkflowState,
    /// Children, by the command under which the run knows them.
    children: BTreeMap<u64, children::Child>,
    /// The function has returned, and only children keep the run from ending.
    is_ending: bool,
    /// Of a paused run: where it goes on.
    paused_from: Option<WorkflowState>,
}

impl Walk {
    /// Takes the next event in, and gives it as callers see it.
    pub fn step(&mut self, item: &HistoryEvent) -> WireEvent {
        let event = &item.event;
        let mut wire = WireEvent {
            sequence: item.sequence as i64 + 1,
            time: Some(timestamp(event.time_ms)),
            ..WireEvent::default()
        };
        if let Some(body) = &event.body {
            self.observe(body, event, &mut wire);
            self.note_state(body);
        }
        wire
    }

    /// Where the run stands after the events so far.
    pub fn state(&self) -> WorkflowState {
        self.state
    }

    fn note_state(&mut self, body: &Body) {
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

    fn observe(&mut self, body: &Body, event: &Event, wire: &mut WireEvent) {
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
            Body::StepScheduled(e) => {
                self.schedule(e.command, &e.name, e.occurrence, None, event.time_ms, wire);
                self.open_undo.remove(&e.replaces);
                self.record_undo(e.command, e.undo.as_ref(), Some(&e.name));
                wire.payload = e.input.clone();
                wire.set_kind(Kind::StepScheduled);
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
            body => self.observe_rest(body, wire),
        }
    }

    /// Everything that is neither a step nor an undo.
    fn observe_rest(&mut self, body: &Body, wire: &mut WireEvent) {
        match body {
            Body::TimerSet(e) => {
                self.open_timers.insert(e.command, e.fire_at_ms);
                wire.fire_time = Some(timestamp(e.fire_at_ms));
                wire.set_kind(Kind::TimerStarted);
            }
            Body::TimerFired(e) => {
                self.open_timers.remove(&e.command);
                wire.set_kind(Kind::TimerFired);
            }
            Body::TimerGivenUp(e) => {
                self.open_timers.remove(&e.command);
                wire.set_kind(Kind::TimerCancelled);
            }
            Body::SignalReceived(e) | Body::UpdateAccepted(e) => {
                wire.name.clone_from(&e.name);
                wire.request_id.clone_from(&e.id);
                wire.payload = e.payload.clone();
                let is_signal = matches!(body, Body::SignalReceived(_));
                wire.set_kind(if is_signal { Kind::SignalReceived } else { Kind::UpdateAccepted });
            }
            Body::UpdateAnswered(e) => {
                wire.request_id.clone_from(&e.id);
                wire.payload = e.answer.clone().unwrap_or_default();
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(Kind::UpdateCompleted);
            }
            Body::UndoOwed(e) => {
                self.open_undo.remove(&e.replaces);
                self.record_undo(e.command, e.undo.as_ref(), None);
                wire.name = e.undo.as_ref().map(|undo| undo.name.clone()).unwrap_or_default();
                wire.set_kind(Kind::UndoOwed);
            }
            Body::Answered(e) => {
                wire.payload = e.answer.clone();
                wire.set_kind(Kind::Answered);
            }
            Body::VersionMarked(e) => {
                wire.name.clone_from(&e.change);
                wire.payload = e.version.to_string().into();
                wire.set_kind(Kind::ValueRecorded);
            }
            Body::AttributesSet(e) => {
                let names: Vec<&str> = e.changes.iter().map(|set| set.name.as_str()).collect();
                wire.name = names.join(", ");
                wire.payload = wire::attributes_json(&e.changes);
                wire.set_kind(Kind::AttributesSet);
            }
            Body::RoundEnded(_) => {
                self.open_undo.retain(|command, _| self.inherited.contains(command));
                wire.set_kind(Kind::RoundEnded);
            }
            Body::CancelRequested(e) => {
                wire.failure = Some(told("CANCELLED", &e.reason));
                wire.set_kind(Kind::CancelRequested);
            }
            Body::CompensationBegan(e) => {
                wire.failure = failure(e.cause.as_ref(), false);
                wire.set_kind(Kind::CompensationStarted);
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
            Body::LeftoversBegan(e) => {
                wire.payload = e.result.clone().or(e.next_input.clone()).unwrap_or_default();
                wire.set_kind(Kind::LeftoversBegan);
            }
            Body::Progressed(e) => {
                self.name(e.command, wire);
                wire.payload = e.progress.clone();
                wire.set_kind(Kind::StepProgressed);
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
            body => self.observe_child(body, wire),
        }
    }

    fn schedule(
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

    /// What is open of the part that a reset dropped.
    fn inherit(&mut self, reset: &Reset) {
        for used in &reset.occurrences {
            self.undo_occurrences.insert(used.name.clone(), used.count);
        }
        for inherited in &reset.inherited {
            let step = Some(&inherited.step).filter(|step| !step.is_empty());
            self.record_undo(inherited.command, inherited.undo.as_ref(), step);
            self.inherited.insert(inherited.command);
        }
    }

    fn record_undo(&mut self, command: u64, undo: Option<&Undo>, step: Option<&String>) {
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

    /// Nothing goes on in a run that has ended.
    fn end(&mut self) {
        self.open_timers.clear();
        self.scheduled.clear();
    }

    fn close(&mut self, command: u64, attempt: u32, wire: &mut WireEvent) {
        self.name(command, wire);
        wire.attempt = attempt as i32;
        self.scheduled.remove(&command);
    }

    fn name(&self, command: u64, wire: &mut WireEvent) {
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

    /// Undo on record, in the order in which it would run: the last first.
    pub fn open_undo(&self) -> Vec<OpenUndo> {
        self.open_undo.values().rev().cloned().collect()
    }

    /// Timers that have not fired.
    pub fn open_timers(&self) -> Vec<OpenTimer> {
        let times = self.open_timers.values();
        times.map(|at| OpenTimer { name: String::new(), fire_time: Some(timestamp(*at)) }).collect()
    }
}

/// A recorded failure as callers see it.
pub fn failure(record: Option<&FailureRecord>, retryable: bool) -> Option<WorkflowFailure> {
    record.map(|record| WorkflowFailure {
        reason: record.code.clone(),
        message: record.message.clone(),
        retryable,
        step: record.step.clone(),
        ..WorkflowFailure::default()
    })
}

fn told(reason: &str, message: &str) -> WorkflowFailure {
    WorkflowFailure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..WorkflowFailure::default()
    }
}
