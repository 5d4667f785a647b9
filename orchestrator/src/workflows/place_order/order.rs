//! The order's record, and the cart it came from.

use serde::{Deserialize, Serialize};
use souk_proto::cart::v1::{ClearCartRequest, OrderedLine};
use souk_proto::order::v1::{AppendOrderEventRequest, OrderState};
use souk_proto::time;
use uuid::Uuid;

use super::contract::{Cart, Line, PlaceOrder, WITHDRAWN, message_of, reason_of};
use super::payment::Created;
use super::policy;
use crate::engine::Failure;
use crate::engine::failure::CANCELLED;
use crate::engine::step::{
    Compensation, Irreversible, Policy, Step, StepContext, StepError, UndoneBy,
};
use crate::workflows::rpc::call;

/// svc-order's reasons why an order cannot be cancelled any more.
const LEFT_THE_HOUSE: [&str; 2] = ["ORDER_SHIPPED", "ORDER_DELIVERED"];

/// Owed from the start, so it runs last: the order is cancelled, for the reason that undid everything else.
#[derive(Serialize, Deserialize)]
pub struct CancelOrder {
    order_id: Uuid,
}

impl CancelOrder {
    pub(super) fn of(order: &PlaceOrder) -> Self {
        Self { order_id: order.order_id }
    }
}

impl Compensation for CancelOrder {
    const NAME: &'static str = "CancelOrder";

    fn policy(&self) -> Policy {
        policy::patient()
    }

    async fn run(&self, context: &StepContext, cause: &Failure) -> Result<(), StepError> {
        let request = AppendOrderEventRequest {
            request_id: context.effect_id().to_string(),
            order_id: self.order_id.to_string(),
            state: OrderState::Cancelled.into(),
            reason: reason_of(cause),
            message: message_of(cause),
            ..AppendOrderEventRequest::default()
        };
        call(context, request, |mut p, r| async move { p.order.append_order_event(r).await })
            .await?;
        Ok(())
    }
}

/// Asks svc-order to cancel a paid order, because somebody has cancelled its run.
#[derive(Serialize, Deserialize)]
pub struct WithdrawOrder {
    order_id: Uuid,
}

impl WithdrawOrder {
    pub(super) fn of(order: &PlaceOrder) -> Self {
        Self { order_id: order.order_id }
    }
}

impl Step for WithdrawOrder {
    const NAME: &'static str = "WithdrawOrder";
    /// Whether the order is cancelled now; otherwise the parcel is on its way.
    type Output = bool;
    type Undo = UndoneBy<CancelOrder>;

    fn policy(&self) -> Policy {
        policy::patient()
    }

    async fn run(&self, context: &StepContext) -> Result<bool, StepError> {
        let request = AppendOrderEventRequest {
            request_id: context.effect_id().to_string(),
            order_id: self.order_id.to_string(),
            state: OrderState::Cancelled.into(),
            reason: CANCELLED.to_owned(),
            message: WITHDRAWN.to_owned(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
            ..AppendOrderEventRequest::default()
        };
        let asked =
            call(context, request, |mut p, r| async move { p.order.append_order_event(r).await });
        match asked.await {
            Ok(_) => Ok(true),
            Err(error) if LEFT_THE_HOUSE.contains(&error.code.as_str()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The order may be packed: stock is held and money set aside. Refused when the customer has cancelled meanwhile.
#[derive(Serialize, Deserialize)]
pub struct RecordOrder {
    order_id: Uuid,
    payment_id: Uuid,
}

impl RecordOrder {
    pub(super) fn of(order: &PlaceOrder, payment: &Created) -> Self {
        Self { order_id: order.order_id, payment_id: payment.payment_id }
    }
}

impl Step for RecordOrder {
    const NAME: &'static str = "RecordOrder";
    type Output = ();
    type Undo = UndoneBy<CancelOrder>;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let request = AppendOrderEventRequest {
            request_id: context.effect_id().to_string(),
            order_id: self.order_id.to_string(),
            state: OrderState::Processing.into(),
            payment_id: self.payment_id.to_string(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
            ..AppendOrderEventRequest::default()
        };
        call(context, request, |mut p, r| async move { p.order.append_order_event(r).await })
            .await?;
        Ok(())
    }
}

/// Takes what was ordered out of the cart, and nothing that came into it later.
#[derive(Serialize, Deserialize)]
pub struct ClearCart {
    user_id: Uuid,
    cart: Cart,
    lines: Vec<Line>,
}

impl ClearCart {
    /// `None` for an order that did not come from a cart.
    pub(super) fn of(order: &PlaceOrder) -> Option<Self> {
        let cart = order.cart?;
        Some(Self { user_id: order.user_id, cart, lines: order.lines.clone() })
    }
}

impl Step for ClearCart {
    const NAME: &'static str = "ClearCart";
    type Output = ();
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let lines = self.lines.iter().map(|line| OrderedLine {
            product_id: line.product_id.to_string(),
            quantity: line.quantity,
        });
        let request = ClearCartRequest {
            request_id: context.effect_id().to_string(),
            user_id: self.user_id.to_string(),
            cart_version: self.cart.version,
            lines: lines.collect(),
        };
        call(context, request, |mut p, r| async move { p.cart.clear_cart(r).await }).await?;
        Ok(())
    }
}
