//! Forgets expired sessions, a bounded number at a time. They are useless either way: this saves disk.

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::SharedClock;
use souk_mesh::tasks::Tasks;

use super::store::SessionStore;

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
/// Sessions forgotten in one sweep.
const AT_ONCE: usize = 1_000;

/// Sweeps until the process drains.
pub fn spawn(store: Arc<dyn SessionStore>, clock: SharedClock, tasks: &Tasks) {
    let stop = tasks.token();
    tasks.spawn("session-sweeper", async move {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = store.sweep(clock.now_ms(), AT_ONCE).await {
                tracing::warn!(%error, "expired sessions stay until the next sweep");
            }
        }
    });
}
