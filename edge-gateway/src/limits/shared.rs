//! Limits that all edges share while the shared count can be had in time, and that hold per process while it cannot.
//!
//! Every edge counts by itself as well, and refuses by itself what its own count refuses: what one edge let through is
//! never more than what all let through together. So a flood costs the shared store nothing, and when that goes away the
//! edge's own count knows the callers already.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::limiter::{Key, RateLimiter, Verdict};
use super::local::Local;
use super::rate::Rate;

/// How long a call waits for the shared count; without an answer the edge's own count decides.
pub const PATIENCE: Duration = Duration::from_millis(5);
/// How long the shared count is not asked after it did not answer; then one call tries.
pub const PAUSE: Duration = Duration::from_millis(250);

/// The limits of this edge, and of all edges.
pub struct Shared {
    local: Local,
    shared: Arc<dyn RateLimiter>,
    /// Until when the shared count is not asked; nothing while it answers.
    away_until: Mutex<Option<Instant>>,
}

impl Shared {
    /// Nothing is counted yet.
    pub fn new(shared: Arc<dyn RateLimiter>) -> Self {
        Self { local: Local::default(), shared, away_until: Mutex::new(None) }
    }

    /// Whether a call may go on; within [`PATIENCE`], whatever the shared count does.
    pub async fn take(&self, key: Key, rate: Rate, now_ms: i64) -> Verdict {
        let verdict = self.local.take_now(key, rate, now_ms);
        if verdict != Verdict::Allowed || !self.may_ask() {
            return verdict;
        }
        let shared = Arc::clone(&self.shared);
        // A task of its own: what is asked is heard to the end, so that a connection that is silent is noticed.
        let asked = tokio::spawn(async move { shared.take(key, rate, now_ms).await });
        match timeout(PATIENCE, asked).await {
            Ok(Ok(Ok(shared))) => {
                self.answered();
                shared
            }
            Ok(Ok(Err(error))) => self.away(&error, verdict),
            Ok(Err(error)) => self.away(&error, verdict),
            Err(elapsed) => self.away(&elapsed, verdict),
        }
    }

    /// Whether to ask the shared count: one call tries after a pause.
    fn may_ask(&self) -> bool {
        let mut away_until = self.away_until.lock();
        match *away_until {
            None => true,
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                *away_until = Some(Instant::now() + PAUSE);
                true
            }
        }
    }

    fn answered(&self) {
        if self.away_until.lock().take().is_some() {
            tracing::info!("rate limits are shared by all edges again");
        }
        metrics::gauge!("souk_edge_rate_limits_shared").set(1.0);
    }

    fn away(&self, error: &dyn std::fmt::Display, local: Verdict) -> Verdict {
        if self.away_until.lock().replace(Instant::now() + PAUSE).is_none() {
            tracing::warn!(%error, "rate limits hold per process: the shared count is away");
        }
        metrics::gauge!("souk_edge_rate_limits_shared").set(0.0);
        local
    }
}
