//! The undo ledger of a run: what was put on record, in order, and what became of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::call::UndoRunner;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// To be run if the run fails.
    Open,
    /// Run, discharged or skipped.
    Settled,
}

/// An undo that is on record.
pub(crate) struct Entry {
    /// The command of the step that it undoes, or of its own recording where it is owed without a step.
    pub command: u64,
    pub name: &'static str,
    pub input: Bytes,
    pub runner: Arc<dyn UndoRunner>,
    /// Which entry of its name it is, from 1.
    pub occurrence: u32,
    /// The compensation's own effect key.
    pub effect_key: Arc<str>,
    /// The effect key of the step that it undoes, if there is one.
    pub undone_key: Option<Arc<str>>,
    pub state: EntryState,
}

/// All undo of a run.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    pub fn record(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Whether a compensation of this name is on record and open.
    pub fn has_open(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name && entry.state == EntryState::Open)
    }

    /// Whether the step of this command has an undo that is open.
    pub fn is_open(&self, command: u64) -> bool {
        self.entries.iter().any(|entry| entry.command == command && entry.state == EntryState::Open)
    }

    /// The entry that is to be undone next: the last that is open.
    pub fn last_open(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.state == EntryState::Open)
    }

    /// The entry of this command will not be run again.
    pub fn settle(&mut self, command: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.command == command) {
            entry.state = EntryState::Settled;
        }
    }

    /// How many entries are open.
    pub fn open_count(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.state == EntryState::Open).count() as u64
    }
}
