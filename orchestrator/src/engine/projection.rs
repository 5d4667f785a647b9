//! From events to rows: what the tables say of a run, derived from its history and nothing else.

use super::attribute::{self, Attribute, Attributes};
use super::event::{
    Body, ChildClosed, ChildScheduled, END_CHILD, Event, OpenChild, ParentClose, Started,
};
use super::ids::RunId;
use super::row::{OpenTimer, RunRow, RunState};
use bytes::Bytes;

/// An event that cannot be where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} of the run cannot follow what is before it: {problem}")]
pub struct Illegal {
    /// Its place in the history.
    pub sequence: u64,
    /// Why it cannot be there.
    pub problem: &'static str,
}

const UNKNOWN_BODY: &str = "its body is of an unknown kind";

/// The row after one more event. `None` is the row of a run that does not exist yet.
///
/// # Errors
/// If the event cannot follow.
pub fn apply(
    row: Option<RunRow>,
    run_id: RunId,
    event: &Event,
    bytes: usize,
) -> Result<RunRow, Illegal> {
    match row {
        Some(mut row) => follow(&mut row, event, bytes).map(|()| row),
        None => begin(run_id, event, bytes),
    }
}

/// The row of a run after its first event.
///
/// # Errors
/// If a history cannot begin with it.
pub fn begin(run_id: RunId, event: &Event, bytes: usize) -> Result<RunRow, Illegal> {
    let illegal = |problem| Illegal { sequence: 0, problem };
    match event.body.as_ref().ok_or(illegal(UNKNOWN_BODY))? {
        Body::Started(started) => Ok(RunRow {
            run_id: Bytes::copy_from_slice(run_id.as_bytes()),
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            input_fingerprint: started.fingerprint.clone(),
            started_at_ms: event.time_ms,
            cancel_requested: started
                .carried
                .as_ref()
                .is_some_and(|carried| carried.cancelled.is_some()),
            answer: started.carried.as_ref().and_then(|carried| carried.answer.clone()),
            attributes: attributes_of(started),
            parent: started.parent.clone(),
            open_children: carried_children(started),
            lineage: started.lineage.clone(),
            previous_run_id: match (&started.carried, &started.lineage) {
                (Some(carried), _) => carried.run_id.clone(),
                (None, Some(lineage)) => lineage.previous_run_id.clone(),
                (None, None) => Bytes::new(),
            },
            updated_at_ms: event.time_ms,
            next_sequence: 1,
            history_bytes: bytes as u64,
            ..RunRow::default()
        }),
        _ => Err(illegal("a history begins with Started")),
    }
}

/// Takes one more event into a row.
///
/// # Errors
/// If the event cannot follow; the row is as it was, then.
pub fn follow(row: &mut RunRow, event: &Event, bytes: usize) -> Result<(), Illegal> {
    let sequence = row.next_sequence;
    let illegal = |problem| Illegal { sequence, problem };
    let body = event.body.as_ref().ok_or(illegal(UNKNOWN_BODY))?;
    if matches!(body, Body::Started(_)) {
        return Err(illegal("a run is started once"));
    }
    if row.state().is_closed() {
        return Err(illegal("the run has ended"));
    }
    change(row, body);
    if row.state().is_closed() {
        row.closed_at_ms = event.time_ms;
    }
    row.updated_at_ms = event.time_ms;
    row.next_sequence = sequence + 1;
    row.history_bytes += bytes as u64;
    Ok(())
}

fn change(row: &mut RunRow, body: &Body) {
    match body {
        Body::Started(_) | Body::AttemptFailed(_) | Body::Progressed(_) => {}
        Body::SignalReceived(_) => {}
        Body::UpdateAccepted(_) | Body::UpdateAnswered(_) | Body::VersionMarked(_) => {}
        Body::Answered(answer) => row.answer = Some(answer.answer.clone()),
        Body::CancelRequested(_) => row.cancel_requested = true,
        Body::Stuck(stuck) => {
            row.state_before_stuck = row.state;
            row.set_state(RunState::Stuck);
            row.stuck_code.clone_from(&stuck.code);
            row.stuck_message.clone_from(&stuck.message);
        }
        Body::Resumed(_) => {
            row.state = row.state_before_stuck;
            row.stuck_code.clear();
            row.stuck_message.clear();
        }
        Body::Paused(_) => {
            row.state_before_pause = row.state;
            row.set_state(RunState::Paused);
        }
        Body::Unpaused(_) => row.state = row.state_before_pause,
        Body::Closed(closed) => {
            row.state = closed.state;
            row.result.clone_from(&closed.result);
            row.failure.clone_from(&closed.failure);
            end(row);
        }
        Body::Reset(reset) => {
            row.open_undo += reset.inherited.len() as u64;
            row.answer = row.answer.take().or_else(|| reset.answer.clone());
            row.reset_from = reset.run_id.clone();
            row.previous_run_id = reset.run_id.clone();
        }
        Body::Superseded(_) => {
            row.set_state(RunState::Continued);
            end(row);
        }
        Body::AttributesSet(set) => set_attributes(row, &set.changes),
        Body::Terminated(_) => {
            row.set_state(RunState::Terminated);
            end(row);
        }
        Body::ChildGivenUp(_) | Body::TurnEnding(_) => {}
        Body::StepScheduled(_)
        | Body::StepCompleted(_)
        | Body::StepAbandoned(_)
        | Body::StepFailed(_)
        | Body::TimerSet(_)
        | Body::TimerFired(_)
        | Body::TimerGivenUp(_) => change_step(row, body),
        Body::UndoOwed(_)
        | Body::UndoScheduled(_)
        | Body::UndoSucceeded(_)
        | Body::UndoParked(_)
        | Body::UndoRetried(_)
        | Body::UndoSkipped(_)
        | Body::CompensationBegan(_)
        | Body::LeftoversBegan(_)
        | Body::RoundEnded(_) => change_undo(row, body),
        Body::ChildScheduled(_)
        | Body::ChildStarted(_)
        | Body::ChildClosed(_)
        | Body::EndingBegan(_) => change_child(row, body),
    }
}

/// What steps and timers change.
fn change_step(row: &mut RunRow, body: &Body) {
    match body {
        Body::StepScheduled(step) => {
            row.open_steps.push(step.command);
            row.open_undo += u64::from(step.undo.is_some() && step.replaces == 0);
            row.open_undo -= u64::from(step.undo.is_none() && step.replaces > 0).min(row.open_undo);
        }
        Body::StepCompleted(step) => close_step(row, step.command),
        Body::StepAbandoned(step) => close_step(row, step.command),
        Body::StepFailed(step) => {
            close_step(row, step.command);
            row.open_undo = row.open_undo.saturating_sub(u64::from(step.discharges_undo));
        }
        Body::TimerSet(timer) => {
            row.open_timers.push(OpenTimer { command: timer.command, fire_at_ms: timer.fire_at_ms })
        }
        Body::TimerFired(timer) => close_timer(row, timer.command),
        Body::TimerGivenUp(timer) => close_timer(row, timer.command),
        _ => {}
    }
}

/// What undo changes.
fn change_undo(row: &mut RunRow, body: &Body) {
    match body {
        Body::UndoOwed(owed) => row.open_undo += u64::from(owed.replaces == 0),
        Body::RoundEnded(round) => {
            row.open_undo = row.open_undo.saturating_sub(round.let_stand);
            row.open_children.iter_mut().for_each(|child| child.has_undo = false);
        }
        Body::CompensationBegan(began) => {
            move_to(row, RunState::Compensating);
            row.failure.clone_from(&began.cause);
        }
        Body::UndoScheduled(undo) => {
            row.open_steps.push(undo.command);
            if undo.name == END_CHILD
                && let Some(child) = open_child(row, undo.undoes)
            {
                child.end_command = undo.command;
            }
        }
        Body::UndoSucceeded(undo) => {
            close_step(row, undo.command);
            settle_undo(row, &undo.name);
        }
        Body::UndoParked(parked) => {
            close_step(row, parked.command);
            move_to(row, RunState::Parked);
            row.parked_by.clone_from(&parked.failure);
            row.parked_command = parked.command;
        }
        Body::UndoRetried(undo) => {
            row.open_steps.push(undo.command);
            leave_parked(row);
        }
        Body::UndoSkipped(undo) => {
            settle_undo(row, &undo.name);
            let skipped =
                row.open_children.iter_mut().find(|child| child.end_command == undo.command);
            if let Some(child) = skipped {
                // It is left to itself.
                child.set_policy(ParentClose::Abandon);
            }
            leave_parked(row);
        }
        Body::LeftoversBegan(_) => move_to(row, RunState::Compensating),
        _ => {}
    }
}

/// What children change.
fn change_child(row: &mut RunRow, body: &Body) {
    match body {
        Body::ChildScheduled(child) => schedule_child(row, child),
        Body::ChildStarted(child) => {
            close_step(row, child.command);
            if let Some(child) = open_child(row, child.command) {
                child.is_started = true;
            }
        }
        Body::ChildClosed(child) => close_child(row, child),
        // From here on the run has its result, and only its children keep it from ending.
        Body::EndingBegan(ending) => row.result = Some(ending.result.clone()),
        _ => {}
    }
}

fn carried_children(started: &Started) -> Vec<OpenChild> {
    let carried = started.carried.iter().flat_map(|carried| &carried.children);
    (1..).zip(carried).map(|(command, child)| OpenChild { command, ..child.clone() }).collect()
}

fn schedule_child(row: &mut RunRow, child: &ChildScheduled) {
    row.open_steps.push(child.command);
    row.open_undo += u64::from(child.undo.is_some());
    row.open_children.push(OpenChild {
        command: child.command,
        workflow_id: child.workflow_id.clone(),
        workflow_type: child.workflow_type.clone(),
        policy: child.policy,
        has_undo: child.undo.is_some(),
        ..OpenChild::default()
    });
}

fn close_child(row: &mut RunRow, child: &ChildClosed) {
    close_step(row, child.command);
    row.open_undo = row.open_undo.saturating_sub(u64::from(child.discharges_undo));
    row.open_children.retain(|open| open.command != child.command);
}

fn open_child(row: &mut RunRow, command: u64) -> Option<&mut OpenChild> {
    row.open_children.iter_mut().find(|child| child.command == command)
}

/// Asking a child to end is no undo on record: it is owed as long as the child is open.
fn settle_undo(row: &mut RunRow, name: &str) {
    if name != END_CHILD {
        row.open_undo = row.open_undo.saturating_sub(1);
    }
}

/// Someone has decided about what had parked the run.
fn leave_parked(row: &mut RunRow) {
    let has_returned = row.result.is_some();
    move_to(row, if has_returned { RunState::Running } else { RunState::Compensating });
    row.parked_by = None;
    row.parked_command = 0;
}

/// A paused run stays paused, and goes on in its new state.
fn move_to(row: &mut RunRow, state: RunState) {
    if row.state() == RunState::Paused {
        row.set_state_before_pause(state);
    } else {
        row.set_state(state);
    }
}

fn attributes_of(started: &Started) -> Vec<Attribute> {
    let carried = started.carried.iter().flat_map(|carried| &carried.attributes);
    let mut attributes = Attributes::new();
    let all: Vec<Attribute> = started.attributes.iter().chain(carried).cloned().collect();
    attribute::change(&mut attributes, &all);
    attribute::recorded(&attributes)
}

fn set_attributes(row: &mut RunRow, changes: &[Attribute]) {
    let mut attributes = Attributes::new();
    attribute::change(&mut attributes, &row.attributes);
    attribute::change(&mut attributes, changes);
    row.attributes = attribute::recorded(&attributes);
}

fn close_step(row: &mut RunRow, command: u64) {
    row.open_steps.retain(|open| *open != command);
}

fn close_timer(row: &mut RunRow, command: u64) {
    row.open_timers.retain(|open| open.command != command);
}

fn end(row: &mut RunRow) {
    row.open_steps.clear();
    row.open_timers.clear();
    row.open_children.clear();
}
