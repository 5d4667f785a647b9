//! An order, from held stock to the customer's door, or undone to the last cent.
//!
//! svc-order has recorded the order before the run begins and decides alone between cancel, ship and deliver; the run
//! learns of it by signals. Contract of input, answer and step names: docs/contracts/place_order.md.

mod contract;
mod order;
mod payment;
mod stock;

use std::time::Duration;

use futures::{FutureExt, select_biased};

pub use contract::{Answer, Cart, Line, PlaceOrder, Placed};
use contract::{Cancelled, Delivered, PaymentResolved, Shipped};
use order::{CancelOrder, ClearCart, RecordOrder};
use payment::{
    CancelIfUnpaid, CapturePayment, ConfirmPayment, Confirmation, CreatePayment, Outcome,
};
use stock::{CommitStock, ExtendHold, ReserveStock};

use crate::engine::step::Policy;
use crate::engine::{Cx, Failure, Saga};

/// The workflow's type.
pub const TYPE: &str = "place_order";

/// The id of an order's run.
pub fn workflow_id(order_id: &str) -> String {
    format!("order/{order_id}")
}

/// How long a customer has to pass the bank's challenge, or a person to review.
const CHALLENGE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How often the provider is asked meanwhile: soon at first, then ever more rarely.
const FIRST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// The longest reason and message that participants take, in characters.
const MAX_REASON_CHARS: usize = 100;
const MAX_MESSAGE_CHARS: usize = 500;

/// The policy of steps that a customer waits for: the first tries come quickly.
fn prompt() -> Policy {
    Policy { initial: Duration::from_millis(250), attempts: 10, ..Policy::step() }
}

fn shortened(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
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

    select_biased! {
        cancelled = cx.signal::<Cancelled>().fuse() => return Err(cancelled?.into()),
        shipped = cx.signal::<Shipped>().fuse() => shipped?,
    };
    // What has left the house is not undone by anything that happens to the run.
    cx.shielded().signal::<Delivered>().await?;
    Ok(placed)
}

/// Stock and money, from held to taken.
async fn settle(cx: &Cx, saga: &Saga, order: &PlaceOrder) -> Result<Placed, Failure> {
    let hold = saga.step(ReserveStock::of(order)).await?;
    let payment = saga.step(CreatePayment::of(order)).await?;
    let confirmed = saga.step(ConfirmPayment::of(&payment)).await?;
    match confirmed.outcome {
        Outcome::Authorized => {}
        Outcome::Declined => return Err(confirmed.into_refusal()),
        Outcome::RequiresAction | Outcome::Review => {
            if confirmed.outcome == Outcome::RequiresAction {
                cx.answer(&Answer::challenge(&payment, &confirmed));
            }
            wait_for_customer(cx, saga, &hold, &payment).await?;
        }
    }
    cx.answer(&Answer::placed(&payment));

    saga.step(RecordOrder::of(order, &payment)).await?;
    saga.step(CommitStock::of(&hold)).await?;
    saga.step(CapturePayment::of(&payment)).await?;
    if let Some(clear) = ClearCart::of(order) {
        // A cart that keeps what was bought is a nuisance; a paid order that is undone for it would be worse.
        let _ = saga.step(clear).await;
    }
    Ok(Placed { reservation_id: hold.reservation_id, payment_id: payment.payment_id })
}

/// Until the payment is authorized: the hold is kept alive; a refusal, a cancellation or the time limit ends it.
async fn wait_for_customer(
    cx: &Cx,
    saga: &Saga,
    hold: &stock::Hold,
    payment: &payment::Created,
) -> Result<(), Failure> {
    let mut limit = cx.sleep(CHALLENGE_LIMIT).fuse();
    let mut pause = FIRST_POLL;
    loop {
        let mut in_time = true;
        select_biased! {
            cancelled = cx.signal::<Cancelled>().fuse() => return Err(cancelled?.into()),
            resolved = cx.signal::<PaymentResolved>().fuse() => { resolved?; }
            over = limit => { over?; in_time = false; }
            slept = cx.sleep(pause).fuse() => slept?,
        }
        let confirmed: Confirmation = if in_time {
            saga.step(ExtendHold::of(hold)).await?;
            saga.step(ConfirmPayment::of(payment)).await?
        } else {
            // The provider first: what it says last is what counts, and only then is stock given back.
            saga.step(CancelIfUnpaid::of(payment)).await?
        };
        match confirmed.outcome {
            Outcome::Authorized => return Ok(()),
            Outcome::Declined => return Err(confirmed.into_refusal()),
            Outcome::RequiresAction | Outcome::Review => {}
        }
        pause = (pause * 3 / 2).min(LONGEST_POLL);
    }
}
