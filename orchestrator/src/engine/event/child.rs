//! What events and rows say of child workflows.

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::Undo;
use crate::engine::ids::RunId;
use crate::engine::row::{FailureRecord, RunState};

/// The step, and the undo, by which a run asks a child to end.
pub const END_CHILD: &str = "souk.end_child";
/// The step by which a run signals a child.
pub const SIGNAL_CHILD: &str = "souk.signal_child";

/// What becomes of a child that is open when its parent ends or gives it up. In the record: never renumber.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    prost::Enumeration,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum ParentClose {
    /// It is asked to end, and undoes what it did.
    Cancel = 0,
    /// It is ended by force, and so are its own children as their policies say. What it did stays done.
    Terminate = 1,
    /// It goes on by itself.
    Abandon = 2,
}

/// Which command of which run has started a child.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Parent {
    /// The parent's workflow id.
    #[prost(string, tag = "1")]
    pub workflow_id: String,
    /// The turn of the parent that has started the child: sixteen bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub run_id: Bytes,
    /// The command of that turn.
    #[prost(uint64, tag = "3")]
    pub command: u64,
    /// How deep the child is: 1 for the child of a run that is nobody's child.
    #[prost(uint32, tag = "4")]
    pub depth: u32,
}

impl Parent {
    /// Whether both name the same command of the same run.
    pub fn is_same(&self, other: &Parent) -> bool {
        (&self.workflow_id, &self.run_id, self.command)
            == (&other.workflow_id, &other.run_id, other.command)
    }
}

/// A child that has not ended, in the row of its parent and in what a turn leaves to the next.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OpenChild {
    /// The command under which the parent knows it; 0 between two turns.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// Its workflow id.
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// Its type.
    #[prost(string, tag = "3")]
    pub workflow_type: String,
    /// What becomes of it when the parent ends.
    #[prost(enumeration = "ParentClose", tag = "4")]
    pub policy: i32,
    /// Whether it is known to have been started.
    #[prost(bool, tag = "5")]
    pub is_started: bool,
    /// Whether a compensation for it is on record.
    #[prost(bool, tag = "6")]
    pub has_undo: bool,
    /// The earlier turn of the parent that has started it: sixteen bytes. Empty: this one.
    #[prost(bytes = "bytes", tag = "7")]
    pub origin_run_id: Bytes,
    /// The command of that turn.
    #[prost(uint64, tag = "8")]
    pub origin_command: u64,
    /// The command of the undo that asks it to end; 0 before.
    #[prost(uint64, tag = "9")]
    pub end_command: u64,
}

impl OpenChild {
    /// Whether it is the child that has this parent, in the row of the run `run_id`.
    pub fn is_of(&self, parent: &Parent, run_id: RunId) -> bool {
        self.origin_command() == parent.command && self.origin_run_id(run_id) == parent.run_id
    }

    /// The turn of the parent that has started it, in the row of the run `run_id`.
    pub fn origin_run_id(&self, run_id: RunId) -> Bytes {
        match self.origin_run_id.is_empty() {
            true => Bytes::copy_from_slice(run_id.as_bytes()),
            false => self.origin_run_id.clone(),
        }
    }

    /// The command of that turn.
    pub fn origin_command(&self) -> u64 {
        if self.origin_run_id.is_empty() { self.command } else { self.origin_command }
    }

    /// Whether it is asked to end before its parent ends.
    pub fn ends_with_parent(&self) -> bool {
        self.policy() != ParentClose::Abandon
    }
}

/// See [`super::Body::ChildScheduled`].
#[derive(Clone, PartialEq, Message)]
pub struct ChildScheduled {
    /// The number of this command.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The child's workflow id.
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// Its type.
    #[prost(string, tag = "3")]
    pub workflow_type: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "4")]
    pub input: Bytes,
    /// What becomes of it when the parent ends.
    #[prost(enumeration = "ParentClose", tag = "5")]
    pub policy: i32,
    /// How it is undone once it has completed, if it has an undo of its own.
    #[prost(message, optional, tag = "6")]
    pub undo: Option<Undo>,
}

/// See [`super::Body::ChildStarted`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChildStarted {
    /// The command that has started it.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The child's run, or its first turn: sixteen bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub run_id: Bytes,
}

/// See [`super::Body::ChildClosed`].
#[derive(Clone, PartialEq, Message)]
pub struct ChildClosed {
    /// The command under which the parent knows it.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The child's workflow id.
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// How it ended.
    #[prost(enumeration = "RunState", tag = "3")]
    pub state: i32,
    /// JSON, if it completed.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub result: Option<Bytes>,
    /// Why, if it did not.
    #[prost(message, optional, tag = "5")]
    pub failure: Option<FailureRecord>,
    /// Nothing of it is left to undo, and the compensation that was on record for it is discharged.
    #[prost(bool, tag = "6")]
    pub discharges_undo: bool,
    /// It was never started: the start was refused.
    #[prost(bool, tag = "7")]
    pub is_refused: bool,
}

/// See [`super::Body::EndingBegan`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndingBegan {
    /// What the workflow has returned: JSON.
    #[prost(bytes = "bytes", tag = "1")]
    pub result: Bytes,
}

/// See [`super::Body::TurnEnding`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TurnEnding {
    /// Of a workflow in rounds: how many rounds the turn had. Replay ends the turn behind as many.
    #[prost(uint64, tag = "1")]
    pub rounds: u64,
}
