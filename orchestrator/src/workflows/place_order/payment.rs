//! The order's money: create, record its id, confirm, capture; one undo, *net captured = 0*, for all of them.

use serde::{Deserialize, Serialize};
use souk_proto::payment::v1::{
    CancelPaymentRequest, CapturePaymentRequest, ConfirmPaymentRequest, CreatePaymentIntentRequest,
    Payment, PaymentState,
};
use souk_proto::time;
use uuid::Uuid;

use super::contract::{PlaceOrder, money, reason_of};
use super::policy;
use crate::engine::Failure;
use crate::engine::step::{Compensation, Policy, Step, StepContext, StepError, UndoneBy};
use crate::workflows::rpc::call;

/// svc-payment's reason for a payment that was given up or given back.
const UNDONE: &str = "UNDONE";

/// A payment that exists; no money is touched yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    /// The payment.
    pub payment_id: Uuid,
    /// What it pays for.
    pub order_id: Uuid,
}

/// Makes the payment.
#[derive(Serialize, Deserialize)]
pub struct CreatePayment {
    order_id: Uuid,
    user_id: Uuid,
    amount_minor: i64,
    currency: String,
    payment_token: String,
}

impl CreatePayment {
    pub(super) fn of(order: &PlaceOrder) -> Self {
        Self {
            order_id: order.order_id,
            user_id: order.user_id,
            amount_minor: order.total_minor,
            currency: order.currency.clone(),
            payment_token: order.payment_token.clone(),
        }
    }
}

impl Step for CreatePayment {
    const NAME: &'static str = "CreatePayment";
    type Output = Created;
    type Undo = ReturnPayment;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<Created, StepError> {
        let payment_id = context.effect_id();
        let amount = money(self.amount_minor, &self.currency)
            .map_err(|error| StepError::permanent("WRONG_CURRENCY", error.to_string()))?;
        let request = CreatePaymentIntentRequest {
            request_id: payment_id.to_string(),
            payment_id: payment_id.to_string(),
            order_id: self.order_id.to_string(),
            user_id: self.user_id.to_string(),
            amount: Some(amount),
            payment_token: self.payment_token.clone(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
        };
        call(context, request, |mut p, r| async move { p.payment.create_payment_intent(r).await })
            .await?;
        Ok(Created { payment_id, order_id: self.order_id })
    }
}

/// Brings the payment to net captured = 0: svc-payment cancels or refunds, as the provider's state asks for.
#[derive(Serialize, Deserialize)]
pub struct ReturnPayment {
    order_id: Uuid,
}

impl From<&CreatePayment> for ReturnPayment {
    fn from(step: &CreatePayment) -> Self {
        Self { order_id: step.order_id }
    }
}

impl Compensation for ReturnPayment {
    const NAME: &'static str = "ReturnPayment";

    fn policy(&self) -> Policy {
        policy::patient()
    }

    async fn run(&self, context: &StepContext, cause: &Failure) -> Result<(), StepError> {
        let request = CancelPaymentRequest {
            request_id: context.effect_id().to_string(),
            payment_id: context.undone_id().to_string(),
            order_id: self.order_id.to_string(),
            reason: reason_of(cause),
            undoes_not_after: Some(time::timestamp(context.give_up_at_ms())),
            only_if_unpaid: false,
        };
        call(context, request, |mut p, r| async move { p.payment.cancel_payment(r).await }).await?;
        Ok(())
    }
}

/// What confirming came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The money is set aside, or taken.
    Authorized,
    /// The customer has to pass the bank's challenge.
    RequiresAction,
    /// A person looks at it.
    Review,
    /// No money: refused, cancelled or expired.
    Declined,
}

/// The payment after it was confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confirmation {
    /// What it came to.
    pub outcome: Outcome,
    /// Where the customer passes the challenge; empty otherwise.
    pub challenge_url: String,
    /// The provider's code of a refusal; empty otherwise.
    pub decline_code: String,
}

impl Confirmation {
    fn of(payment: Option<Payment>) -> Result<Self, StepError> {
        let payment = payment.unwrap_or_default();
        let outcome = match payment.state() {
            PaymentState::Authorized | PaymentState::Captured => Outcome::Authorized,
            PaymentState::RequiresAction => Outcome::RequiresAction,
            PaymentState::InReview => Outcome::Review,
            PaymentState::Declined | PaymentState::Cancelled | PaymentState::Refunded => {
                Outcome::Declined
            }
            state @ (PaymentState::Created | PaymentState::Unspecified) => {
                let message = format!("a confirmed payment is {}", state.as_str_name());
                return Err(StepError::retryable("PAYMENT_NOT_CONFIRMED", message));
            }
        };
        let Payment { challenge_url, decline_code, .. } = payment;
        Ok(Self { outcome, challenge_url, decline_code })
    }

    /// Of a payment that was given up.
    fn undone() -> Self {
        let (challenge_url, decline_code) = (String::new(), String::new());
        Self { outcome: Outcome::Declined, challenge_url, decline_code }
    }

    /// Why there is no order, for the customer.
    pub(super) fn into_refusal(self) -> Failure {
        match self.decline_code.as_str() {
            "insufficient_funds" => {
                Failure::new("INSUFFICIENT_FUNDS", "The card does not have enough funds.")
            }
            "" => Failure::new("PAYMENT_NOT_COMPLETED", "The payment was not completed."),
            _ => Failure::new("CARD_DECLINED", "The card was declined."),
        }
    }
}

/// Asks the provider to set the money aside, or, after a challenge, what has become of that.
#[derive(Serialize, Deserialize)]
pub struct ConfirmPayment {
    payment_id: Uuid,
}

impl ConfirmPayment {
    pub(super) fn of(payment: &Created) -> Self {
        Self { payment_id: payment.payment_id }
    }
}

impl Step for ConfirmPayment {
    const NAME: &'static str = "ConfirmPayment";
    type Output = Confirmation;
    type Undo = UndoneBy<ReturnPayment>;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<Confirmation, StepError> {
        let request = ConfirmPaymentRequest {
            request_id: context.effect_id().to_string(),
            payment_id: self.payment_id.to_string(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
        };
        let answer =
            call(context, request, |mut p, r| async move { p.payment.confirm_payment(r).await });
        match answer.await {
            Ok(answer) => Confirmation::of(answer.payment),
            // Given up at the provider itself, as it does with challenges that nobody passes.
            Err(error) if error.code == UNDONE => Ok(Confirmation::undone()),
            Err(error) => Err(error),
        }
    }
}

/// The time for a challenge is over: cancels at the provider, unless the customer was faster.
#[derive(Serialize, Deserialize)]
pub struct CancelIfUnpaid {
    payment_id: Uuid,
    order_id: Uuid,
}

impl CancelIfUnpaid {
    pub(super) fn of(payment: &Created) -> Self {
        Self { payment_id: payment.payment_id, order_id: payment.order_id }
    }
}

impl Step for CancelIfUnpaid {
    const NAME: &'static str = "CancelIfUnpaid";
    type Output = Confirmation;
    type Undo = UndoneBy<ReturnPayment>;

    async fn run(&self, context: &StepContext) -> Result<Confirmation, StepError> {
        let request = CancelPaymentRequest {
            request_id: context.effect_id().to_string(),
            payment_id: self.payment_id.to_string(),
            order_id: self.order_id.to_string(),
            reason: "CHALLENGE_EXPIRED".to_owned(),
            only_if_unpaid: true,
            ..CancelPaymentRequest::default()
        };
        let answer =
            call(context, request, |mut p, r| async move { p.payment.cancel_payment(r).await })
                .await?;
        Confirmation::of(answer.payment)
    }
}

/// Takes the money.
#[derive(Serialize, Deserialize)]
pub struct CapturePayment {
    payment_id: Uuid,
}

impl CapturePayment {
    pub(super) fn of(payment: &Created) -> Self {
        Self { payment_id: payment.payment_id }
    }
}

impl Step for CapturePayment {
    const NAME: &'static str = "CapturePayment";
    type Output = ();
    type Undo = UndoneBy<ReturnPayment>;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let request = CapturePaymentRequest {
            request_id: context.effect_id().to_string(),
            payment_id: self.payment_id.to_string(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
        };
        call(context, request, |mut p, r| async move { p.payment.capture_payment(r).await })
            .await?;
        Ok(())
    }
}
