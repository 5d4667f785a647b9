//! What a history says of steps and their undo.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::event::{Body, Event};

/// The steps of a run, each once, in the order in which they were first scheduled.
pub fn steps(history: &[Event]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let scheduled = history.iter().filter_map(|event| match &event.body {
        Some(Body::StepScheduled(step)) => Some(step.name.clone()),
        _ => None,
    });
    scheduled.filter(|name| seen.insert(name.clone())).collect()
}

/// The undos that worked, in order.
pub fn undone(history: &[Event]) -> Vec<String> {
    let undone = history.iter().filter_map(|event| match &event.body {
        Some(Body::UndoSucceeded(undo)) => Some(undo.name.clone()),
        _ => None,
    });
    undone.collect()
}

/// The undos that must run when a run fails, in order: all that were put on record and not discharged, the last first.
pub fn owed(history: &[Event]) -> Vec<String> {
    let mut ledger = BTreeMap::new();
    for event in history {
        match &event.body {
            Some(Body::UndoOwed(owed)) => {
                let name = owed.undo.as_ref().map(|undo| undo.name.clone());
                ledger.insert(owed.command, name.unwrap_or_default());
            }
            Some(Body::StepScheduled(step)) => {
                if let Some(undo) = &step.undo {
                    ledger.insert(step.command, undo.name.clone());
                }
            }
            Some(Body::StepFailed(step)) if step.discharges_undo => {
                ledger.remove(&step.command);
            }
            _ => {}
        }
    }
    ledger.into_values().rev().collect()
}
