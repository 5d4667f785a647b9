//! What staff find an order's run by: search attributes. Their names and values are in docs/contracts/place_order.md.

use super::contract::PlaceOrder;
use super::payment::Outcome;
use crate::engine::Cx;
use crate::engine::attribute::Value;

/// The change of the code that brought search attributes: runs from before it have none.
const CHANGE: &str = "search-attributes";
/// Where the order's money stands.
const PAYMENT: &str = "payment";

/// Whether this run says what it is found by.
pub(super) struct FoundBy<'a> {
    cx: &'a Cx,
    is_found: bool,
}

impl<'a> FoundBy<'a> {
    /// What the order says from the beginning.
    pub(super) fn order(cx: &'a Cx, order: &PlaceOrder) -> Self {
        let is_found = cx.version(CHANGE, 0, 1) > 0;
        if is_found {
            cx.set_attributes([
                ("order", Value::from(order.order_id.to_string())),
                ("customer", Value::from(order.user_id.to_string())),
                ("total_minor", Value::from(order.total_minor)),
                ("currency", Value::from(order.currency.as_str())),
                (PAYMENT, Value::from("pending")),
            ]);
        }
        Self { cx, is_found }
    }

    /// What the provider has said of the payment.
    pub(super) fn confirmed(&self, outcome: Outcome) {
        self.payment(match outcome {
            Outcome::Authorized => "authorized",
            Outcome::Declined => "declined",
            Outcome::RequiresAction => "challenge",
            Outcome::Review => "review",
        });
    }

    /// The money is the shop's.
    pub(super) fn captured(&self) {
        self.payment("captured");
    }

    fn payment(&self, state: &str) {
        if self.is_found {
            self.cx.set_attribute(PAYMENT, state);
        }
    }
}
