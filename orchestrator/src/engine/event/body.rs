//! What the kinds of events carry.

use bytes::Bytes;
use prost::Message;

use super::{OpenChild, Parent};
use crate::engine::attribute::Attribute;
use crate::engine::lineage::Lineage;
use crate::engine::row::{FailureRecord, RunState};

/// See [`super::Body::Started`].
#[derive(Clone, PartialEq, Message)]
pub struct Started {
    /// The caller's name for the run.
    #[prost(string, tag = "1")]
    pub workflow_id: String,
    /// The type under which its function is registered.
    #[prost(string, tag = "2")]
    pub workflow_type: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub input: Bytes,
    /// SHA-256 over type and input.
    #[prost(bytes = "bytes", tag = "4")]
    pub fingerprint: Bytes,
    /// W3C trace context of the start, or empty.
    #[prost(string, tag = "5")]
    pub traceparent: String,
    /// What the turn before has left, if there was one.
    #[prost(message, optional, boxed, tag = "6")]
    pub carried: Option<Box<Carried>>,
    /// Which of the runs under the id it is, if the starter wanted to use the id again.
    #[prost(message, optional, tag = "9")]
    pub lineage: Option<Lineage>,
    /// What the starter lets the run be found by.
    #[prost(message, repeated, tag = "11")]
    pub attributes: Vec<Attribute>,
    /// Whose child it is, if it is one.
    #[prost(message, optional, tag = "7")]
    pub parent: Option<Parent>,
    /// Of a run that goes on in the place of one that was reset: the first of them, sixteen bytes. Its id is what the
    /// workflow knows, and its chance.
    #[prost(bytes = "bytes", tag = "12")]
    pub origin: Bytes,
    /// The workflow does not begin before the [`super::Body::Reset`] that follows.
    #[prost(bool, tag = "13")]
    pub is_held: bool,
}

/// What one turn of a run leaves to the next.
#[derive(Clone, PartialEq, Message)]
pub struct Carried {
    /// The turn that continued as this one: sixteen bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub run_id: Bytes,
    /// How often each step and compensation was scheduled so far, so that effect keys stay distinct.
    #[prost(message, repeated, tag = "2")]
    pub occurrences: Vec<Occurrence>,
    /// Signals that nobody has taken.
    #[prost(message, repeated, tag = "3")]
    pub signals: Vec<MessageReceived>,
    /// The ids of the last signals, by which repetitions are recognised.
    #[prost(string, repeated, tag = "4")]
    pub signal_ids: Vec<String>,
    /// The answer that was given: JSON.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub answer: Option<Bytes>,
    /// Why the run is to end, if someone has cancelled it.
    #[prost(string, optional, tag = "6")]
    pub cancelled: Option<String>,
    /// What the run is found by.
    #[prost(message, repeated, tag = "10")]
    pub attributes: Vec<Attribute>,
    /// The last answers to updates, by whose ids repetitions are recognised.
    #[prost(message, repeated, tag = "8")]
    pub answered: Vec<UpdateAnswered>,
    /// Children that have not ended. Their commands are the first of the next turn, in this order.
    #[prost(message, repeated, tag = "7")]
    pub children: Vec<OpenChild>,
}

/// How often a name was used.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Occurrence {
    /// Of a step or compensation.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How often.
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

/// With what a run goes on that continues as new.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Continuation {
    /// The next turn: sixteen bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub run_id: Bytes,
    /// JSON.
    #[prost(bytes = "bytes", tag = "2")]
    pub input: Bytes,
    /// Of a workflow in rounds: how many rounds the turn had. Replay ends the turn behind as many, whatever bound holds then.
    #[prost(uint64, tag = "3")]
    pub rounds: u64,
}

/// See [`super::Body::StepCompleted`].
#[derive(Clone, PartialEq, Message)]
pub struct StepCompleted {
    /// The command of the step.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The step's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Which attempt it was, from 1.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// JSON.
    #[prost(bytes = "bytes", tag = "4")]
    pub output: Bytes,
}

/// See [`super::Body::AttemptFailed`].
#[derive(Clone, PartialEq, Message)]
pub struct AttemptFailed {
    /// The command of the step or compensation.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Which attempt it was, from 1.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// What went wrong.
    #[prost(message, optional, tag = "4")]
    pub failure: Option<FailureRecord>,
    /// When the next attempt begins, in unix milliseconds.
    #[prost(int64, tag = "5")]
    pub retry_at_ms: i64,
    /// How far it had come, if that was not on record: JSON.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub progress: Option<Bytes>,
}

/// See [`super::Body::StepFailed`].
#[derive(Clone, PartialEq, Message)]
pub struct StepFailed {
    /// The command of the step.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The step's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Which attempt was the last, from 1.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// What went wrong.
    #[prost(message, optional, tag = "4")]
    pub failure: Option<FailureRecord>,
    /// The step certainly did nothing, and the undo that was on record for it is discharged.
    #[prost(bool, tag = "5")]
    pub discharges_undo: bool,
}

/// See [`super::Body::TimerFired`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TimerFired {
    /// The command that set it.
    #[prost(uint64, tag = "1")]
    pub command: u64,
}

/// A signal or an update.
#[derive(Clone, PartialEq, Message)]
pub struct MessageReceived {
    /// The name of its type.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The sender's id of it: a repetition is recognised by it.
    #[prost(string, tag = "2")]
    pub id: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
}

/// See [`super::Body::CancelRequested`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CancelRequested {
    /// For people.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// See [`super::Body::UndoSucceeded`] and [`super::Body::UndoRetried`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UndoOutcome {
    /// The command of the compensation.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The compensation's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Which attempt it was, from 1; 0 where none is meant.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
}

/// See [`super::Body::UndoParked`].
#[derive(Clone, PartialEq, Message)]
pub struct UndoParked {
    /// The command of the compensation.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The compensation's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// How many attempts were made.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// What went wrong the last time.
    #[prost(message, optional, tag = "4")]
    pub failure: Option<FailureRecord>,
}

/// See [`super::Body::UndoSkipped`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UndoSkipped {
    /// The command of the compensation.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The compensation's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Why, and by whom.
    #[prost(string, tag = "3")]
    pub reason: String,
}

/// See [`super::Body::Stuck`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Stuck {
    /// A code that has a page in docs/errors/.
    #[prost(string, tag = "1")]
    pub code: String,
    /// What was found.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// See [`super::Body::Resumed`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Resumed {}

/// See [`super::Body::Progressed`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Progressed {
    /// The command of the step or compensation.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub progress: Bytes,
}

/// See [`super::Body::Paused`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Paused {
    /// Why, and by whom.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// See [`super::Body::Unpaused`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Unpaused {
    /// Why, and by whom.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// An undo as it is put on record before its step is tried.
#[derive(Clone, PartialEq, Message)]
pub struct Undo {
    /// The compensation's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "2")]
    pub input: Bytes,
    /// Which compensation of that name it is, from 1, in a run that was reset; elsewhere they are counted.
    #[prost(uint32, tag = "3")]
    pub occurrence: u32,
}

/// See [`super::Body::StepScheduled`].
#[derive(Clone, PartialEq, Message)]
pub struct StepScheduled {
    /// The number of this command.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The step's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Which step of that name it is, from 1.
    #[prost(uint32, tag = "3")]
    pub occurrence: u32,
    /// JSON.
    #[prost(bytes = "bytes", tag = "4")]
    pub input: Bytes,
    /// How it is undone, if it has an undo of its own.
    #[prost(message, optional, tag = "5")]
    pub undo: Option<Undo>,
    /// The inherited undo whose place its own takes; 0 for none.
    #[prost(uint64, tag = "6")]
    pub replaces: u64,
}

/// See [`super::Body::StepAbandoned`] and [`super::Body::TimerGivenUp`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CommandGivenUp {
    /// The command that is given up.
    #[prost(uint64, tag = "1")]
    pub command: u64,
}

/// See [`super::Body::TimerSet`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TimerSet {
    /// The number of this command.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// When it is due, in unix milliseconds.
    #[prost(int64, tag = "2")]
    pub fire_at_ms: i64,
}

/// See [`super::Body::UndoOwed`].
#[derive(Clone, PartialEq, Message)]
pub struct UndoOwed {
    /// The number of this command.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// What is owed.
    #[prost(message, optional, tag = "2")]
    pub undo: Option<Undo>,
    /// The inherited undo whose place it takes; 0 for none.
    #[prost(uint64, tag = "3")]
    pub replaces: u64,
}

/// See [`super::Body::Answered`].
#[derive(Clone, PartialEq, Message)]
pub struct Answered {
    /// JSON.
    #[prost(bytes = "bytes", tag = "1")]
    pub answer: Bytes,
}

/// See [`super::Body::VersionMarked`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VersionMarked {
    /// The name of the change.
    #[prost(string, tag = "1")]
    pub change: String,
    /// The version of it that the run follows.
    #[prost(uint32, tag = "2")]
    pub version: u32,
}

/// See [`super::Body::UpdateAnswered`].
#[derive(Clone, PartialEq, Message)]
pub struct UpdateAnswered {
    /// The sender's id of the update.
    #[prost(string, tag = "1")]
    pub id: String,
    /// JSON; absent if it was refused.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub answer: Option<Bytes>,
    /// Why it was refused.
    #[prost(message, optional, tag = "3")]
    pub failure: Option<FailureRecord>,
}

/// See [`super::Body::CompensationBegan`].
#[derive(Clone, PartialEq, Message)]
pub struct CompensationBegan {
    /// Why.
    #[prost(message, optional, tag = "1")]
    pub cause: Option<FailureRecord>,
}

/// See [`super::Body::UndoScheduled`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UndoScheduled {
    /// The number of this command.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The command whose undo it is.
    #[prost(uint64, tag = "2")]
    pub undoes: u64,
    /// The compensation's name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Which compensation of that name it is, from 1.
    #[prost(uint32, tag = "4")]
    pub occurrence: u32,
}

/// See [`super::Body::Closed`].
#[derive(Clone, PartialEq, Message)]
pub struct Closed {
    /// How it ended.
    #[prost(enumeration = "RunState", tag = "1")]
    pub state: i32,
    /// JSON, if it completed.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub result: Option<Bytes>,
    /// Why, if it did not.
    #[prost(message, optional, tag = "3")]
    pub failure: Option<FailureRecord>,
    /// With what it goes on, if it continued as new.
    #[prost(message, optional, tag = "4")]
    pub next: Option<Continuation>,
}

/// See [`super::Body::AttributesSet`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AttributesSet {
    /// What has changed; an attribute without a value is taken away.
    #[prost(message, repeated, tag = "1")]
    pub changes: Vec<Attribute>,
}

/// See [`super::Body::RoundEnded`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct RoundEnded {
    /// How many undo entries were open, and are not run any more whatever comes.
    #[prost(uint64, tag = "1")]
    pub let_stand: u64,
}

/// See [`super::Body::Terminated`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Terminated {
    /// Why, and by whom.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// How many undo entries were open, and were abandoned explicitly.
    #[prost(uint64, tag = "2")]
    pub abandoned_undo: u64,
}
