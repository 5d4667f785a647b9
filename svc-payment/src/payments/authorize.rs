//! Confirming and capturing: one call to the provider and one commit each.

use uuid::Uuid;

use super::{Call, Payments};
use crate::domain::{Payment, Snapshot, State};
use crate::error::Error;
use crate::provider;

impl Payments {
    /// Asks the bank to set the money aside; afterwards the payment's state is the outcome. A
    /// payment that waits for the customer is brought up to date; one that is further along is
    /// answered as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Undone`], [`Error::TooLate`], [`Error::Provider`].
    pub async fn confirm(&self, call: Call) -> Result<Payment, Error> {
        let this = self.clone();
        self.to_the_end(async move { this.confirm_locked(call).await }).await
    }

    async fn confirm_locked(&self, call: Call) -> Result<Payment, Error> {
        let _guard = self.lock(call.payment_id).await?;
        let payment = self.load(call).await?;
        let seen = match payment.state {
            State::Opening | State::Created => {
                self.check_in_time(call)?;
                let provider_id = self.provider_id(&payment).await?;
                let key = format!("confirm/{}", payment.payment_id);
                let answer = self.provider.confirm(&key, &provider_id).await;
                self.answer_or_present(answer, &provider_id).await?
            }
            State::RequiresAction => self.present(&payment).await?,
            State::Authorized | State::Captured | State::Declined => return Ok(payment),
            State::Cancelled | State::Refunded => return Err(Error::Undone(call.payment_id)),
        };
        let payment = self.learn(payment, &seen, Some(call.request_key)).await?;
        refuse_undone(payment)
    }

    /// Takes the money that was set aside; all of it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Undone`], [`Error::TooLate`], [`Error::Provider`];
    /// [`Error::IllegalState`] when no money is set aside.
    pub async fn capture(&self, call: Call) -> Result<Payment, Error> {
        let this = self.clone();
        self.to_the_end(async move { this.capture_locked(call).await }).await
    }

    async fn capture_locked(&self, call: Call) -> Result<Payment, Error> {
        let _guard = self.lock(call.payment_id).await?;
        let mut payment = self.load(call).await?;
        if matches!(payment.state, State::Created | State::RequiresAction) {
            // A confirmation whose answer was lost, or a challenge passed since.
            let seen = self.present(&payment).await?;
            payment = self.learn(payment, &seen, None).await?;
        }
        match payment.state {
            State::Authorized => {}
            State::Captured => return Ok(payment),
            State::Cancelled | State::Refunded => return Err(Error::Undone(call.payment_id)),
            state @ (State::Opening | State::Created | State::RequiresAction | State::Declined) => {
                return Err(Error::IllegalState(state));
            }
        }
        self.check_in_time(call)?;
        let provider_id = self.provider_id(&payment).await?;
        let key = format!("capture/{}", payment.payment_id);
        let answer = self.provider.capture(&key, &provider_id).await;
        let seen = self.answer_or_present(answer, &provider_id).await?;
        let payment = self.learn(payment, &seen, Some(call.request_key)).await?;
        match refuse_undone(payment)? {
            captured if captured.state == State::Captured => Ok(captured),
            other => Err(Error::IllegalState(other.state)),
        }
    }

    /// The provider's id of a payment, made there if the answer to its creation was lost.
    async fn provider_id(&self, payment: &Payment) -> Result<String, Error> {
        match &payment.provider_id {
            Some(provider_id) => Ok(provider_id.clone()),
            None => Ok(self.made(payment).await?.provider_id),
        }
    }

    /// How a payment stands at the provider now.
    pub(super) async fn present(&self, payment: &Payment) -> Result<Snapshot, Error> {
        let provider_id = self.provider_id(payment).await?;
        Ok(self.provider.get(&provider_id).await?)
    }

    /// The provider's answer; when it refuses because the payment is further along than we knew,
    /// how it stands.
    async fn answer_or_present(
        &self,
        answer: Result<Snapshot, provider::Error>,
        provider_id: &str,
    ) -> Result<Snapshot, Error> {
        match answer {
            Err(provider::Error::Refused { .. }) => Ok(self.provider.get(provider_id).await?),
            answer => Ok(answer?),
        }
    }
}

/// Someone undid the payment at the provider itself.
fn refuse_undone(payment: Payment) -> Result<Payment, Error> {
    let payment_id: Uuid = payment.payment_id;
    if payment.state.is_undone() { Err(Error::Undone(payment_id)) } else { Ok(payment) }
}
