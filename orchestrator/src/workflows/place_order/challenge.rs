//! The wait for a payment that the bank's challenge, or a review, holds up.

use std::time::Duration;

use futures::{FutureExt, select_biased};

use super::contract::{Cancelled, PaymentResolved};
use super::payment::{CancelIfUnpaid, ConfirmPayment, Created, Outcome};
use super::stock::{ExtendHold, Hold};
use crate::engine::{Cx, Failure, Saga};

/// How long a customer has to pass the bank's challenge, or a person to review.
const CHALLENGE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How often the provider is asked meanwhile: soon at first, then ever more rarely.
const FIRST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// Until the payment is authorized: the hold is kept alive; a refusal, a cancellation or the time limit ends it.
pub(super) async fn wait_for_customer(
    cx: &Cx,
    saga: &Saga,
    hold: &Hold,
    payment: &Created,
) -> Result<(), Failure> {
    let mut limit = cx.sleep(CHALLENGE_LIMIT).fuse();
    let mut pause = FIRST_POLL;
    loop {
        select_biased! {
            cancelled = cx.signal::<Cancelled>().fuse() => return Err(cancelled?.into()),
            over = limit => { over?; return give_up(saga, payment).await; }
            resolved = cx.signal::<PaymentResolved>().fuse() => { resolved?; }
            slept = cx.sleep(pause).fuse() => slept?,
        }
        saga.step(ExtendHold::of(hold)).await?;
        let confirmed = saga.step(ConfirmPayment::of(payment)).await?;
        match confirmed.outcome {
            Outcome::Authorized => return Ok(()),
            Outcome::Declined => return Err(confirmed.into_refusal()),
            Outcome::RequiresAction | Outcome::Review => {}
        }
        pause = (pause * 3 / 2).min(LONGEST_POLL);
    }
}

/// The provider first: what it says last is what counts, and only then is stock given back.
async fn give_up(saga: &Saga, payment: &Created) -> Result<(), Failure> {
    let last = saga.step(CancelIfUnpaid::of(payment)).await?;
    match last.outcome {
        Outcome::Authorized => Ok(()),
        Outcome::Declined | Outcome::RequiresAction | Outcome::Review => Err(last.into_refusal()),
    }
}
