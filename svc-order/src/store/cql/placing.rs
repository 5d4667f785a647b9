//! Recording an order: one conditional write, by which one of any number of equal requests wins.

use souk_mesh::cql::Error as StoreError;
use souk_mesh::idempotency::RequestKey;

use super::rows::Claim;
use super::{CqlStore, request_name};
use crate::store::{Placed, Recording, Start};
use crate::{Error, events};

/// How often a claim is tried whose outcome was not known and that turned out not to have happened.
const CLAIM_TRIES: u32 = 3;

impl CqlStore {
    pub(super) async fn find_placed(&self, key: &RequestKey) -> Result<Option<Placed>, Error> {
        // Settled: whoever asks is about to refuse the request for good.
        match self.tables.find_claim(&key.digest()).await? {
            Some(claim) => self.placed_by(&claim, key).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn place(&self, recording: Recording) -> Result<Placed, Error> {
        let Recording { order, input, key, trace_parent } = recording;
        let request = key.digest();
        let event = events::of(&order, &order.first_entry(), None, trace_parent);
        let claim = Claim::of(&order, &key, &event)?;
        // Before anything counts: what finds the order if this process dies, and what its workflow is started with.
        let name = request_name(&request);
        let (marker, ()) = tokio::try_join!(
            self.outbox.mark(&name, 1),
            // Boxed, as futures of the driver are kilobytes large.
            Box::pin(self.put_start(order.id, order.created_at_ms, &request, &input)),
        )?;
        match self.claim(&request, &claim).await? {
            None => {
                self.tables.derive(&claim).await?;
                marker.publish(vec![event]);
                Ok(Placed { order, start: Start::Input(input) })
            }
            Some(earlier) => {
                marker.forget();
                Box::pin(self.forget_start(order.id, order.created_at_ms)).await;
                self.placed_by(&earlier, &key).await
            }
        }
    }

    /// Lets the request claim its order; returns the claim that was there before, if one was.
    async fn claim(&self, request: &[u8; 32], claim: &Claim) -> Result<Option<Claim>, StoreError> {
        let values = (
            request.as_slice(),
            &claim.fingerprint,
            claim.order_id,
            claim.user_id,
            claim.created_at_ms,
            &claim.fixed,
            &claim.event,
        );
        let mut last = StoreError::Overloaded;
        for _ in 0..CLAIM_TRIES {
            match self.tables.session.conditional(&self.tables.statements.claim, &values).await {
                Ok(true) => return Ok(None),
                Ok(false) => last = StoreError::form("a claim is neither there nor free"),
                Err(unknown @ StoreError::Unknown(_)) => last = unknown,
                Err(error) => return Err(error),
            }
            match self.tables.find_claim(request).await? {
                Some(found) if found.order_id == claim.order_id => return Ok(None),
                Some(found) => return Ok(Some(found)),
                // It did not happen, and cannot any more.
                None => {}
            }
        }
        Err(last)
    }

    /// The order of a claim as it stands, finished if the process that recorded it did not come to that.
    async fn placed_by(&self, claim: &Claim, key: &RequestKey) -> Result<Placed, Error> {
        claim.check(key)?;
        let found = match self.tables.head(claim.order_id).await? {
            Some(found) => found,
            None => {
                self.tables.derive(claim).await?;
                let found = self.tables.head(claim.order_id).await?;
                found.ok_or(Error::OrderNotFound(claim.order_id))?
            }
        };
        let (order, start) = found.into_start()?;
        Ok(Placed { order, start })
    }
}
