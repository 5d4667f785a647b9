//! What the events of a reset carry: see `engine::reset` for the rules.

use bytes::Bytes;
use prost::Message;

use super::{Occurrence, Undo};

/// See [`super::Body::Reset`].
#[derive(Clone, PartialEq, Message)]
pub struct Reset {
    /// The run whose history is in front of this event: sixteen bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub run_id: Bytes,
    /// How many of its events were kept.
    #[prost(uint64, tag = "2")]
    pub kept: u64,
    /// Why, and by whom.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Undo of the dropped part that is open still.
    #[prost(message, repeated, tag = "4")]
    pub inherited: Vec<Inherited>,
    /// Steps of the dropped part.
    #[prost(message, repeated, tag = "5")]
    pub dropped: Vec<DroppedStep>,
    /// How often each step and compensation was used, the dropped part included.
    #[prost(message, repeated, tag = "6")]
    pub occurrences: Vec<Occurrence>,
    /// Names of the compensations that were begun in the dropped part.
    #[prost(string, repeated, tag = "7")]
    pub undone: Vec<String>,
    /// The answer, if it was given in the dropped part: JSON.
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub answer: Option<Bytes>,
}

/// An undo of the dropped part that is open.
#[derive(Clone, PartialEq, Message)]
pub struct Inherited {
    /// The number under which it is in this run's ledger.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// The step that it undoes; empty if it is owed without one.
    #[prost(string, tag = "2")]
    pub step: String,
    /// Which step of that name it is, from 1.
    #[prost(uint32, tag = "3")]
    pub occurrence: u32,
    /// The undo, with its own occurrence.
    #[prost(message, optional, tag = "4")]
    pub undo: Option<Undo>,
    /// It was begun, so that nothing can take its place any more.
    #[prost(bool, tag = "5")]
    pub is_begun: bool,
}

/// A step of the dropped part.
#[derive(Clone, PartialEq, Message)]
pub struct DroppedStep {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Which step of that name it is, from 1.
    #[prost(uint32, tag = "2")]
    pub occurrence: u32,
    /// The first sixteen bytes of the SHA-256 of its input.
    #[prost(bytes = "bytes", tag = "3")]
    pub input: Bytes,
    /// Its participant refuses it under this occurrence from now on: it was undone, or refused.
    #[prost(bool, tag = "4")]
    pub is_spent: bool,
}

/// See [`super::Body::Superseded`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Superseded {
    /// The run that goes on in its place: sixteen bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub run_id: Bytes,
    /// Why, and by whom.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// See [`super::Body::LeftoversBegan`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeftoversBegan {
    /// What the workflow has returned, if it has: JSON.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub result: Option<Bytes>,
    /// The next turn's input, if it continues as new: JSON.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub next_input: Option<Bytes>,
}
