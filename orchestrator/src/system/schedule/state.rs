//! Where a schedule stands: what one turn of its run hands to the next, and what it shows of itself.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::overlap::{Pending, Source, Stop};
use super::steps::Ended;
use crate::engine::Failure;
use crate::engine::cx::View;

/// Runs that are shown of those that have ended or were not started.
pub const MAX_RECENT: usize = 10;
/// Runs whose end a schedule looks after. Beyond it (which takes runs side by side) the oldest are left to themselves.
pub const MAX_RUNNING: usize = 100;
/// Changes whose request ids are remembered.
pub const MAX_ANSWERED: usize = 100;

/// What a run of `souk.schedule` is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The schedule's id.
    pub schedule_id: String,
    /// The id of the request that made it.
    pub request_id: String,
    /// What it is told.
    pub definition: Definition,
    /// Whether, and why, it begins paused.
    #[serde(default)]
    pub paused: Option<String>,
    /// Where the turn before has left it.
    #[serde(default)]
    pub state: Option<State>,
}

/// Where a schedule stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Counts the changes to the definition, from 1.
    pub version: u64,
    /// When it was made, in unix milliseconds.
    pub created_at_ms: i64,
    /// When somebody last changed it, in unix milliseconds.
    pub changed_at_ms: i64,
    /// Why it is paused; `None` if it is not.
    #[serde(default)]
    pub paused: Option<String>,
    /// The nominal time up to which everything was dealt with, in unix milliseconds.
    pub cursor_ms: i64,
    /// Firings that wait for a run to end, or for the pause to end.
    #[serde(default)]
    pub waiting: Vec<Pending>,
    /// Firings that are about to be started.
    #[serde(default)]
    pub ready: VecDeque<Pending>,
    /// Runs that are not known to have ended.
    #[serde(default)]
    pub running: Vec<Running>,
    /// The last firings that are over, the oldest first.
    #[serde(default)]
    pub recent: VecDeque<Fired>,
    /// What has become of all firings.
    #[serde(default)]
    pub counts: Counts,
    /// The last changes, for those who ask again.
    #[serde(default)]
    pub answered: VecDeque<Remembered>,
}

/// A run that was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its workflow id.
    pub workflow_id: String,
    /// The firing.
    pub firing: Pending,
    /// When it was started, in unix milliseconds.
    pub started_at_ms: i64,
    /// How it is being made to end.
    #[serde(default)]
    pub stop: Option<Stop>,
}

/// A firing that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// The workflow id of its run.
    pub workflow_id: String,
    /// The firing.
    pub firing: Pending,
    /// When it was started, in unix milliseconds.
    pub started_at_ms: i64,
    /// How it ended.
    pub end: Ended,
}

/// What has become of all firings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Runs were started for.
    pub started: u64,
    /// Were skipped because a run had not ended.
    pub skipped: u64,
    /// Were due longer ago than the catch-up window allows.
    pub missed: u64,
    /// Could not be started.
    pub failed: u64,
    /// Were asked for by a backfill, and had run before.
    pub ran_before: u64,
    /// Were asked for by a trigger.
    pub triggered: u64,
}

/// A change that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The request's id.
    pub request_id: String,
    /// What tells it from others under the same id.
    pub fingerprint: u64,
    /// What was answered.
    pub answer: Result<Answer, Failure>,
}

/// What a change is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of the definition afterwards.
    pub version: u64,
    /// The run that a trigger has started; empty otherwise.
    #[serde(default)]
    pub workflow_id: String,
    /// How many firings were started, or are about to be.
    #[serde(default)]
    pub started: u64,
    /// How many wait for a run to end.
    #[serde(default)]
    pub waiting: u64,
    /// How many were skipped.
    #[serde(default)]
    pub skipped: u64,
}

/// What a schedule shows of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The schedule's id.
    pub schedule_id: String,
    /// What it is told, as of now.
    pub definition: Definition,
    /// Where it stands.
    pub state: State,
}

impl View for Shown {
    const NAME: &'static str = "schedule";
}

impl State {
    /// A schedule that begins now: it looks at no time before.
    pub fn new(now_ms: i64, paused: Option<String>) -> State {
        State {
            version: 1,
            created_at_ms: now_ms,
            changed_at_ms: now_ms,
            cursor_ms: now_ms,
            paused,
            ..State::default()
        }
    }

    /// Takes up a run that was started.
    pub(super) fn begin(&mut self, running: Running) {
        self.counts.started += 1;
        if self.running.len() >= MAX_RUNNING {
            self.running.remove(0);
        }
        self.running.push(running);
    }

    /// Takes the end of a run in; returns it if it was not known to have ended.
    pub(super) fn end(&mut self, workflow_id: &str, end: Ended) -> Option<Fired> {
        let place = self.running.iter().position(|run| run.workflow_id == workflow_id)?;
        let Running { workflow_id, firing, started_at_ms, .. } = self.running.remove(place);
        let fired = Fired { workflow_id, firing, started_at_ms, end };
        self.note(fired.clone());
        Some(fired)
    }

    /// Keeps a firing that is over among the last.
    pub(super) fn note(&mut self, fired: Fired) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(fired);
    }

    /// Keeps the answer to a change.
    pub(super) fn remember(&mut self, remembered: Remembered) {
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(remembered);
    }
}

/// The workflow id of a firing's run: each firing has one, and no two have the same.
pub fn run_id_of(prefix: &str, firing: &Pending) -> String {
    let time = jiff::Timestamp::from_millisecond(firing.nominal_ms)
        .map_or_else(|_| firing.nominal_ms.to_string(), |time| time.to_string());
    match firing.source {
        Source::Schedule | Source::Backfill { .. } => format!("{prefix}/{time}"),
        Source::Trigger { number } => format!("{prefix}/{time}/trigger-{number}"),
    }
}
