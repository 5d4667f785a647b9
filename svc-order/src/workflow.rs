//! The contract with the workflow `place_order`: its id, its input, its answer and its steps' names.
//!
//! The two sides share no code, only JSON; docs/contracts/place_order.md is the page that both keep
//! to, and the tests below hold this side to the examples on it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Order;

/// The workflow's type, as the orchestrator registers it.
pub const WORKFLOW_TYPE: &str = "place_order";

/// Names of the workflow's steps and undos, as far as customers see them or this service asks for them.
pub mod step {
    /// Holds stock.
    pub const RESERVE_STOCK: &str = "ReserveStock";
    /// Creates the payment.
    pub const CREATE_PAYMENT: &str = "CreatePayment";
    /// Authorizes the payment.
    pub const CONFIRM_PAYMENT: &str = "ConfirmPayment";
    /// Takes the held stock.
    pub const COMMIT_STOCK: &str = "CommitStock";
    /// Takes the money.
    pub const CAPTURE_PAYMENT: &str = "CapturePayment";
    /// Removes what was ordered from the cart.
    pub const CLEAR_CART: &str = "ClearCart";
    /// The undo of [`RESERVE_STOCK`].
    pub const RELEASE_STOCK: &str = "ReleaseStock";
    /// The undo of [`CREATE_PAYMENT`].
    pub const RETURN_PAYMENT: &str = "ReturnPayment";
}

/// The id of an order's workflow: one per order, for ever.
#[must_use]
pub fn workflow_id(order_id: Uuid) -> String {
    format!("order/{order_id}")
}

/// The workflow's input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrderInput {
    /// The order, already recorded as pending.
    pub order_id: Uuid,
    /// Whose order it is.
    pub user_id: Uuid,
    /// ISO 4217 code of every amount here.
    pub currency: String,
    /// The sum of the lines, in minor units: what is authorized and captured.
    pub total_minor: i64,
    /// One per product.
    pub lines: Vec<InputLine>,
    /// The provider's token for the customer's means of payment.
    pub payment_token: String,
    /// The cart to clear afterwards; null when the order was placed by explicit lines.
    pub cart: Option<InputCart>,
    /// Where mail about this order goes; empty when unknown.
    pub email: String,
}

/// One line of [`PlaceOrderInput`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputLine {
    /// The product.
    pub product_id: Uuid,
    /// How many, at least 1.
    pub quantity: u32,
    /// The price of one, in minor units.
    pub unit_price_minor: i64,
}

/// The cart that an order was placed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCart {
    /// Only lines of this version are cleared.
    pub version: u64,
}

impl PlaceOrderInput {
    /// The input of `order`'s workflow, paid by `payment_token`.
    #[must_use]
    pub fn of(order: &Order, payment_token: String) -> PlaceOrderInput {
        PlaceOrderInput {
            order_id: order.id,
            user_id: order.user_id,
            currency: order.total.currency.to_string(),
            total_minor: order.total.minor,
            lines: order
                .lines
                .iter()
                .map(|line| InputLine {
                    product_id: line.product_id,
                    quantity: line.quantity,
                    unit_price_minor: line.unit_price.minor,
                })
                .collect(),
            payment_token,
            cart: order.cart_version.map(|version| InputCart { version }),
            email: order.email.clone(),
        }
    }
}

/// How placing went, as the workflow recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Placement {
    /// Stock is held and the payment authorized.
    Placed,
    /// The customer has to approve the payment at `challenge_url`.
    Challenge,
    /// No order: `reason` says why; stock and money go back.
    Refused,
}

/// The workflow's answer: one history event, the same for everyone who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrderAnswer {
    /// How placing went.
    pub placement: Placement,
    /// Where the customer approves the payment; set with [`Placement::Challenge`].
    #[serde(default, deserialize_with = "null_as_empty")]
    pub challenge_url: String,
    /// The payment, once it exists.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub payment_id: String,
    /// UPPER_SNAKE reason; set with [`Placement::Refused`].
    #[serde(default, deserialize_with = "null_as_empty")]
    pub reason: String,
    /// The same for people.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub message: String,
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/contracts/place_order.md");

    /// The JSON blocks of the contract's page, in order.
    fn examples() -> Vec<&'static str> {
        PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
    }

    #[test]
    fn the_input_reads_and_writes_as_the_page_says() {
        let example: serde_json::Value = serde_json::from_str(examples()[0]).unwrap();
        let input: PlaceOrderInput = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(input.cart, Some(InputCart { version: 7 }));
        assert_eq!(serde_json::to_value(&input).unwrap(), example);
    }

    #[test]
    fn the_page_names_the_steps_and_undos() {
        use step::*;
        let steps = [
            RESERVE_STOCK,
            CREATE_PAYMENT,
            CONFIRM_PAYMENT,
            COMMIT_STOCK,
            CAPTURE_PAYMENT,
            CLEAR_CART,
        ];
        for name in steps {
            assert!(PAGE.contains(&format!("\n| `{name}` |")), "{name}");
        }
        for name in [RELEASE_STOCK, RETURN_PAYMENT] {
            assert!(PAGE.contains(&format!("| `{name}`:")), "{name}");
        }
    }

    #[test]
    fn every_answer_on_the_page_reads() {
        let placements: Vec<Placement> = examples()[1..]
            .iter()
            .map(|example| serde_json::from_str::<PlaceOrderAnswer>(example).unwrap().placement)
            .collect();
        assert_eq!(placements, [Placement::Placed, Placement::Challenge, Placement::Refused]);
    }
}
