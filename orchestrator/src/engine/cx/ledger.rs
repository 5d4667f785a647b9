//! The undo ledger of a run: what is to be undone if it fails, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::call::UndoRunner;

/// Which of the two entries of a command is meant: those of a child, in the order in which they were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The compensation of what the command did.
    Undo,
    /// The end of a child that is open.
    EndOfChild,
}

/// An undo that is on record and open: to be run if the run fails.
pub(crate) struct Entry {
    /// The command of the step that it undoes, or of its own recording where it is owed without a step.
    pub command: u64,
    pub part: Part,
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
    entries: BTreeMap<(u64, Part), Entry>,
    /// How many of them are children.
    children: u64,
}

impl Ledger {
    pub fn record(&mut self, entry: Entry) {
        self.children += u64::from(entry.part == Part::EndOfChild);
        self.entries.insert((entry.command, entry.part), entry);
    }

    /// Whether a compensation of this name is open.
    pub fn has_open(&self, name: &str) -> bool {
        self.entries.values().any(|entry| entry.name == name)
    }

    /// Whether the step of this command has an undo that is open.
    pub fn is_open(&self, command: u64) -> bool {
        self.entries.contains_key(&(command, Part::Undo))
    }

    /// The entry that is to be undone next: the last.
    pub fn last_open(&self) -> Option<&Entry> {
        self.entries.last_key_value().map(|(_, entry)| entry)
    }

    /// The last child that is open and ends with its parent.
    pub fn last_open_child(&self) -> Option<&Entry> {
        self.entries.values().rev().find(|entry| entry.part == Part::EndOfChild)
    }

    /// The open entry of this command.
    pub fn get(&self, command: u64, part: Part) -> Option<&Entry> {
        self.entries.get(&(command, part))
    }

    /// The entry of this command will not be run again.
    pub fn settle(&mut self, command: u64, part: Part) {
        let settled = self.entries.remove(&(command, part));
        self.children -= u64::from(settled.is_some() && part == Part::EndOfChild);
    }

    /// How many children are open that end with their parent.
    pub fn open_children(&self) -> u64 {
        self.children
    }

    /// What is on record under these commands stands from here on. Returns how much that was. Children that are open still
    /// end with their parent.
    pub fn clear(&mut self, stands: impl Fn(u64) -> bool) -> u64 {
        let open = self.open_count();
        let stays = |command, part| part == Part::EndOfChild || !stands(command);
        self.entries.retain(|(command, part), _| stays(*command, *part));
        open - self.open_count()
    }

    /// How many entries are open.
    pub fn open_count(&self) -> u64 {
        self.entries.len() as u64
    }
}
