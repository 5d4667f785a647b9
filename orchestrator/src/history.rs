//! A run's history, walked once from its beginning: each event as callers see it, and what the walk adds up to.
//!
//! Events name steps by the number of their command; names, occurrences and effect keys are known from the event that
//! scheduled them, so a walk always begins at the first event.

mod children;
mod exchange;
mod life;
mod messages;
mod steps;
mod undo;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{
    HistoryEvent as WireEvent, OpenUndo, WorkflowFailure, WorkflowState,
};

use crate::engine::engine::HistoryEvent;
use crate::engine::event::{Body, Event};
use crate::engine::row::FailureRecord;
pub use messages::messages;

/// What the walk has seen so far.
#[derive(Default)]
pub struct Walk {
    workflow_id: String,
    effect_mark: String,
    /// Those without an outcome: a walk over a long history keeps no more than is open.
    scheduled: BTreeMap<u64, steps::Scheduled>,
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

    /// Each topic knows its own events.
    fn observe(&mut self, body: &Body, event: &Event, wire: &mut WireEvent) {
        let _ = self.observe_step(body, event, wire)
            || self.observe_undo(body, event, wire)
            || self.observe_exchange(body, wire)
            || self.observe_life(body, wire)
            || self.observe_child(body, wire);
    }

    /// Where the run stands after the events so far.
    pub fn state(&self) -> WorkflowState {
        self.state
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

/// What somebody said, where callers find failures.
fn told(reason: &str, message: &str) -> WorkflowFailure {
    WorkflowFailure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..WorkflowFailure::default()
    }
}
