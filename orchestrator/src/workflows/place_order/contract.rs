//! What svc-order and the run tell each other, as JSON. The page is docs/contracts/place_order.md.

use serde::{Deserialize, Serialize};
use souk_proto::google::r#type::Money;
use uuid::Uuid;

use super::payment::{Confirmation, Created};
use crate::engine::Failure;
use crate::engine::cx::Signal;
use crate::engine::failure::CANCELLED;

/// The run's input: an order that svc-order has priced and recorded as pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// The order.
    pub order_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// ISO 4217 code of every amount here.
    pub currency: String,
    /// What is authorized and captured, in minor units.
    pub total_minor: i64,
    /// One per product.
    pub lines: Vec<Line>,
    /// The provider's token for the customer's card.
    pub payment_token: String,
    /// The cart to clear afterwards, if the order came from one.
    pub cart: Option<Cart>,
    /// Where mail about the order goes; empty when unknown.
    pub email: String,
}

/// A product of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: Uuid,
    /// Pieces, at least 1.
    pub quantity: i32,
    /// The price of one in minor units.
    pub unit_price_minor: i64,
}

/// The cart that was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The version that was ordered.
    pub version: i64,
}

/// The run's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The stock that was taken.
    pub reservation_id: Uuid,
    /// The payment that was captured.
    pub payment_id: Uuid,
}

/// How placing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Placement {
    Placed,
    Challenge,
    Refused,
}

/// What everybody who placed the order is answered, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    placement: Placement,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Answer {
    fn of(placement: Placement) -> Self {
        Self { placement, payment_id: None, challenge_url: None, reason: None, message: None }
    }

    /// Stock is held and the payment authorized.
    pub(super) fn placed(payment: &Created) -> Self {
        Self { payment_id: Some(payment.payment_id), ..Self::of(Placement::Placed) }
    }

    /// The customer has to approve first.
    pub(super) fn challenge(payment: &Created, confirmed: &Confirmation) -> Self {
        Self {
            payment_id: Some(payment.payment_id),
            challenge_url: Some(confirmed.challenge_url.clone()),
            ..Self::of(Placement::Challenge)
        }
    }

    /// No order.
    pub(super) fn refused(failure: &Failure) -> Self {
        Self {
            reason: Some(reason_of(failure)),
            message: Some(message_of(failure)),
            ..Self::of(Placement::Refused)
        }
    }
}

/// svc-order has recorded a cancellation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cancelled {
    /// UPPER_SNAKE.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl Signal for Cancelled {
    const NAME: &'static str = "cancelled";
}

impl From<Cancelled> for Failure {
    fn from(cancelled: Cancelled) -> Self {
        Failure::new(cancelled.reason, cancelled.message)
    }
}

/// svc-order has recorded that the parcel is with the carrier.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Shipped {}

impl Signal for Shipped {
    const NAME: &'static str = "shipped";
}

/// svc-order has recorded that the parcel is with the customer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Delivered {}

impl Signal for Delivered {
    const NAME: &'static str = "delivered";
}

/// Something has become of the payment; what, the run asks svc-payment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PaymentResolved {}

impl Signal for PaymentResolved {
    const NAME: &'static str = "payment_resolved";
}

/// The longest reason and message that participants take, in characters.
const MAX_REASON_CHARS: usize = 100;
const MAX_MESSAGE_CHARS: usize = 500;

/// What a customer is told whose order somebody else has cancelled; who and why is on record.
pub(super) const WITHDRAWN: &str = "The order was cancelled.";

/// Why there is no order, as a code.
pub(super) fn reason_of(failure: &Failure) -> String {
    failure.code.chars().take(MAX_REASON_CHARS).collect()
}

/// The same for the customer. The workflow's own words, and those of whoever cancelled, are meant for them; what went
/// wrong inside of a step is not, and is on record anyway.
pub(super) fn message_of(failure: &Failure) -> String {
    let words = match failure.code.as_str() {
        "SOLD_OUT" | "RESERVATION_EXPIRED" => "A product of the order is sold out.",
        "ORDER_CANCELLED" | CANCELLED => WITHDRAWN,
        _ if failure.step.is_none() => &failure.message,
        _ => "Something went wrong on our side. You are not charged.",
    };
    words.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Minor units as money of the contract.
pub(super) fn money(minor: i64, currency: &str) -> Result<Money, souk_mesh::money::Error> {
    Ok(souk_mesh::money::Money { minor, currency: currency.parse()? }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/contracts/place_order.md");

    /// The JSON blocks of the contract's page, in order: the input, then answers.
    fn examples() -> Vec<serde_json::Value> {
        let blocks = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.map(|block| serde_json::from_str(block).expect("the page has valid JSON")).collect()
    }

    #[test]
    fn the_input_reads_as_the_page_says() {
        let input: PlaceOrder = serde_json::from_value(examples()[0].clone()).expect("fits");
        assert_eq!(serde_json::to_value(&input).expect("writes"), examples()[0]);
    }

    #[test]
    fn every_answer_on_the_page_is_one_that_the_run_gives() {
        for example in &examples()[1..] {
            let answer: Answer = serde_json::from_value(example.clone()).expect("fits");
            assert_eq!(&serde_json::to_value(&answer).expect("writes"), example);
        }
    }
}
