//! The backstop of reservations: ends holds whose time is over and forgets tombstones that no late do
//! can meet any more. Workflows release what they hold; this is for those that never come back.

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::SharedClock;
use souk_mesh::tasks::Tasks;

use crate::error::Error;
use crate::store::Store;

/// Reservations of one write, so that orders do not wait long behind the sweeper.
const PAGE: usize = 64;
/// Pages of one round; the rest waits for the next one.
const MAX_PAGES: usize = 64;

/// Sweeps every so often until the drain.
pub fn spawn<S: Store>(store: Arc<S>, clock: SharedClock, tasks: &Tasks, every: Duration) {
    let token = tasks.token();
    tasks.spawn("catalog.sweeper", async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match sweep(store.as_ref(), clock.now_ms()).await {
                Ok(0) => {}
                Ok(expired) => tracing::info!(expired, "holds ran out"),
                Err(error) => tracing::warn!(%error, "the sweep of reservations failed"),
            }
        }
    });
}

/// One round, as of `now_ms`; says how many holds ran out.
pub async fn sweep<S: Store + ?Sized>(store: &S, now_ms: i64) -> Result<usize, Error> {
    let mut expired = 0;
    for _ in 0..MAX_PAGES {
        let page = store.expire_holds(now_ms, PAGE).await?;
        expired += page;
        if page < PAGE {
            break;
        }
    }
    for _ in 0..MAX_PAGES {
        if store.forget_tombstones(now_ms, PAGE).await? < PAGE {
            break;
        }
    }
    Ok(expired)
}
