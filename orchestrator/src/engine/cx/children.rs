//! What a run knows of its open children, and how it has them asked to end.

use std::sync::Arc;

use bytes::Bytes;

use super::state::{Shared, State, Wait};
use super::step::launch;
use super::{Entry, Part};
use crate::engine::call::CallKind;
use crate::engine::child::{EndChild, end_runner};
use crate::engine::event::{
    Body, ChildClosed, CommandGivenUp, END_CHILD, OpenChild, Parent, ParentClose, StepScheduled,
};
use crate::engine::failure::{CHILD_CANCELLED, CHILD_TERMINATED, Failure};
use crate::engine::row::RunState;
use crate::engine::step::effect_key;

/// How far a child was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Not at all, or in vain.
    No,
    /// A step that asks it is under way.
    UnderWay,
    /// It knows.
    Yes,
}

/// A child that has not ended.
pub(crate) struct Child {
    pub workflow_id: Arc<str>,
    pub workflow_type: String,
    pub policy: ParentClose,
    /// The command that has started it, as the child knows it.
    pub origin: Parent,
    pub is_started: bool,
    /// Nobody waits for it any more.
    pub is_given_up: bool,
    /// Its end is on record, and waits until the run goes on.
    pub is_noted_closed: bool,
    pub asked: Asked,
}

/// What is to be done so that a child ends.
pub(crate) enum ToEnd {
    /// Nothing now: it is being started, or asked.
    Wait,
    /// Ask it.
    Ask,
    /// It was asked, and has not ended.
    Asked,
    /// It has ended.
    Gone,
}

impl State {
    /// A child was decided on.
    pub(super) fn add_child(&mut self, command: u64, child: Child) {
        self.waits.insert(command, Box::new(Wait { is_child: true, ..Wait::default() }));
        if child.policy != ParentClose::Abandon {
            let occurrence = self.take_occurrence(END_CHILD);
            let parent_id = &child.origin.workflow_id;
            self.ledger.record(Entry {
                command,
                part: Part::EndOfChild,
                name: END_CHILD,
                input: EndChild::of(&child.workflow_id, &child.origin, child.policy).to_json(),
                runner: end_runner(),
                occurrence,
                effect_key: effect_key(parent_id, END_CHILD, occurrence, &self.effect_mark),
                undone_key: Some(child.workflow_id.clone()),
            });
        }
        self.children.insert(command, child);
    }

    /// Takes over a child of the turn before.
    pub fn carry_child(&mut self, shared: &Shared, carried: &OpenChild) {
        let command = self.take_command();
        let origin = Parent {
            workflow_id: shared.workflow_id.to_string(),
            run_id: carried.origin_run_id.clone(),
            command: carried.origin_command,
            depth: self.depth() + 1,
        };
        let child = Child {
            workflow_id: carried.workflow_id.as_str().into(),
            workflow_type: carried.workflow_type.clone(),
            policy: carried.policy(),
            origin,
            is_started: carried.is_started,
            is_given_up: false,
            is_noted_closed: false,
            asked: Asked::No,
        };
        self.add_child(command, child);
    }

    /// What the next turn takes over.
    pub fn carried_children(&self) -> Vec<OpenChild> {
        let carried = self.children.values().map(|child| OpenChild {
            workflow_id: child.workflow_id.to_string(),
            workflow_type: child.workflow_type.clone(),
            policy: child.policy.into(),
            is_started: true,
            origin_run_id: child.origin.run_id.clone(),
            origin_command: child.origin.command,
            ..OpenChild::default()
        });
        carried.collect()
    }

    /// How deep the run is nested: 0 for a run that is nobody's child.
    pub(super) fn depth(&self) -> u32 {
        self.parent.as_ref().map_or(0, |parent| parent.depth)
    }

    /// Whether every child is started, and none is being asked to end: what is under way does not outlive the turn.
    pub fn are_children_settled(&self) -> bool {
        self.end_requests.is_empty() && self.children.values().all(|child| child.is_started)
    }

    pub fn child_started(&mut self, command: u64) {
        let Some(child) = self.children.get_mut(&command) else { return };
        child.is_started = true;
        if child.is_given_up {
            self.ask_to_end(command);
        }
        if let Some(waker) = self.waits.get_mut(&command).and_then(|wait| wait.waker.take()) {
            waker.wake();
        }
    }

    /// The child has ended. `is_being_ended`: the undo that asks it to is under way or parked, and settles its own entry.
    pub fn child_closed(&mut self, closed: &ChildClosed, is_being_ended: bool) {
        let command = closed.command;
        if self.children.remove(&command).is_none() {
            return;
        }
        if !is_being_ended {
            self.ledger.settle(command, Part::EndOfChild);
        }
        if closed.discharges_undo {
            self.ledger.settle(command, Part::Undo);
        }
        if let Some(wait) = self.waits.get_mut(&command) {
            wait.is_refused = closed.is_refused;
        }
        self.resolve(command, outcome(closed));
    }

    /// Nobody waits for the child any more: it is asked to end as its policy says, once it is started.
    pub(super) fn give_up_child(&mut self, command: u64) {
        let Some(child) = self.children.get_mut(&command) else { return };
        child.is_given_up = true;
        let is_started = child.is_started;
        self.emit(Body::ChildGivenUp(CommandGivenUp { command }));
        if is_started {
            self.ask_to_end(command);
        }
    }

    fn ask_to_end(&mut self, command: u64) {
        let Some(child) = self.children.get_mut(&command) else { return };
        if child.policy == ParentClose::Abandon || child.asked != Asked::No {
            return;
        }
        child.asked = Asked::UnderWay;
        let end = EndChild::of(&child.workflow_id, &child.origin, child.policy);
        let parent_id = child.origin.workflow_id.clone();
        let request = self.schedule_end(&parent_id, end);
        self.end_requests.insert(request, command);
    }

    /// Schedules a step that asks a child to end.
    pub(super) fn schedule_end(&mut self, parent_id: &str, end: EndChild) -> u64 {
        let command = self.take_command();
        let occurrence = self.take_occurrence(END_CHILD);
        let name = END_CHILD.to_owned();
        let input = end.to_json();
        let scheduled =
            StepScheduled { command, name, occurrence, input, ..StepScheduled::default() };
        self.emit(Body::StepScheduled(scheduled));
        let key = effect_key(parent_id, END_CHILD, occurrence, &self.effect_mark);
        launch(self, command, END_CHILD, key, None, CallKind::Step, Arc::new(end));
        command
    }

    /// A step that asks a child to end has an outcome.
    pub fn end_request_done(&mut self, request: u64, has_succeeded: bool) {
        let Some(command) = self.end_requests.remove(&request) else { return };
        if let Some(child) = self.children.get_mut(&command) {
            child.asked = if has_succeeded { Asked::Yes } else { Asked::No };
        }
    }

    /// The child has been asked to end.
    pub fn asked_to_end(&mut self, command: u64) {
        if let Some(child) = self.children.get_mut(&command) {
            child.asked = Asked::Yes;
        }
    }

    pub fn child_to_end(&self, command: u64) -> ToEnd {
        match self.children.get(&command) {
            None => ToEnd::Gone,
            Some(child) if !child.is_started => ToEnd::Wait,
            Some(child) => match child.asked {
                Asked::No => ToEnd::Ask,
                Asked::UnderWay => ToEnd::Wait,
                Asked::Yes => ToEnd::Asked,
            },
        }
    }
}

/// What whoever waits for the child gets.
fn outcome(closed: &ChildClosed) -> Result<Bytes, Failure> {
    if closed.state() == RunState::Completed {
        return Ok(closed.result.clone().unwrap_or_default());
    }
    let mut failure: Failure = (&closed.failure.clone().unwrap_or_default()).into();
    match closed.state() {
        RunState::Cancelled => failure.code = CHILD_CANCELLED.into(),
        RunState::Terminated if failure.code.is_empty() => failure.code = CHILD_TERMINATED.into(),
        _ => {}
    }
    Err(failure.of_step(&closed.workflow_id))
}
