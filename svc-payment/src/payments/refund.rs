//! Giving money back. A refund is on record before the provider is asked, so that one whose answer
//! is lost, or whose asker is gone, is brought to its end: by a repeat, by the next work on the
//! payment, or by the housekeeping.

use prost::Message;
use souk_mesh::money::Money;
use souk_proto::payment::v1::RefundPaymentResponse;
use tracing::warn;
use uuid::Uuid;

use super::Payments;
use super::create::key_forgotten;
use crate::domain::{NewRefund, Payment, Refund, State};
use crate::error::Error;
use crate::provider;
use crate::store::KnownRefund;
use crate::wire;

/// Refunds of unknown outcome that are brought to their end in one go; more are left to the next.
const MAX_UNFINISHED: usize = 100;

/// A refund that a caller asks for.
#[derive(Debug, Clone)]
pub struct AskedRefund {
    /// Of which payment.
    pub payment_id: Uuid,
    /// A digest of the caller's scope and request id.
    pub request_key: Uuid,
    /// A digest of the request's parameters.
    pub fingerprint: [u8; 32],
    /// How much; all that is left when `None`.
    pub amount: Option<Money>,
    /// Why, for the record.
    pub reason: String,
}

impl Payments {
    /// Gives money back, never more than was taken; a repeat gets the first answer.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IllegalState`], [`Error::RefundExceedsCapture`],
    /// [`Error::WrongCurrency`], [`Error::RequestIdReused`], [`Error::Provider`].
    pub async fn refund(&self, asked: AskedRefund) -> Result<RefundPaymentResponse, Error> {
        let this = self.clone();
        self.to_the_end(async move { this.refund_locked(asked).await }).await
    }

    async fn refund_locked(&self, asked: AskedRefund) -> Result<RefundPaymentResponse, Error> {
        let _guard = self.lock(asked.payment_id).await?;
        if let Some(known) = self.store.refund_of(asked.request_key).await? {
            return self.repeated(known, &asked.fingerprint).await;
        }
        let payment = self.settle_refunds(self.get(asked.payment_id).await?).await?;
        let new = NewRefund {
            refund: self.checked(&payment, &asked)?,
            request_key: asked.request_key,
            fingerprint: asked.fingerprint,
        };
        if let Some(known) = self.store.begin_refund(new.clone()).await? {
            return self.repeated(known, &new.fingerprint).await;
        }
        self.given(payment, &new).await
    }

    async fn repeated(
        &self,
        known: KnownRefund,
        fingerprint: &[u8; 32],
    ) -> Result<RefundPaymentResponse, Error> {
        if known.asked.fingerprint != *fingerprint {
            return Err(Error::RequestIdReused);
        }
        match known.answer {
            Some(answer) => Ok(RefundPaymentResponse::decode(answer.as_slice())
                .map_err(|error| unreadable(&error))?),
            None => {
                let payment = self.get(known.asked.refund.payment_id).await?;
                self.given(payment, &known.asked).await
            }
        }
    }

    async fn given(
        &self,
        payment: Payment,
        new: &NewRefund,
    ) -> Result<RefundPaymentResponse, Error> {
        let left = Money::new(payment.net_captured(), payment.amount.currency);
        match self.finish(&payment, new).await? {
            Some((_, response)) => Ok(response),
            None => Err(Error::RefundExceedsCapture { left }),
        }
    }

    fn checked(&self, payment: &Payment, asked: &AskedRefund) -> Result<Refund, Error> {
        if !matches!(payment.state, State::Captured | State::Refunded) {
            return Err(Error::IllegalState(payment.state));
        }
        let left = Money::new(payment.net_captured(), payment.amount.currency);
        let amount = asked.amount.unwrap_or(left);
        if amount.currency != left.currency {
            return Err(Error::WrongCurrency(left.currency));
        }
        if left.is_zero() || amount.minor > left.minor {
            return Err(Error::RefundExceedsCapture { left });
        }
        Ok(self.new_refund(payment, amount, asked.reason.clone()))
    }

    fn new_refund(&self, payment: &Payment, amount: Money, reason: String) -> Refund {
        Refund {
            refund_id: Uuid::now_v7(),
            payment_id: payment.payment_id,
            amount,
            reason,
            created_ms: self.now_ms(),
        }
    }

    /// Gives back all that is left of a payment, for its undo.
    pub(super) async fn give_rest_back(
        &self,
        payment: Payment,
        reason: &str,
    ) -> Result<Payment, Error> {
        let left = Money::new(payment.net_captured(), payment.amount.currency);
        let refund = self.new_refund(&payment, left, reason.to_owned());
        // Nobody repeats it by its request: an undo that is repeated settles it first.
        let new = NewRefund { request_key: refund.refund_id, fingerprint: [0; 32], refund };
        self.store.begin_refund(new.clone()).await?;
        // A refusal leaves it as it was: the undo looks again.
        let given = self.finish(&payment, &new).await?;
        Ok(given.map_or(payment, |(after, _)| after))
    }

    /// Brings refunds of unknown outcome to their end.
    pub(super) async fn settle_refunds(&self, mut payment: Payment) -> Result<Payment, Error> {
        let unfinished =
            self.store.unfinished_refunds(Some(payment.payment_id), MAX_UNFINISHED).await?;
        for new in unfinished {
            if let Some((after, _)) = self.finish(&payment, &new).await? {
                payment = after;
            }
        }
        Ok(payment)
    }

    /// Asks the provider for a refund on record, and records what came of it: the payment after it,
    /// and the answer to who asked. `None` after a definite refusal, which takes the refund back.
    async fn finish(
        &self,
        payment: &Payment,
        new: &NewRefund,
    ) -> Result<Option<(Payment, RefundPaymentResponse)>, Error> {
        let refund = &new.refund;
        let Some(total) = self.asked_for(payment, refund).await? else {
            self.store.drop_refund(new).await?;
            return Ok(None);
        };
        let change = payment.gave_back(refund, total, self.now_ms())?;
        let response = wire::refund_response(refund, &change.payment);
        let after = change.payment.clone();
        let events = wire::events(&change);
        self.store.finish_refund(change, new, response.encode_to_vec(), events).await?;
        Ok(Some((after, response)))
    }

    /// How much was given back in all, this refund included; `None` when the provider refuses it.
    async fn asked_for(&self, payment: &Payment, refund: &Refund) -> Result<Option<i64>, Error> {
        let provider_id = payment.provider_id.as_ref().ok_or(Error::IllegalState(payment.state))?;
        if key_forgotten(refund.created_ms, self.now_ms()) {
            // Its key may be forgotten: the total tells whether it was given.
            let seen = self.provider.get(provider_id).await?;
            if seen.refunded >= payment.refunded + refund.amount.minor {
                return Ok(Some(seen.refunded));
            }
        }
        let key = format!("refund/{}", refund.refund_id);
        match self.provider.refund(&key, provider_id, refund.amount.minor).await {
            Ok(total) => Ok(Some(total)),
            Err(provider::Error::Refused { code, message }) => {
                warn!(payment_id = %payment.payment_id, code, message, "a refund was refused");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Brings the unfinished refunds of one payment to their end, for the housekeeping.
    pub(super) async fn settle(&self, payment_id: Uuid) -> Result<(), Error> {
        let this = self.clone();
        self.to_the_end(async move {
            let _guard = this.lock(payment_id).await?;
            let payment = this.get(payment_id).await?;
            this.settle_refunds(payment).await?;
            Ok(())
        })
        .await
    }
}

/// An answer that was encoded here and does not decode: a damaged store.
fn unreadable(error: &prost::DecodeError) -> Error {
    Error::Unreadable(error.to_string())
}
