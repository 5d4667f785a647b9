//! What a schedule is told: when to start which workflow, and what to do where firings meet.
//!
//! This is the form in which schedules go on record (JSON in the histories of `souk.schedule`): fields are only added.

use serde::{Deserialize, Serialize};

use crate::engine::limits::MAX_ID_BYTES;

/// Cron expressions of one schedule.
pub const MAX_CRONS: usize = 20;
/// Intervals of one schedule.
pub const MAX_INTERVALS: usize = 20;
/// The shortest interval, in milliseconds.
pub const MIN_INTERVAL_MS: i64 = 1_000;
/// The longest interval, jitter and catch-up window, in milliseconds: ten years.
pub const MAX_SPAN_MS: i64 = 3_653 * 24 * 3_600_000;
/// The shortest catch-up window, in milliseconds: a firing is never late by its own timer's delay.
pub const MIN_CATCH_UP_MS: i64 = 10_000;
/// The catch-up window of a schedule that names none, in milliseconds: a day.
pub const DEFAULT_CATCH_UP_MS: i64 = 24 * 3_600_000;
/// Length of a schedule's id, and of the prefix of the ids of the runs that it starts, in bytes: the time that is
/// appended must fit an id of the engine.
pub const MAX_SCHEDULE_ID_BYTES: usize = 150;
/// The input that a schedule gives to its runs, in bytes: it is part of every turn's input.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;
const _: () = assert!(MAX_SCHEDULE_ID_BYTES + 64 <= MAX_ID_BYTES);

/// A schedule, as its owner gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// When it fires.
    pub spec: Spec,
    /// What it starts then.
    pub action: Action,
    /// How it deals with what is late, overlaps or fails.
    pub policies: Policies,
    /// How many more runs it may start by itself; `None` for no limit. Counted down as it does.
    #[serde(default)]
    pub remaining_actions: Option<u64>,
}

/// The times of a schedule: those of any of its cron expressions and intervals, each time once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Cron expressions.
    #[serde(default)]
    pub crons: Vec<Cron>,
    /// Intervals.
    #[serde(default)]
    pub intervals: Vec<Interval>,
    /// No time before this one, in unix milliseconds.
    #[serde(default)]
    pub start_ms: Option<i64>,
    /// No time after this one, in unix milliseconds.
    #[serde(default)]
    pub end_ms: Option<i64>,
    /// Each firing is late by a share of this that is drawn from schedule and time, in milliseconds, and never later than
    /// the next one.
    #[serde(default)]
    pub jitter_ms: i64,
}

/// A cron expression in a time zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cron {
    /// Five fields, or a nickname such as `@daily`.
    pub expression: String,
    /// A name of the IANA database; empty for UTC.
    #[serde(default)]
    pub time_zone: String,
}

/// Every so often, counted from 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// In milliseconds.
    pub every_ms: i64,
    /// By how much each time is later than a multiple of `every_ms`, in milliseconds; less than that.
    #[serde(default)]
    pub phase_ms: i64,
}

/// The run that a firing starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The type under which the workflow is registered.
    pub workflow_type: String,
    /// What the ids of the runs begin with; the firing's time follows.
    pub workflow_id_prefix: String,
    /// JSON; empty for null.
    #[serde(default)]
    pub input: String,
}

/// How a schedule deals with what is late, overlaps or fails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// What happens when it is time and the run before has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// How late a firing may be that the node, or a pause, kept from happening, in milliseconds.
    pub catch_up_ms: i64,
    /// Whether the schedule pauses itself when a run of it fails, or cannot be started.
    #[serde(default)]
    pub pause_on_failure: bool,
}

/// What happens when it is time and the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing: the firing is skipped.
    #[default]
    Skip,
    /// One firing waits for the run's end; those after it are skipped.
    BufferOne,
    /// All firings wait, and run one after another.
    BufferAll,
    /// The run is cancelled, and the newest firing follows once it has ended.
    CancelOther,
    /// The run is ended by force, and the newest firing follows. A run that owes undo is cancelled instead.
    TerminateOther,
    /// Runs run side by side.
    AllowAll,
}
