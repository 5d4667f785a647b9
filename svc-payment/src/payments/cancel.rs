//! The undo of everything else: afterwards net captured is 0, for good.
//!
//! Whether to cancel or to give back is decided by what the provider says now, never by what we
//! knew. A payment that never came gets a tombstone, which refuses it should it still come. Since a
//! payment is on record before the provider is asked, one without a record was never made there.

use tracing::info;
use uuid::Uuid;

use super::create::{create_key, intent, key_forgotten};
use super::{Call, Payments};
use crate::domain::{Observed, Payment, Snapshot};
use crate::error::Error;
use crate::provider;
use crate::store::{Found, Tombstone};

/// Calls in flight from before may change the payment between looking and acting: so often it is
/// looked at again.
const MAX_LOOKS: usize = 4;
/// How long after the `not_after` of the creation a tombstone is kept, in milliseconds: a day for
/// clocks that differ.
const TOMBSTONE_MARGIN_MS: i64 = 24 * 60 * 60 * 1_000;

/// An undo.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// Which payment, under which request.
    pub call: Call,
    /// Why, for the record.
    pub reason: String,
    /// The `not_after` of the creation that is undone (unix milliseconds), if it had one.
    pub undoes_not_after_ms: Option<i64>,
    /// Leave money alone that is set aside or taken.
    pub only_if_unpaid: bool,
}

impl Payments {
    /// Undoes a payment, made or not; `None` for one that was not: it got a tombstone.
    ///
    /// # Errors
    /// [`Error::Provider`] when the provider's answer is unknown or it refuses; the same call may be
    /// repeated until it succeeds.
    pub async fn cancel(&self, cancel: Cancel) -> Result<Option<Payment>, Error> {
        let this = self.clone();
        self.to_the_end(async move { this.cancel_locked(cancel).await }).await
    }

    async fn cancel_locked(&self, cancel: Cancel) -> Result<Option<Payment>, Error> {
        let payment_id = cancel.call.payment_id;
        let _guard = self.lock(payment_id).await?;
        let payment = match self.load(cancel.call).await {
            Ok(payment) => payment,
            Err(Error::Undone(_)) => return Ok(None),
            Err(Error::NotFound(_)) => match self.bury(&cancel).await? {
                Found::Payment(payment) => payment,
                Found::Tombstone | Found::Nothing => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        if payment.state.is_undone() {
            return Ok(Some(payment));
        }
        self.undo(payment, &cancel).await.map(Some)
    }

    async fn bury(&self, cancel: &Cancel) -> Result<Found, Error> {
        let keep_until_ms =
            cancel.undoes_not_after_ms.map(|limit| limit.saturating_add(TOMBSTONE_MARGIN_MS));
        let tombstone = Tombstone {
            payment_id: cancel.call.payment_id,
            keep_until_ms,
            created_ms: self.now_ms(),
        };
        self.store.bury(tombstone, cancel.call.request_key).await
    }

    async fn undo(&self, payment: Payment, cancel: &Cancel) -> Result<Payment, Error> {
        let request_key = Some(cancel.call.request_key);
        let mut payment = self.settle_refunds(payment).await?;
        for _ in 0..MAX_LOOKS {
            let Some(seen) = self.resolved(&payment).await? else {
                return self.save(payment.given_up(self.now_ms())?, request_key).await;
            };
            payment = match seen.seen {
                Observed::Cancelled | Observed::Refunded => {
                    return self.learn(payment, &seen, request_key).await;
                }
                Observed::Authorized | Observed::Captured if cancel.only_if_unpaid => {
                    return self.learn(payment, &seen, None).await;
                }
                Observed::Captured => {
                    let payment = self.learn(payment, &seen, None).await?;
                    self.give_rest_back(payment, &cancel.reason).await?
                }
                Observed::Created
                | Observed::RequiresAction
                | Observed::Authorized
                | Observed::Declined => match self.cancel_there(payment.payment_id, &seen).await? {
                    Some(seen) => return self.learn(payment, &seen, request_key).await,
                    None => payment,
                },
            };
            if payment.state.is_undone() {
                return Ok(payment);
            }
        }
        info!(payment_id = %payment.payment_id, "a payment kept changing while it was undone");
        Err(Error::Stale)
    }

    /// How the payment stands at the provider; `None` when it was never made there and cannot be
    /// any more. A creation of unknown outcome is resolved by repeating it under its key: if it is
    /// still on its way, it finds the key used.
    async fn resolved(&self, payment: &Payment) -> Result<Option<Snapshot>, Error> {
        if let Some(provider_id) = &payment.provider_id {
            return Ok(Some(self.provider.get(provider_id).await?));
        }
        if payment.decline_code.is_some() {
            // The creation itself was refused.
            return Ok(None);
        }
        if key_forgotten(payment.created_ms, self.now_ms()) {
            return self.made_before(payment).await;
        }
        match self.provider.create(&create_key(payment), &intent(payment)).await {
            // The answer to a repeat may be older than what happened since.
            Ok(made) => Ok(Some(self.provider.get(&made.provider_id).await?)),
            Err(provider::Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels at the provider; `None` when it refuses because the payment has moved on.
    async fn cancel_there(
        &self,
        payment_id: Uuid,
        seen: &Snapshot,
    ) -> Result<Option<Snapshot>, Error> {
        let key = format!("cancel/{payment_id}");
        match self.provider.cancel(&key, &seen.provider_id).await {
            Ok(cancelled) => Ok(Some(cancelled)),
            Err(provider::Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
