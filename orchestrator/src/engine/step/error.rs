//! How an attempt of a step fails.

use std::time::Duration;

use crate::engine::failure::{Failure, HEARTBEAT_MISSED, STEP_TIMED_OUT};

/// What the failure of an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepErrorKind {
    /// May work the next time. Whether this attempt had an effect is unknown.
    Retryable,
    /// Will not work. Whether any attempt had an effect is unknown, so the step's undo stays on record.
    Permanent,
    /// Will not work, and certainly no attempt under this effect key ever had or will have an effect: the participant
    /// would have repeated an earlier success, and remembers its refusal for attempts that are still on their way. The
    /// step's undo is discharged. Where a participant does not promise that, say [`StepErrorKind::Permanent`].
    Refused,
}

/// The failure of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    /// What it means.
    pub kind: StepErrorKind,
    /// Stable, UPPER_SNAKE; becomes the code of the [`Failure`] that the workflow sees.
    pub code: String,
    /// For people.
    pub message: String,
    /// Do not retry earlier than this.
    pub retry_after: Option<Duration>,
}

impl StepError {
    /// See [`StepErrorKind::Retryable`].
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> StepError {
        StepError::of(StepErrorKind::Retryable, code, message)
    }

    /// See [`StepErrorKind::Permanent`].
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> StepError {
        StepError::of(StepErrorKind::Permanent, code, message)
    }

    /// See [`StepErrorKind::Refused`].
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> StepError {
        StepError::of(StepErrorKind::Refused, code, message)
    }

    /// The same, not to be retried before `pause` has passed.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> StepError {
        self.retry_after = Some(pause);
        self
    }

    pub(crate) fn timed_out(limit: Duration) -> StepError {
        let message = format!("the attempt took longer than {} ms", limit.as_millis());
        StepError::retryable(STEP_TIMED_OUT, message)
    }

    /// Whether anything was done is unknown: an attempt may have been under way when the node went down.
    pub(crate) fn overdue() -> StepError {
        StepError::permanent(STEP_TIMED_OUT, "its time was over before another attempt could begin")
    }

    pub(crate) fn silent(limit: Duration) -> StepError {
        let message = format!("the attempt gave no sign of life for {} ms", limit.as_millis());
        StepError::retryable(HEARTBEAT_MISSED, message)
    }

    pub(crate) fn into_failure(self, step: &str) -> Failure {
        Failure::new(self.code, self.message).of_step(step)
    }

    fn of(kind: StepErrorKind, code: impl Into<String>, message: impl Into<String>) -> StepError {
        StepError { kind, code: code.into(), message: message.into(), retry_after: None }
    }
}
