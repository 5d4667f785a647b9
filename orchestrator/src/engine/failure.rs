//! Why a workflow or a step failed, as workflows see it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::row::FailureRecord;

/// The code of a failure that comes from a cancellation.
pub const CANCELLED: &str = "CANCELLED";
/// The code of a child that was cancelled by someone else.
pub const CHILD_CANCELLED: &str = "CHILD_CANCELLED";
/// The code of a child that was ended by force.
pub const CHILD_TERMINATED: &str = "CHILD_TERMINATED";
/// The code of a child whose workflow id belongs to another run.
pub const CHILD_CONFLICT: &str = "CHILD_CONFLICT";
/// The code of a child that would be nested too deep.
pub const CHILD_TOO_DEEP: &str = "CHILD_TOO_DEEP";
/// The code of a child that cannot be started: its type is unknown, or its input does not fit.
pub const CHILD_REFUSED: &str = "CHILD_REFUSED";
/// The code of a child whose run is nowhere to be found.
pub const CHILD_LOST: &str = "CHILD_LOST";
/// The code of a signal to a child that has ended.
pub const CHILD_ENDED: &str = "CHILD_ENDED";
/// The code with which compensations are run of steps that a run has not done again since it was reset.
pub const RESET: &str = "RESET";
/// The code of a step whose attempt took longer than its policy allows.
pub const STEP_TIMED_OUT: &str = "STEP_TIMED_OUT";

/// The code of a step whose attempt gave no sign of life for longer than its policy allows.
pub const HEARTBEAT_MISSED: &str = "HEARTBEAT_MISSED";

/// A failure with a stable code. A workflow that returns one is compensated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, UPPER_SNAKE: what programs decide by.
    pub code: String,
    /// For people.
    pub message: String,
    /// The step that failed, if one did.
    pub step: Option<String>,
}

impl Failure {
    /// A failure that the workflow itself decides on.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { code: code.into(), message: message.into(), step: None }
    }

    /// The failure of everything that waits when a run is cancelled.
    pub fn cancelled(reason: &str) -> Failure {
        Failure::new(CANCELLED, reason)
    }

    /// Whether it comes from a cancellation of the run.
    pub fn is_cancelled(&self) -> bool {
        self.code == CANCELLED
    }

    pub(crate) fn of_step(mut self, step: &str) -> Failure {
        self.step = Some(step.to_owned());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(formatter, "{} in {step}: {}", self.code, self.message),
            None => write!(formatter, "{}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for Failure {}

impl From<&Failure> for FailureRecord {
    fn from(failure: &Failure) -> FailureRecord {
        FailureRecord {
            code: failure.code.clone(),
            message: failure.message.clone(),
            step: failure.step.clone().unwrap_or_default(),
        }
    }
}

impl From<&FailureRecord> for Failure {
    fn from(record: &FailureRecord) -> Failure {
        Failure {
            code: record.code.clone(),
            message: record.message.clone(),
            step: (!record.step.is_empty()).then(|| record.step.clone()),
        }
    }
}
