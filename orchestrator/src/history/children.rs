//! What a history says of children.

use souk_proto::workflow::v1::{HistoryEvent as WireEvent, HistoryEventKind as Kind};

use super::{Walk, failure};
use crate::engine::event::{Body, Started};

/// A child as later events name it: by its command.
pub(super) struct Child {
    workflow_id: String,
    workflow_type: String,
}

impl Walk {
    /// The children of the turn before.
    pub(super) fn carry_children(&mut self, started: &Started) {
        let carried = started.carried.iter().flat_map(|carried| &carried.children);
        for (command, child) in (1..).zip(carried) {
            let (workflow_id, workflow_type) =
                (child.workflow_id.clone(), child.workflow_type.clone());
            self.children.insert(command, Child { workflow_id, workflow_type });
        }
    }

    /// Takes in an event about a child.
    pub(super) fn observe_child(&mut self, body: &Body, wire: &mut WireEvent) -> bool {
        match body {
            Body::ChildScheduled(e) => {
                let (workflow_id, workflow_type) = (e.workflow_id.clone(), e.workflow_type.clone());
                self.children.insert(e.command, Child { workflow_id, workflow_type });
                self.record_undo(e.command, e.undo.as_ref(), Some(&e.workflow_type));
                self.name_child(e.command, wire);
                wire.payload = e.input.clone();
                wire.set_kind(Kind::ChildScheduled);
            }
            Body::ChildStarted(e) => {
                self.name_child(e.command, wire);
                wire.set_kind(Kind::ChildStarted);
            }
            Body::ChildGivenUp(e) => {
                self.name_child(e.command, wire);
                wire.set_kind(Kind::ChildGivenUp);
            }
            Body::ChildClosed(e) => {
                if e.discharges_undo {
                    self.open_undo.remove(&e.command);
                }
                self.name_child(e.command, wire);
                wire.payload = e.result.clone().unwrap_or_default();
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(Kind::ChildClosed);
            }
            Body::EndingBegan(e) => {
                self.is_ending = true;
                wire.payload = e.result.clone();
                wire.set_kind(Kind::EndingStarted);
            }
            Body::TurnEnding(_) => wire.set_kind(Kind::EndingStarted),
            _ => return false,
        }
        true
    }

    /// A child's workflow id is its effect key, too: its start is repeated under it.
    fn name_child(&self, command: u64, wire: &mut WireEvent) {
        let Some(child) = self.children.get(&command) else { return };
        wire.name.clone_from(&child.workflow_type);
        wire.child_workflow_id.clone_from(&child.workflow_id);
        wire.effect_key.clone_from(&child.workflow_id);
    }
}
