//! What a run that was reset has of the part that was dropped: steps that may have been done, and undo that is open.
//!
//! A step that is done again keeps its occurrence, so that its participant recognises it, and its undo takes the place of
//! the inherited one. What is not done again is left over.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::engine::event::{DroppedStep, Inherited, Reset};
use crate::engine::step::PlannedUndo;

/// How much of a step's input is compared.
const FINGERPRINT_BYTES: usize = 16;

/// A step by its name and occurrence.
type StepKey = (String, u32);

/// An inherited undo whose place another takes.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub command: u64,
    /// The name of the undo.
    pub undo: &'static str,
    pub undo_occurrence: u32,
}

/// An inherited undo that is open.
struct Open {
    step: String,
    occurrence: u32,
    undo: &'static str,
    undo_occurrence: u32,
    is_begun: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Inheritance {
    is_reset: bool,
    /// Steps that nobody has done again yet.
    dropped: BTreeMap<StepKey, DroppedStep>,
    /// By its command in the ledger.
    open: BTreeMap<u64, Open>,
    /// Compensations that were begun in a dropped part.
    undone: Vec<String>,
}

/// What tells whether a step is the same as one before.
pub(crate) fn fingerprint(input: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(input)[..FINGERPRINT_BYTES])
}

impl Inheritance {
    /// Whether the run was ever reset.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Takes in the steps of a dropped part. A later reset knows better than an earlier one.
    pub fn drop_steps(&mut self, reset: &Reset) {
        self.is_reset = true;
        for step in &reset.dropped {
            self.dropped.insert((step.name.clone(), step.occurrence), step.clone());
        }
        self.undone.extend(reset.undone.iter().cloned());
    }

    /// Takes in an undo of a dropped part. `undo` is the name under which it is in the ledger.
    pub fn open(&mut self, inherited: &Inherited, undo: &'static str, undo_occurrence: u32) {
        let Inherited { command, step, occurrence, is_begun, .. } = inherited.clone();
        self.open.insert(command, Open { step, occurrence, undo, undo_occurrence, is_begun });
    }

    /// The occurrence under which a step was done before, if this is the same step. It is taken once.
    pub fn take_step(&mut self, name: &str, input: &[u8], plan: &PlannedUndo) -> Option<u32> {
        if self.dropped.is_empty() {
            return None;
        }
        let input = fingerprint(input);
        let mut of_name = self.dropped.range((name.to_owned(), 0)..=(name.to_owned(), u32::MAX));
        let found = of_name.find(|(_, step)| {
            !step.is_spent
                && match plan {
                    // What nothing undoes stands, and is not done a second time.
                    PlannedUndo::Nothing => true,
                    PlannedUndo::Earlier(undo) => {
                        step.input == input && !self.undone.iter().any(|name| name == undo)
                    }
                    PlannedUndo::Own { .. } => step.input == input,
                }
        });
        let key = found.map(|(key, _)| key.clone())?;
        self.dropped.remove(&key);
        Some(key.1)
    }

    /// The inherited undo of a step that is done again.
    pub fn take_undo(&mut self, name: &str, occurrence: u32) -> Option<Taken> {
        self.take(|open| open.step == name && open.occurrence == occurrence)
    }

    /// The inherited undo of this name that was owed without a step.
    pub fn take_owed(&mut self, undo: &str) -> Option<Taken> {
        self.take(|open| open.step.is_empty() && open.undo == undo)
    }

    fn take(&mut self, is_it: impl Fn(&Open) -> bool) -> Option<Taken> {
        let found = self.open.iter().find(|(_, open)| !open.is_begun && is_it(open));
        let (command, open) = found?;
        let taken =
            Taken { command: *command, undo: open.undo, undo_occurrence: open.undo_occurrence };
        self.open.remove(&taken.command);
        Some(taken)
    }

    /// The last undo of a step that was not done again. What is owed without a step stands when the workflow succeeds.
    pub fn last_leftover(&self) -> Option<u64> {
        let mut steps = self.open.iter().rev().filter(|(_, open)| !open.step.is_empty());
        steps.next().map(|(command, _)| *command)
    }

    /// Whether the undo of this command is inherited, and its step was not done again.
    pub fn has(&self, command: u64) -> bool {
        self.open.contains_key(&command)
    }

    /// The undo of this command is done with.
    pub fn settle(&mut self, command: u64) {
        self.open.remove(&command);
    }
}
