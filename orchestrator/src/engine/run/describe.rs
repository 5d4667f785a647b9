//! What may be asked of, and said to, a run in memory.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Phase, Run, Undoing, UpdateOutcome};
use crate::engine::cx::{Acceptor, Inbox, State};
use crate::engine::engine::Footprint;
use crate::engine::event::{Body, END_CHILD, Event, Parent, UpdateAnswered};
use crate::engine::limits::MAX_CARRIED_UPDATES;
use crate::engine::row::FailureRecord;

/// A call without an outcome, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// Its command.
    pub command: u64,
    /// The step's or compensation's name.
    pub name: &'static str,
    /// Whether it undoes something.
    pub is_undo: bool,
    /// How many attempts have failed so far.
    pub failed_attempts: u32,
    /// What the last of them failed with.
    pub last_failure: Option<FailureRecord>,
    /// When it was scheduled, in unix milliseconds.
    pub scheduled_at_ms: i64,
}

impl Run {
    /// Calls without an outcome, in the order of their commands.
    pub fn pending_calls(&self) -> Vec<PendingCall> {
        let state = self.shared.state.lock();
        let pending = state.calls.values().map(|call| PendingCall {
            command: call.command,
            name: call.name,
            is_undo: call.is_undo(),
            failed_attempts: call.failed_attempts,
            last_failure: call.last_failure.clone(),
            scheduled_at_ms: call.scheduled_at_ms,
        });
        pending.collect()
    }

    /// Whether a call is on record and has no outcome.
    pub fn awaits_call(&self, command: u64) -> bool {
        !self.is_closed() && self.shared.state.lock().calls.contains_key(&command)
    }

    /// Whether a timer is open.
    pub fn awaits_timer(&self, command: u64) -> bool {
        let state = self.shared.state.lock();
        let Some(wait) = state.waits.get(&command) else { return false };
        !self.is_closed() && wait.is_timer && !wait.has_fired && wait.outcome.is_none()
    }

    /// Whether the undo of a command is on record, and neither run nor being run.
    pub fn has_undo_open(&self, command: u64) -> bool {
        self.owes_undo(&self.shared.state.lock(), command)
    }

    fn owes_undo(&self, state: &State, command: u64) -> bool {
        let is_under_way = self
            .undoing()
            .is_some_and(|undoing| undoing.undoes == command && undoing.name != END_CHILD);
        state.ledger.is_open(command) && !is_under_way
    }

    /// The compensation that is under way or parked.
    fn undoing(&self) -> Option<Undoing> {
        match self.phase {
            Phase::Compensating(Some(undoing)) | Phase::Parked(undoing) => Some(undoing),
            _ => None,
        }
    }

    /// Whether the undo that asks this child to end is under way or parked.
    pub(super) fn is_ending_child(&self, command: u64) -> bool {
        self.undoing().is_some_and(|undoing| undoing.undoes == command && undoing.name == END_CHILD)
    }

    /// Whether a signal of this id was taken before.
    pub fn knows_signal(&self, id: &str) -> bool {
        self.signal_ids.contains_key(id)
    }

    /// How many signals were taken.
    pub fn signals_taken(&self) -> usize {
        self.signal_ids.len()
    }

    /// Signals that nobody has taken, and their bytes.
    pub fn unread_signals(&self) -> (usize, usize) {
        let state = self.shared.state.lock();
        (state.signals.values().map(Inbox::len).sum(), state.unread_bytes)
    }

    /// What the workflow shows under this name.
    pub fn view(&self, name: &str) -> Option<Bytes> {
        self.shared.state.lock().views.get(name).cloned()
    }

    /// What decides whether an update of this name may be recorded now.
    pub fn acceptor(&self, name: &str) -> Option<Acceptor> {
        self.shared.state.lock().acceptors.get(name).cloned()
    }

    /// Why nothing that waits goes on any more, if someone has cancelled the run.
    pub fn is_cancelled(&self) -> bool {
        let is_request = |body: &Body| matches!(body, Body::CancelRequested(_));
        self.shared.state.lock().cancelled.is_some()
            || self.paused.as_ref().is_some_and(|waiting| waiting.iter().any(is_request))
    }

    /// Undo entries that are open, children among them. A run that has returned owes nothing but the end of its children.
    pub fn open_undo(&self) -> u64 {
        let state = self.shared.state.lock();
        if self.ending.is_some() { state.ledger.open_children() } else { state.ledger.open_count() }
    }

    /// Whose child the run is.
    pub fn parent(&self) -> Option<Parent> {
        self.shared.state.lock().parent.clone()
    }

    /// Whether the run is the child that this command has started.
    pub fn is_child_of(&self, parent: &Parent) -> bool {
        self.shared.state.lock().parent.as_ref().is_some_and(|own| own.is_same(parent))
    }

    /// The command of a child that has not ended, and whether its compensation is open. Not of a stuck run, whose state
    /// may be incomplete.
    pub fn open_child(&self, workflow_id: &str, origin: &Parent) -> Option<(u64, bool)> {
        let state = self.shared.state.lock();
        let mut open = state.children.iter().filter(|(_, child)| !child.is_noted_closed);
        let (command, _) = open.find(|(_, child)| {
            *child.workflow_id == *workflow_id && child.origin.is_same(origin)
        })?;
        Some((*command, self.owes_undo(&state, *command)))
    }

    /// What the run holds in memory.
    pub fn footprint(&self) -> Footprint {
        let state = self.shared.state.lock();
        let unread = |inboxes: &BTreeMap<String, Inbox>| inboxes.values().map(Inbox::len).sum();
        let signals: usize = unread(&state.signals);
        let updates: usize = unread(&state.updates);
        let versions = state.versions.len() + state.marks.len() + state.marked.len();
        Footprint {
            commands: state.calls.len() + state.waits.len() + state.waiters.len(),
            open_undo: state.ledger.open_count() as usize,
            unread: signals + updates,
            message_ids: self.signal_ids.len() + self.updates.len(),
            names: state.occurrences.len() + versions + state.views.len(),
            undrained_events: 0,
        }
    }

    /// The answer to those who started the run.
    pub fn answer(&self) -> Option<Bytes> {
        self.shared.state.lock().answer.clone()
    }

    /// The updates that are answered.
    pub fn answered(&self) -> BTreeMap<String, UpdateOutcome> {
        let answered = self.updates.iter();
        answered.filter_map(|(id, outcome)| Some((id.clone(), outcome.clone()?))).collect()
    }

    /// The number of the next command.
    pub fn next_command(&self) -> u64 {
        self.shared.state.lock().next_command + 1
    }

    /// Whether the run has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    pub(super) fn note_answer(&mut self, answered: &UpdateAnswered) {
        self.updates.insert(answered.id.clone(), Some(outcome_of(answered)));
        self.answered.push_back(answered.clone());
        if self.answered.len() > MAX_CARRIED_UPDATES {
            self.answered.pop_front();
        }
    }

    /// Remembers the answers to updates among new events.
    pub fn note_answers(&mut self, events: &[Event]) {
        for event in events {
            if let Some(Body::UpdateAnswered(answered)) = &event.body {
                self.note_answer(answered);
            }
        }
    }
}

/// What the sender of an update gets.
pub(crate) fn outcome_of(answered: &UpdateAnswered) -> UpdateOutcome {
    match (&answered.answer, &answered.failure) {
        (Some(answer), _) => Ok(answer.clone()),
        (None, failure) => Err((&failure.clone().unwrap_or_default()).into()),
    }
}
