//! The toy saga: money goes from one account to another, with a fee, and someone is told.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::{Signal, Update, View};
use souk_orchestrator::engine::step::{
    Compensation, Irreversible, Policy, Step, StepContext, StepError, UndoneBy,
};
use souk_orchestrator::engine::{Cx, Failure, Registry};

use super::bank::Bank;

/// What a transfer is started with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transfer {
    pub amount: i64,
    /// Wait for the signal `confirm` before the money moves on.
    pub confirm: bool,
    /// The workflow itself refuses after all steps.
    pub refuse: bool,
}

fn bank(context: &StepContext) -> Result<Arc<Bank>, StepError> {
    context.resource::<Arc<Bank>>().cloned()
}

macro_rules! compensation {
    ($(#[$doc:meta])* $name:ident = $label:literal) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        pub struct $name {
            pub amount: i64,
        }

        impl Compensation for $name {
            const NAME: &'static str = $label;

            fn policy(&self) -> Policy {
                Policy { attempts: 3, ..Policy::compensation() }
            }

            async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
                bank(context)?.undo($label, context).await
            }
        }
    };
}

macro_rules! step {
    ($(#[$doc:meta])* $name:ident = $label:literal, undo $undo:ty) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        pub struct $name {
            pub amount: i64,
        }

        impl Step for $name {
            const NAME: &'static str = $label;
            type Output = String;
            type Undo = $undo;

            fn policy(&self) -> Policy {
                Policy { attempts: 3, ..Policy::step() }
            }

            async fn run(&self, context: &StepContext) -> Result<String, StepError> {
                bank(context)?.execute($label, context).await
            }
        }
    };
}

compensation!(/** Closes what the caller opened. */ CloseCase = "close_case");
compensation!(/** Undoes [`Withdraw`]. */ GiveBack = "give_back");
compensation!(/** Undoes [`Deposit`]. */ TakeBack = "take_back");
step!(/** Takes the money. */ Withdraw = "withdraw", undo GiveBack);
step!(/** Gives the money. */ Deposit = "deposit", undo TakeBack);
step!(/** Writes it down. */ Book = "book", undo UndoneBy<TakeBack>);
step!(/** Tells people. */ Announce = "announce", undo Irreversible);

impl From<&Withdraw> for GiveBack {
    fn from(step: &Withdraw) -> GiveBack {
        GiveBack { amount: step.amount }
    }
}

impl From<&Deposit> for TakeBack {
    fn from(step: &Deposit) -> TakeBack {
        TakeBack { amount: step.amount }
    }
}

/// A signal: the customer has confirmed.
#[derive(Debug, Deserialize)]
pub struct Confirm;

impl Signal for Confirm {
    const NAME: &'static str = "confirm";
}

/// An update: another amount.
#[derive(Debug, Serialize, Deserialize)]
pub struct Raise {
    pub by: i64,
}

impl Update for Raise {
    const NAME: &'static str = "raise";
    type Answer = i64;
}

pub async fn transfer(cx: &Cx, order: Transfer) -> Result<String, Failure> {
    let saga = cx.saga();
    let amount = order.amount;
    saga.owe(CloseCase { amount });
    let receipt = saga.step(Withdraw { amount }).await?;
    cx.answer(&format!("held {receipt}"));
    if order.confirm {
        cx.signal::<Confirm>().await?;
    }
    saga.step(Deposit { amount }).await?;
    saga.step(Book { amount }).await?;
    // Nobody needs to hear of it for the transfer to stand.
    let _ = cx.step(Announce { amount }).await;
    if order.refuse {
        return Err(Failure::new("REFUSED_AT_LAST", "the workflow does not like it"));
    }
    Ok(receipt)
}

/// Waits for a time, then moves the money.
pub async fn later(cx: &Cx, after: Duration) -> Result<i64, Failure> {
    cx.sleep(after).await?;
    cx.step(Withdraw { amount: 1 }).await?;
    Ok(cx.now_ms())
}

/// What a negotiation shows of itself.
#[derive(Serialize)]
pub struct Standing {
    pub amount: i64,
    pub raises: u32,
}

impl View for Standing {
    const NAME: &'static str = "standing";
}

/// Takes updates until it is told to end.
pub async fn negotiation(cx: &Cx, mut amount: i64) -> Result<i64, Failure> {
    let mut raises = cx.updates(|raise: &Raise| match raise.by {
        by if by > 0 => Ok(()),
        _ => Err(Failure::new("NOT_A_RAISE", "only more is more")),
    });
    let mut count = 0;
    loop {
        cx.publish(&Standing { amount, raises: count });
        tokio::select! {
            biased;
            raise = raises.receive() => {
                let raise = raise?;
                if raise.update.by > 1000 {
                    cx.step(Announce { amount }).await?;
                    raise.fail(&Failure::new("TOO_MUCH", "nobody pays that"));
                    continue;
                }
                amount += raise.update.by;
                count += 1;
                raise.answer(&amount);
            }
            confirmed = cx.signal::<Confirm>() => {
                confirmed?;
                return Ok(amount);
            }
        }
    }
}

/// A signal: a word.
#[derive(Debug, Deserialize)]
pub struct Word(String);

impl Signal for Word {
    const NAME: &'static str = "word";
}

/// Gathers some words, and lingers between them.
pub async fn gather(cx: &Cx, count: usize) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    while words.len() < count {
        words.push(cx.signal::<Word>().await?.0);
        cx.sleep(Duration::from_millis(5)).await?;
    }
    Ok(words)
}

pub fn registry() -> Registry {
    Registry::new()
        .compensation::<CloseCase>()
        .compensation::<GiveBack>()
        .compensation::<TakeBack>()
        .workflow("transfer", transfer)
        .workflow("later", later)
        .workflow("negotiation", negotiation)
        .workflow("gather", gather)
}
