//! The rows of the keyed tables: what is known of a run without replaying it.
//!
//! Rows are protobuf messages, so that a build can read what an older one wrote. They are derived from events alone
//! (see `projection`), never written by hand.

use bytes::Bytes;

use super::attribute::Attribute;
use super::event::{OpenChild, Parent};
use super::ids::{LogId, RunId, Slot};
use super::lineage::Lineage;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RunState {
    /// The workflow's function has not ended.
    Running = 0,
    /// It failed, and what it did is being undone, the last first.
    Compensating = 1,
    /// A compensation has exhausted its retries; someone must decide (RetryStep, SkipStep).
    Parked = 2,
    /// The workflow's code does not fit the run's history; a build that fits resumes it.
    Stuck = 3,
    /// Ended with a result.
    Completed = 4,
    /// Ended with a failure; everything on record was undone or skipped.
    Failed = 5,
    /// Ended because it was cancelled; everything on record was undone or skipped.
    Cancelled = 6,
    /// Ended by force; what it had done stays as it was.
    Terminated = 7,
    /// Open, and nothing new begins until someone resumes it.
    Paused = 8,
    /// This turn of the run ended, and the next one goes on under the same workflow id.
    Continued = 9,
}

impl RunState {
    /// All of them.
    pub const ALL: [RunState; 10] = [
        RunState::Running,
        RunState::Compensating,
        RunState::Parked,
        RunState::Stuck,
        RunState::Completed,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Terminated,
        RunState::Paused,
        RunState::Continued,
    ];

    /// Its name in lower case, for metrics and people.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Compensating => "compensating",
            RunState::Parked => "parked",
            RunState::Stuck => "stuck",
            RunState::Completed => "completed",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Terminated => "terminated",
            RunState::Paused => "paused",
            RunState::Continued => "continued",
        }
    }

    /// Whether nothing more can happen to the run.
    pub fn is_closed(self) -> bool {
        matches!(
            self,
            RunState::Completed
                | RunState::Failed
                | RunState::Cancelled
                | RunState::Terminated
                | RunState::Continued
        )
    }
}

/// A timer that is open, in the row of its run.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct OpenTimer {
    /// The command that set it.
    #[prost(uint64, tag = "1")]
    pub command: u64,
    /// When it is due, in unix milliseconds.
    #[prost(int64, tag = "2")]
    pub fire_at_ms: i64,
}

/// Why a run, or a step of it, failed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FailureRecord {
    /// Stable, UPPER_SNAKE.
    #[prost(string, tag = "1")]
    pub code: String,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The step or compensation that failed, if one did.
    #[prost(string, tag = "3")]
    pub step: String,
}

/// What the tables know of a run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunRow {
    /// Sixteen bytes; see [`RunRow::id`].
    #[prost(bytes = "bytes", tag = "1")]
    pub run_id: Bytes,
    /// The caller's name for the run.
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// The type under which its function is registered.
    #[prost(string, tag = "3")]
    pub workflow_type: String,
    /// See [`RunState`].
    #[prost(enumeration = "RunState", tag = "4")]
    pub state: i32,
    /// SHA-256 of the input.
    #[prost(bytes = "bytes", tag = "5")]
    pub input_fingerprint: Bytes,
    /// Unix milliseconds.
    #[prost(int64, tag = "6")]
    pub started_at_ms: i64,
    /// The time of the newest event, in unix milliseconds.
    #[prost(int64, tag = "7")]
    pub updated_at_ms: i64,
    /// Unix milliseconds; 0 while the run is open.
    #[prost(int64, tag = "8")]
    pub closed_at_ms: i64,
    /// How many events the run has: the sequence number of its next event.
    #[prost(uint64, tag = "9")]
    pub next_sequence: u64,
    /// How many bytes its events have, uncompressed.
    #[prost(uint64, tag = "10")]
    pub history_bytes: u64,
    /// The commands of steps and compensations that have no outcome yet.
    #[prost(uint64, repeated, tag = "11")]
    pub open_steps: Vec<u64>,
    /// The timers that have neither fired nor been given up.
    #[prost(message, repeated, tag = "12")]
    pub open_timers: Vec<OpenTimer>,
    /// How many undo entries have been recorded and neither run, discharged nor skipped.
    #[prost(uint64, tag = "13")]
    pub open_undo: u64,
    /// The answer given to those who started it, as JSON.
    #[prost(bytes = "bytes", optional, tag = "14")]
    pub answer: Option<Bytes>,
    /// What a completed run returned, as JSON.
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub result: Option<Bytes>,
    /// Why the run failed or is being undone.
    #[prost(message, optional, tag = "16")]
    pub failure: Option<FailureRecord>,
    /// Whether a cancellation was requested.
    #[prost(bool, tag = "17")]
    pub cancel_requested: bool,
    /// Why the run is parked: what its compensation failed with, the last time.
    #[prost(message, optional, tag = "18")]
    pub parked_by: Option<FailureRecord>,
    /// The code under which the run is stuck; empty if it is not.
    #[prost(string, tag = "19")]
    pub stuck_code: String,
    /// What was found when it became stuck.
    #[prost(string, tag = "20")]
    pub stuck_message: String,
    /// Where the run stood when it became stuck.
    #[prost(enumeration = "RunState", tag = "21")]
    pub state_before_stuck: i32,
    /// Where a paused run goes on.
    #[prost(enumeration = "RunState", tag = "22")]
    pub state_before_pause: i32,
    /// What the run is found by, in the order of the names.
    #[prost(message, repeated, tag = "28")]
    pub attributes: Vec<Attribute>,
    /// Whose child the run is, if it is one.
    #[prost(message, optional, tag = "23")]
    pub parent: Option<Parent>,
    /// Its own children that have not ended.
    #[prost(message, repeated, tag = "24")]
    pub open_children: Vec<OpenChild>,
    /// The run in whose place this one goes on, if that was reset: sixteen bytes.
    #[prost(bytes = "bytes", tag = "31")]
    pub reset_from: Bytes,
    /// The command of the compensation at which the run is parked; 0 if it is not.
    #[prost(uint64, tag = "29")]
    pub parked_command: u64,
    /// Which of the runs under the workflow id it is.
    #[prost(message, optional, tag = "25")]
    pub lineage: Option<Lineage>,
    /// The run before it under the workflow id, a turn or a generation: sixteen bytes; empty if there was none.
    #[prost(bytes = "bytes", tag = "26")]
    pub previous_run_id: Bytes,
}

impl RunRow {
    /// The run's id.
    pub fn id(&self) -> RunId {
        RunId::from_slice(&self.run_id).unwrap_or(RunId(uuid::Uuid::nil()))
    }

    /// The run before it under the workflow id, if there was one. Retention may have deleted it.
    pub fn previous(&self) -> Option<RunId> {
        RunId::from_slice(&self.previous_run_id)
    }

    /// Undo entries that are open, and children that end with the run.
    pub fn owed(&self) -> u64 {
        let children = self.open_children.iter().filter(|child| child.ends_with_parent());
        self.open_undo + children.count() as u64
    }

    /// Whether a start must look after the run: it must be loaded, or has children that may have ended unheard.
    pub fn is_active(&self) -> bool {
        self.must_be_loaded() || (!self.state().is_closed() && !self.open_children.is_empty())
    }

    /// Whether the run must be in memory to go on: it has a step under way, or waits for a build that fits it. A run
    /// that waits for signals, timers or children only needs nothing but disk.
    pub fn must_be_loaded(&self) -> bool {
        !self.state().is_closed()
            && (!self.open_steps.is_empty() || self.state() == RunState::Stuck)
    }
}

/// Consecutive events of one run, never changed once written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistoryChunk {
    /// The sequence number of the first event.
    #[prost(uint64, tag = "1")]
    pub first_sequence: u64,
    /// How many events there are.
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// How `bytes` are packed: 0 = length-delimited events, 1 = the same within an LZ4 block with its size in front.
    #[prost(uint32, tag = "3")]
    pub packing: u32,
    /// The events.
    #[prost(bytes = "bytes", tag = "4")]
    pub bytes: Bytes,
}

/// A timer of a run, as found by its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRow {
    /// When it is due, in unix milliseconds.
    pub fire_at_ms: i64,
    /// Whose it is.
    pub run_id: RunId,
    /// The command that set it.
    pub command: u64,
}

/// How far the log has been drained: every event before this place is in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The log that is being drained.
    pub log: LogId,
    /// Its first slot that is not in the tables yet.
    pub slot: Slot,
}
