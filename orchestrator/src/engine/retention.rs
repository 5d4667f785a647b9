//! Retention: closed runs are kept for a while, and then deleted with everything that leads to them, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::limits::{EXPIRE_EVERY_MS, EXPIRE_PAUSE_MS, MAX_RUNS_PER_EXPIRE};

/// Sweeps until the engine stops.
pub(crate) async fn expire_all(core: Arc<Core>) {
    let Some(retention) = core.options.retention else { return };
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    while pause(&core, EXPIRE_EVERY_MS).await {
        sweep(&core, core.now_ms().saturating_sub(retention_ms)).await;
    }
}

/// Returns false if the engine stops.
async fn pause(core: &Arc<Core>, pause_ms: u64) -> bool {
    tokio::select! {
        biased;
        () = core.stop.cancelled() => false,
        () = core.seams.clock.sleep(Duration::from_millis(pause_ms)) => true,
    }
}

/// One pass over all runs that are old enough, with pauses in which others get at the disk.
async fn sweep(core: &Arc<Core>, closed_before_ms: i64) {
    let mut after = None;
    loop {
        match core.tables.expire(closed_before_ms, after, MAX_RUNS_PER_EXPIRE).await {
            Ok(expired) => {
                metrics::counter!("souk_engine_expired_total").increment(expired.deleted as u64);
                after = expired.next;
            }
            Err(error) => {
                tracing::warn!(%error, "old runs could not be deleted; the next sweep tries again");
                return;
            }
        }
        if after.is_none() || !pause(core, EXPIRE_PAUSE_MS).await {
            return;
        }
    }
}
