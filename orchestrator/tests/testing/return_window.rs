//! An example to copy: thirty days in which a customer may send back what was delivered, tested in milliseconds.
//!
//! The merchant's payout is held meanwhile. On day 20 the customer is reminded; what is sent back is put on the shelf again and
//! refunded; once the window has closed, the merchant is paid.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::{Saga, Signal, View};
use souk_orchestrator::engine::step::{Compensation, Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::saga::{Subject, Trio};
use souk_orchestrator::testing::{Fault, TestEnvironment, Unsynced};

const DAY: Duration = Duration::from_secs(24 * 3600);
const DAY_MS: i64 = 24 * 3600 * 1_000;

// The workflow.

/// How a window ends.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Ending {
    Kept,
    SentBack,
}

/// The parcel has arrived.
#[derive(Serialize, Deserialize)]
struct SentBack;

impl Signal for SentBack {
    const NAME: &'static str = "sent_back";
}

/// Until when something may be sent back.
#[derive(Serialize, Deserialize)]
struct Window {
    closes_ms: i64,
}

impl View for Window {
    const NAME: &'static str = "window";
}

async fn return_window(cx: &Cx, (): ()) -> Result<Ending, Failure> {
    let saga = cx.saga();
    saga.step(HoldPayout).await?;
    let delivered_ms = cx.now_ms();
    let closes_ms = delivered_ms + 30 * DAY_MS;
    cx.publish(&Window { closes_ms });
    let mut parcel = pin!(cx.signal::<SentBack>());
    tokio::select! {
        biased;
        sent_back = &mut parcel => return take_back(&saga, sent_back?).await,
        day_20 = cx.timer_at(delivered_ms + 20 * DAY_MS) => day_20?,
    }
    // A reminder that cannot be sent is no reason to end the window.
    let _ = cx.step(Remind).await;
    tokio::select! {
        biased;
        sent_back = &mut parcel => return take_back(&saga, sent_back?).await,
        closed = cx.timer_at(closes_ms) => closed?,
    }
    saga.step(PayOut).await?;
    Ok(Ending::Kept)
}

async fn take_back(saga: &Saga, _: SentBack) -> Result<Ending, Failure> {
    saga.step(Restock).await?;
    saga.step(Refund).await?;
    Ok(Ending::SentBack)
}

fn registry() -> Registry {
    Registry::new().workflow("return_window", return_window)
}

// Its steps.

fn shop(context: &StepContext) -> Result<&Arc<Shop>, StepError> {
    context.resource()
}

macro_rules! step {
    ($step:ident = $name:literal, undo $undo:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $step;

        impl Step for $step {
            const NAME: &'static str = $name;
            type Output = ();
            type Undo = $undo;

            async fn run(&self, context: &StepContext) -> Result<(), StepError> {
                shop(context)?.act($name, context.effect_key())
            }
        }
    };
}

macro_rules! undo {
    ($undo:ident = $name:literal, of $step:ident) => {
        #[derive(Serialize, Deserialize)]
        struct $undo;

        impl From<&$step> for $undo {
            fn from(_: &$step) -> $undo {
                $undo
            }
        }

        impl Compensation for $undo {
            const NAME: &'static str = $name;

            async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
                shop(context)?.take_back(context.undone_key());
                Ok(())
            }
        }
    };
}

step!(HoldPayout = "hold_payout", undo ReleasePayout);
step!(Remind = "remind", undo Irreversible);
step!(Restock = "restock", undo Unstock);
step!(Refund = "refund", undo CancelRefund);
step!(PayOut = "pay_out", undo CancelPayout);
undo!(ReleasePayout = "release_payout", of HoldPayout);
undo!(Unstock = "unstock", of Restock);
undo!(CancelRefund = "cancel_refund", of Refund);
undo!(CancelPayout = "cancel_payout", of PayOut);

// What they reach: it knows repetitions by the effect key, and refuses a do that comes after its undo.

#[derive(Default)]
struct Shop {
    /// What was done, by effect key; `None` once it is undone.
    acts: Mutex<BTreeMap<String, Option<&'static str>>>,
}

impl Shop {
    fn act(&self, what: &'static str, key: &str) -> Result<(), StepError> {
        match self.acts.lock().entry(key.to_owned()).or_insert(Some(what)) {
            Some(_) => Ok(()),
            None => Err(StepError::permanent("UNDONE", "its undo was here before")),
        }
    }

    fn take_back(&self, key: &str) {
        self.acts.lock().insert(key.to_owned(), None);
    }

    /// What is done and not undone.
    fn done(&self) -> Vec<&'static str> {
        self.acts.lock().values().flatten().copied().collect()
    }
}

// The tests.

/// A world in which nothing has happened yet.
async fn world() -> (TestEnvironment, Arc<Shop>) {
    let shop = Arc::new(Shop::default());
    let builder = TestEnvironment::builder().registry(registry()).resource(shop.clone());
    (builder.open().await, shop)
}

/// A window that has just opened.
async fn open() -> (TestEnvironment, Arc<Shop>) {
    let (environment, shop) = world().await;
    environment.start("w", "return_window", &()).await.unwrap();
    (environment, shop)
}

#[tokio::test]
async fn what_is_kept_is_paid_out_when_the_window_closes() {
    let (environment, shop) = open().await;
    let opened_ms = environment.now_ms();
    assert_eq!(environment.result::<Ending>("w").await, Ending::Kept);
    let late_ms = environment.now_ms() - opened_ms - 30 * DAY_MS;
    assert!((0..1_000).contains(&late_ms), "{late_ms}");
    assert_eq!(shop.done(), ["hold_payout", "pay_out", "remind"]);
}

#[tokio::test]
async fn the_customer_is_reminded_on_day_20_and_not_before() {
    let (environment, shop) = open().await;
    environment.skip(20 * DAY - Duration::from_secs(60)).await;
    assert_eq!(shop.done(), ["hold_payout"]);
    environment.skip(Duration::from_secs(120)).await;
    assert_eq!(shop.done(), ["hold_payout", "remind"]);
}

#[tokio::test]
async fn what_is_sent_back_on_the_last_day_is_refunded_at_once() {
    let (environment, shop) = open().await;
    environment.skip(29 * DAY).await;
    let time = environment.hold_time();
    environment.signal("w", "parcel-1", &SentBack).await.unwrap();
    assert_eq!(environment.result::<Ending>("w").await, Ending::SentBack);
    drop(time);
    assert_eq!(shop.done(), ["hold_payout", "refund", "remind", "restock"]);
}

#[tokio::test]
async fn a_window_outlives_crashes_and_says_when_it_closes() {
    let (mut environment, shop) = open().await;
    let opened_ms = environment.now_ms();
    environment.until("w", "completed hold_payout").await;
    environment.restart(Unsynced::Lost).await;
    environment.skip(10 * DAY).await;
    let window: Window = environment.query("w").await.unwrap();
    assert_eq!(window.closes_ms, opened_ms + 30 * DAY_MS);
    // Nobody is there on the days on which something is due; the next process makes up for it.
    environment.stop();
    environment.skip(40 * DAY).await;
    environment.restart(Unsynced::Lost).await;
    assert_eq!(environment.result::<Ending>("w").await, Ending::Kept);
    assert_eq!(shop.done(), ["hold_payout", "pay_out", "remind"]);
}

#[tokio::test]
async fn a_refund_that_fails_for_good_is_undone_with_all_before_it() {
    let (environment, shop) = open().await;
    environment.faults.always("refund", Fault::Away);
    environment.signal("w", "parcel-1", &SentBack).await.unwrap();
    assert_eq!(environment.end("w").await.failure.unwrap().code, "UNAVAILABLE");
    assert_eq!(shop.done(), [""; 0]);
}

/// One window, kept or sent back, for the trio.
struct Played {
    environment: TestEnvironment,
    shop: Arc<Shop>,
    is_sent_back: bool,
}

impl Subject for Played {
    fn environment(&mut self) -> &mut TestEnvironment {
        &mut self.environment
    }

    async fn play(&self) {
        self.environment.start("w", "return_window", &()).await.unwrap();
        if self.is_sent_back {
            // The run may have failed before the parcel arrives.
            let _ = self.environment.signal("w", "parcel-1", &SentBack).await;
        }
        self.environment.end("w").await;
    }

    fn is_done(&self) -> Result<(), String> {
        let mut done = self.shop.done();
        done.retain(|act| *act != "remind");
        let expected: &[_] = match self.is_sent_back {
            true => &["hold_payout", "refund", "restock"],
            false => &["hold_payout", "pay_out"],
        };
        if done == expected { Ok(()) } else { Err(format!("{done:?}")) }
    }

    fn is_undone(&self) -> Result<(), String> {
        let left = self.shop.done();
        if left.iter().all(|act| *act == "remind") { Ok(()) } else { Err(format!("{left:?}")) }
    }
}

#[tokio::test]
async fn whatever_fails_is_repeated_or_dies_a_window_is_all_done_or_all_undone() {
    for is_sent_back in [true, false] {
        let trio = Trio::new("w", async || {
            let (environment, shop) = world().await;
            Played { environment, shop, is_sent_back }
        });
        let tried = trio.best_effort(["remind"]).all().await.unwrap();
        assert!(tried.crashes > 12, "{tried:?}");
    }
}
