//! What the engine answers when it cannot do what it is asked, and the codes of runs that are stuck.

use std::fmt;

use super::attribute;
use super::failure::Failure;
use super::ownership::Owner;
use super::partition::Partition;
use super::row::RunState;
use super::{log, membership, tables};

/// Why a request to the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No workflow of this type is registered.
    #[error("no workflow type {0:?} is known here")]
    UnknownType(String),
    /// The input does not fit the workflow, the signal or the update.
    #[error("the input does not fit {what}: {problem}")]
    InvalidInput {
        /// What it was meant for.
        what: String,
        /// Why it does not fit.
        problem: String,
    },
    /// A search attribute cannot be.
    #[error(transparent)]
    InvalidAttribute(#[from] attribute::Invalid),
    /// The workflow id is taken by a run of another type or with another input.
    #[error("workflow id {workflow_id:?} belongs to a run with another type or input")]
    Conflict {
        /// The id.
        workflow_id: String,
    },
    /// No run has this id.
    #[error("no run is known under {0:?}")]
    NotFound(String),
    /// The run has ended.
    #[error("the run {workflow_id:?} has ended ({state:?})")]
    Closed {
        /// The run's workflow id.
        workflow_id: String,
        /// How it ended.
        state: RunState,
    },
    /// A validator has refused the update; nothing was recorded.
    #[error("the update was refused: {0}")]
    UpdateRefused(Failure),
    /// The run does not take updates of this name now.
    #[error("the run takes no update {0:?} now")]
    NotAccepting(String),
    /// The run shows nothing under this name.
    #[error("the run has published no view {0:?}")]
    NotPublished(String),
    /// Terminating would leave work behind that nobody undoes.
    #[error("{open_undo} undo entries are open; cancel the run, or abandon them explicitly")]
    OpenUndo {
        /// How many.
        open_undo: u64,
    },
    /// There is no parked compensation to retry or skip.
    #[error("the run {0:?} is not parked")]
    NotParked(String),
    /// The run is paused: resume it first.
    #[error("the run {0:?} is paused; resume it first")]
    Paused(String),
    /// The run is stuck, so that what was asked cannot be done.
    #[error("the run is stuck with {code}: {message}")]
    Stuck {
        /// See [`StuckCode`].
        code: String,
        /// What was found.
        message: String,
    },
    /// The run cannot be reset to this event.
    #[error("the run cannot be reset to event {}: {problem}", sequence + 1)]
    CannotReset {
        /// The event, from 0.
        sequence: u64,
        /// Why, and what can be done.
        problem: String,
    },
    /// Nothing in the run's history is what a reset was to go back to: why.
    #[error("the run cannot be reset: {0}")]
    NoResetPoint(String),
    /// A bound of the engine is exceeded.
    #[error("{what}: {actual}, at most {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The node has more work than it may take on; try again.
    #[error("the node is overloaded: {0}")]
    Overloaded(&'static str),
    /// This node no longer owns its log. Nothing that was acknowledged is lost; what was not may be unknown.
    #[error("SOUK-0010: this node has lost its log to another one, or cannot write to it")]
    Fenced,
    /// Another node serves the runs of this partition, or none does for a moment while it moves. Nothing was done.
    #[error("this node does not serve partition {}", partition.number())]
    NotOwner {
        /// The partition of the workflow id.
        partition: Partition,
        /// Who serves it, as far as this node knows.
        owner: Option<Owner>,
    },
    /// Another node, which serves the run, does not answer. What was asked of it may have been done.
    #[error("the node that serves the run does not answer: {0}")]
    PeerUnreachable(String),
    /// The record of the nodes cannot be read or changed.
    #[error(transparent)]
    Membership(#[from] membership::Error),
    /// The engine is being shut down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The tables cannot be read or written.
    #[error(transparent)]
    Tables(#[from] tables::Error),
    /// What was read from the log or the tables is not what was written.
    #[error("SOUK-0009: {place} is damaged: {what}")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong.
        what: String,
    },
}

impl Error {
    pub(crate) fn stuck(misfit: &Misfit) -> Error {
        Error::Stuck { code: misfit.code.code().to_owned(), message: misfit.message.clone() }
    }
}

/// Why a run is stuck. Each code has its page in docs/errors/.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StuckCode {
    /// The workflow's code decides otherwise than the history says.
    Nondeterminism,
    /// The workflow's code panicked.
    Panicked,
    /// The workflow waits for something that does not come from `cx`.
    ForeignWait,
    /// A recorded value does not fit its type any more.
    ValueMismatch,
    /// A step says that an earlier undo undoes it, but none is on record.
    UndoMissing,
    /// No workflow of the run's type is registered in this build.
    TypeMissing,
    /// The run follows a version of a change that this build does not support.
    VersionUnsupported,
    /// The workflow does not come to rest, or decides more than its bounds allow.
    BoundExceeded,
}

impl StuckCode {
    /// All of them.
    pub const ALL: [StuckCode; 8] = [
        StuckCode::Nondeterminism,
        StuckCode::Panicked,
        StuckCode::ForeignWait,
        StuckCode::ValueMismatch,
        StuckCode::UndoMissing,
        StuckCode::TypeMissing,
        StuckCode::VersionUnsupported,
        StuckCode::BoundExceeded,
    ];

    /// The code, as it is shown and recorded.
    pub fn code(self) -> &'static str {
        match self {
            StuckCode::Nondeterminism => "SOUK-0001",
            StuckCode::Panicked => "SOUK-0002",
            StuckCode::ForeignWait => "SOUK-0003",
            StuckCode::ValueMismatch => "SOUK-0004",
            StuckCode::UndoMissing => "SOUK-0005",
            StuckCode::TypeMissing => "SOUK-0006",
            StuckCode::VersionUnsupported => "SOUK-0007",
            StuckCode::BoundExceeded => "SOUK-0008",
        }
    }
}

impl fmt::Display for StuckCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// Codes of this crate that are not of runs but of nodes; they have pages too.
pub const NODE_CODES: [&str; 2] = ["SOUK-0009", "SOUK-0010"];

/// A run's misfit as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What kind.
    pub code: StuckCode,
    /// What was found.
    pub message: String,
}

impl Misfit {
    pub(crate) fn new(code: StuckCode, message: impl Into<String>) -> Misfit {
        Misfit { code, message: message.into() }
    }
}
