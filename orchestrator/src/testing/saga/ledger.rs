//! What a history says of steps and their undo.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::event::{Body, Event, Undo};
use crate::system::is_reserved;

/// The steps of a run, each once, in the order in which they were first scheduled; without those by which the engine asks
/// children to end.
pub fn steps(history: &[Event]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let scheduled = history.iter().filter_map(|event| match &event.body {
        Some(Body::StepScheduled(step)) => Some(step.name.clone()),
        _ => None,
    });
    scheduled.filter(|name| !is_reserved(name) && seen.insert(name.clone())).collect()
}

/// The undos that worked, in order; without the ends of children.
pub fn undone(history: &[Event]) -> Vec<String> {
    let undone = history.iter().filter_map(|event| match &event.body {
        Some(Body::UndoSucceeded(undo)) => Some(undo.name.clone()),
        _ => None,
    });
    undone.filter(|name| !is_reserved(name)).collect()
}

/// The undos that must run when a run fails, in order: all that were put on record and not discharged, the last first.
pub fn owed(history: &[Event]) -> Vec<String> {
    let mut ledger = BTreeMap::new();
    let mut record = |command: u64, undo: &Option<Undo>| match undo {
        Some(undo) => drop(ledger.insert(command, undo.name.clone())),
        None => drop(ledger.remove(&command)),
    };
    for event in history {
        match &event.body {
            Some(Body::UndoOwed(owed)) => record(owed.command, &owed.undo),
            Some(Body::StepScheduled(step)) => record(step.command, &step.undo),
            Some(Body::ChildScheduled(child)) => record(child.command, &child.undo),
            Some(Body::StepFailed(step)) if step.discharges_undo => record(step.command, &None),
            Some(Body::ChildClosed(child)) if child.discharges_undo => {
                record(child.command, &None);
            }
            _ => {}
        }
    }
    ledger.into_values().rev().collect()
}
