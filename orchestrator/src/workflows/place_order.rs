//! An order, from held stock to the customer's door, or undone to the last cent.
//!
//! svc-order has recorded the order before the run begins and decides alone between cancel, ship and deliver; the run
//! learns of it by signals. Contract of input, answer and step names: docs/contracts/place_order.md.

mod challenge;
mod contract;
mod found_by;
mod order;
mod payment;
mod policy;
mod stock;

use futures::{FutureExt, select_biased};

use challenge::wait_for_customer;
pub use contract::{Answer, Cart, Line, PlaceOrder, Placed};
use contract::{Cancelled, Delivered, Shipped};
use found_by::FoundBy;
use order::{CancelOrder, ClearCart, RecordOrder, WithdrawOrder};
use payment::{CapturePayment, ConfirmPayment, CreatePayment, Outcome, ReturnPayment};
use stock::{CommitStock, ReleaseStock, ReserveStock};

use crate::engine::{Cx, Failure, Registry, Saga};

/// The workflow's type.
pub const TYPE: &str = "place_order";

/// The id of an order's run.
pub fn workflow_id(order_id: &str) -> String {
    format!("order/{order_id}")
}

/// Adds the workflow, and its undo for orders that are reset.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
        .compensation::<CancelOrder>()
        .compensation::<ReleaseStock>()
        .compensation::<ReturnPayment>()
        .workflow(TYPE, place_order)
}

/// Places an order and sees it to its end.
pub async fn place_order(cx: &Cx, order: PlaceOrder) -> Result<Placed, Failure> {
    let saga = cx.saga();
    saga.owe(CancelOrder::of(&order));
    let settled = settle(cx, &saga, &order).await;
    if let Err(failure) = &settled {
        cx.answer(&Answer::refused(failure));
    }
    let placed = settled?;
    see_delivered(cx, &order).await?;
    Ok(placed)
}

/// Stock and money, from held to taken.
async fn settle(cx: &Cx, saga: &Saga, order: &PlaceOrder) -> Result<Placed, Failure> {
    let found_by = FoundBy::order(cx, order);
    let hold = saga.step(ReserveStock::of(order)).await?;
    let payment = saga.step(CreatePayment::of(order)).await?;
    let confirmed = saga.step(ConfirmPayment::of(&payment)).await?;
    found_by.confirmed(confirmed.outcome);
    match confirmed.outcome {
        Outcome::Authorized => {}
        Outcome::Declined => return Err(confirmed.into_refusal()),
        Outcome::RequiresAction => {
            cx.answer(&Answer::challenge(&payment, &confirmed));
            wait_for_customer(cx, saga, &hold, &payment).await?;
        }
        Outcome::Review => wait_for_customer(cx, saga, &hold, &payment).await?,
    }
    found_by.confirmed(Outcome::Authorized);
    cx.answer(&Answer::placed(&payment));

    saga.step(RecordOrder::of(order, &payment)).await?;
    saga.step(CommitStock::of(&hold)).await?;
    saga.step(CapturePayment::of(&payment)).await?;
    found_by.captured();
    if let Some(clear) = ClearCart::of(order) {
        // A cart that keeps what was bought is a nuisance; a paid order that is undone for it would be worse.
        let _ = saga.step(clear).await;
    }
    Ok(Placed { reservation_id: hold.reservation_id, payment_id: payment.payment_id })
}

/// Until the parcel is with the customer, or the order is cancelled before it leaves.
///
/// Money and stock go back only when svc-order has cancelled the order, for a parcel may be on its way by now: someone
/// who cancels the run has svc-order asked, and hears the answer like everybody else.
async fn see_delivered(cx: &Cx, order: &PlaceOrder) -> Result<(), Failure> {
    let steady = cx.shielded();
    let asked = select_biased! {
        cancelled = steady.signal::<Cancelled>().fuse() => return Err(cancelled?.into()),
        shipped = steady.signal::<Shipped>().fuse() => { shipped?; None }
        reason = cx.cancelled().fuse() => Some(reason),
    };
    if let Some(reason) = asked {
        if let Ok(true) = steady.step(WithdrawOrder::of(order)).await {
            return Err(Failure::cancelled(&reason));
        }
        select_biased! {
            cancelled = steady.signal::<Cancelled>().fuse() => return Err(cancelled?.into()),
            shipped = steady.signal::<Shipped>().fuse() => { shipped?; }
        }
    }
    steady.signal::<Delivered>().await?;
    Ok(())
}
