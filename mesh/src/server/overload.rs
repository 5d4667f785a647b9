//! Admission: past a number of calls at once, a service refuses at once instead of answering all too late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};

use super::method::Method;
use crate::error;

/// When an overloaded service may be asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How many calls a service serves at once. Every service of a process has its own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Unary calls at once.
    pub max_calls: usize,
    /// Open streams at once.
    pub max_streams: usize,
}

impl Default for Limits {
    /// Two seconds' worth of the 1,000 orders a second that are aimed at, twice over; streams are cheap.
    fn default() -> Self {
        Self { max_calls: 4_096, max_streams: 20_000 }
    }
}

/// What is left of a service's [`Limits`].
pub(super) struct Admission {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self { calls: semaphore(limits.max_calls), streams: semaphore(limits.max_streams) }
    }

    /// A place for one call, free again when it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, reason `OVERLOADED`, with `RetryInfo`.
    pub(super) fn enter(&self, method: &Method) -> Result<OwnedSemaphorePermit, Status> {
        let places = if method.streaming { &self.streams } else { &self.calls };
        Arc::clone(places).try_acquire_owned().map_err(|_| {
            let message = "too many calls at once";
            error::retriable(Code::ResourceExhausted, "OVERLOADED", message, RETRY_AFTER)
        })
    }
}
