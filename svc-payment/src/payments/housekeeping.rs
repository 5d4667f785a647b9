//! What is done at the start and from time to time: refunds of unknown outcome are brought to their
//! end, and tombstones that nobody needs any more are forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::Payments;
use crate::error::Error;

/// How often.
const INTERVAL: Duration = Duration::from_secs(30);
/// Unfinished refunds looked at in one round.
const MAX_REFUNDS: usize = 100;
/// Tombstones forgotten in one write.
const SWEEP_BATCH: usize = 500;

/// Begins the housekeeping; it ends with the process's drain.
pub fn spawn_housekeeping(payments: &Payments) {
    let payments = payments.clone();
    let drain = payments.tasks.token();
    payments.tasks.clone().spawn("payment-housekeeping", async move {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                _ = interval.tick() => {}
            }
            if let Err(error) = payments.tidy().await {
                warn!(%error, "the housekeeping of payments is put off");
            }
        }
    });
}

impl Payments {
    /// One round.
    async fn tidy(&self) -> Result<(), Error> {
        let unfinished = self.store.unfinished_refunds(None, MAX_REFUNDS).await?;
        let payment_ids: BTreeSet<_> =
            unfinished.into_iter().map(|new| new.refund.payment_id).collect();
        for payment_id in payment_ids {
            if let Err(error) = self.settle(payment_id).await {
                warn!(%payment_id, %error, "a refund's outcome is still unknown");
            }
        }
        while self.store.sweep_tombstones(self.now_ms(), SWEEP_BATCH).await? == SWEEP_BATCH {}
        Ok(())
    }
}
