//! The undo ledger of a run: what is to be undone if it fails, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::call::UndoRunner;

/// An undo that is on record and open: to be run if the run fails.
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
}

/// The open undo of a run. What was run, discharged or skipped leaves nothing behind.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By command, which is the order in which they were recorded.
    entries: BTreeMap<u64, Entry>,
}

impl Ledger {
    pub fn record(&mut self, entry: Entry) {
        self.entries.insert(entry.command, entry);
    }

    /// Whether a compensation of this name is open.
    pub fn has_open(&self, name: &str) -> bool {
        self.entries.values().any(|entry| entry.name == name)
    }

    /// Whether the step of this command has an undo that is open.
    pub fn is_open(&self, command: u64) -> bool {
        self.entries.contains_key(&command)
    }

    /// The entry that is to be undone next: the last.
    pub fn last_open(&self) -> Option<&Entry> {
        self.entries.last_key_value().map(|(_, entry)| entry)
    }

    /// The entry of this command will not be run again.
    pub fn settle(&mut self, command: u64) {
        self.entries.remove(&command);
    }

    /// Everything that is on record stands from here on. Returns how much that was.
    pub fn clear(&mut self) -> u64 {
        let open = self.open_count();
        self.entries.clear();
        open
    }

    /// How many entries are open.
    pub fn open_count(&self) -> u64 {
        self.entries.len() as u64
    }
}
