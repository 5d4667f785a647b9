//! How much of a run is in memory.

use super::Engine;
use crate::engine::directory::Found;

/// What a run that is in memory holds there, in things (not bytes). What is behind a run leaves nothing but the ids of its
/// messages: a run of any length holds no more than one that has just begun, for the same work under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Steps, compensations and timers without an outcome, and outcomes that nobody has taken.
    pub commands: usize,
    /// Undo that would be run if the run failed now.
    pub open_undo: usize,
    /// Signals and updates that nobody has taken.
    pub unread: usize,
    /// Ids of signals and updates, by which repetitions are recognised.
    pub message_ids: usize,
    /// Names: of steps that were scheduled, of changes whose version is known, of views.
    pub names: usize,
    /// Events that are not in the tables yet.
    pub undrained_events: usize,
}

impl Engine {
    /// What the newest run under a workflow id holds in memory; `None` if it is not in memory.
    pub fn footprint(&self, workflow_id: &str) -> Option<Footprint> {
        let Ok(Found::Here(held)) = self.core.directory.find(workflow_id) else { return None };
        let footprint = held.run.lock().as_ref()?.footprint();
        Some(Footprint { undrained_events: held.tail.lock().len(), ..footprint })
    }
}
