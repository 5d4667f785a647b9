//! Making a payment: on record first, then at the provider.
//!
//! Two commits, of which the caller waits for one. The record before the provider is asked is what
//! an undo needs if everything after it is lost. The provider's id is written down after the
//! caller has its answer, but before anyone else may work on the payment; should that be lost too,
//! the same key gets the same id again.

use tracing::warn;

use super::Payments;
use crate::domain::{Payment, Snapshot, State};
use crate::error::Error;
use crate::keyed_lock::Guard;
use crate::provider::{self, KEY_SAFE_MS, NewIntent};
use crate::store::{NewPayment, Opened};

impl Payments {
    /// Makes a payment; a repeat with the same parameters gets the payment as it is now.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`], [`Error::Undone`], [`Error::TooLate`]; [`Error::NotMade`] when
    /// the provider refuses; [`Error::Provider`] when its answer is unknown.
    pub async fn create(&self, new: NewPayment) -> Result<Payment, Error> {
        let this = self.clone();
        self.to_the_end(async move { this.create_locked(new).await }).await
    }

    async fn create_locked(&self, new: NewPayment) -> Result<Payment, Error> {
        let payment_id = new.payment.payment_id;
        let guard = self.lock(payment_id).await?;
        let fresh = new.payment.clone();
        let payment = match self.store.open(new, self.now_ms()).await? {
            Opened::New => fresh,
            Opened::Known(payment) => payment,
            Opened::Reused => return Err(Error::RequestIdReused),
            Opened::Undone => return Err(Error::Undone(payment_id)),
            Opened::TooLate => return Err(Error::TooLate),
        };
        match payment.state {
            State::Opening => self.make_and_note(payment, guard).await,
            State::Declined if payment.provider_id.is_none() => {
                Err(Error::NotMade { code: payment.decline_code.unwrap_or_default() })
            }
            State::Cancelled | State::Refunded => Err(Error::Undone(payment_id)),
            State::Created
            | State::RequiresAction
            | State::Authorized
            | State::Captured
            | State::Declined => Ok(payment),
        }
    }

    async fn make_and_note(&self, payment: Payment, guard: Guard) -> Result<Payment, Error> {
        let made = self.made(&payment).await?;
        let Some(change) = payment.learn(&made, self.now_ms())? else { return Ok(payment) };
        if !change.happened.is_empty() {
            return self.save(change, None).await;
        }
        let (this, made) = (self.clone(), change.payment.clone());
        self.tasks.spawn("payment-note-provider-id", async move {
            if let Err(error) = this.save(change, None).await {
                // Whoever works on the payment next asks the provider again under the same key.
                warn!(%error, "a provider's id was not noted");
            }
            drop(guard);
        });
        Ok(made)
    }

    /// The payment at the provider, made if it is not there. A refusal is put on record.
    pub(super) async fn made(&self, payment: &Payment) -> Result<Snapshot, Error> {
        if let Some(found) = self.made_before(payment).await? {
            return Ok(found);
        }
        match self.provider.create(&create_key(payment), &intent(payment)).await {
            Err(provider::Error::Refused { code, .. }) => {
                self.save(payment.refused(&code, self.now_ms())?, None).await?;
                Err(Error::NotMade { code })
            }
            answer => Ok(answer?),
        }
    }

    /// What a creation of unknown outcome left at the provider, once its key may be forgotten
    /// there; within that time the key itself tells, and nothing is looked up.
    pub(super) async fn made_before(&self, payment: &Payment) -> Result<Option<Snapshot>, Error> {
        if !key_forgotten(payment.created_ms, self.now_ms()) {
            return Ok(None);
        }
        Ok(self.provider.find(&payment.payment_id.to_string()).await?)
    }
}

/// Whether a key first used at `used_ms` can no longer be trusted to be remembered.
pub(super) fn key_forgotten(used_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(used_ms) > KEY_SAFE_MS
}

/// The key under which a payment is made.
pub(super) fn create_key(payment: &Payment) -> String {
    format!("create/{}", payment.payment_id)
}

/// What the provider is asked to make.
pub(super) fn intent(payment: &Payment) -> NewIntent {
    NewIntent {
        order_id: payment.order_id.to_string(),
        payment_id: payment.payment_id.to_string(),
        amount: payment.amount,
        token: payment.token.clone(),
    }
}
