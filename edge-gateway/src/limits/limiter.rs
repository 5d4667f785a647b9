//! What a limiter promises; `tests/limiters` holds every implementation to it.

use std::time::Duration;

use async_trait::async_trait;
use souk_mesh::redis;

use super::caller::Who;
use super::rate::{Class, Rate};

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of what.
    pub class: Class,
    /// By whom.
    pub who: Who,
}

/// Whether a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// Not before so long from now.
    Refused(Duration),
}

/// Counts calls by the generic cell rate algorithm: one number per key, the time at which all that was taken is paid for
/// (ITU-T I.371, appendix I.3). A call is allowed while that is no further ahead than the burst allows.
#[async_trait]
pub trait RateLimiter: Send + Sync + 'static {
    /// Takes one call of `key`, if `rate` allows it at `now_ms` (unix milliseconds). What is refused takes nothing.
    ///
    /// # Errors
    /// When the count is somewhere else and cannot be had.
    async fn take(&self, key: Key, rate: Rate, now_ms: i64) -> Result<Verdict, redis::Error>;
}

/// Unix microseconds.
pub(super) fn micros(now_ms: i64) -> i64 {
    now_ms.saturating_mul(1_000)
}

/// A wait of this many microseconds, for the next call to be allowed.
pub(super) fn refused(wait_us: i64) -> Verdict {
    Verdict::Refused(Duration::from_micros(wait_us.max(1).unsigned_abs()))
}
