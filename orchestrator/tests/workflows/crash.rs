//! The orchestrator dies at every append of an order's way, in every way, and the next one brings the order to its end.

use std::collections::{BTreeMap, BTreeSet};

use souk_orchestrator::engine::Error;
use souk_orchestrator::engine::log::sim::{Fault as DiskFault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;

use super::faults::Fault;
use super::world::{World, id, order};

/// A way that an order takes.
#[derive(Clone, Copy, Debug)]
struct Story {
    token: &'static str,
    /// This step loses all its replies.
    broken: Option<&'static str>,
    is_cancelled: bool,
}

const STORIES: [Story; 4] = [
    Story { token: "tok_visa", broken: None, is_cancelled: false },
    Story { token: "tok_visa", broken: Some("CapturePayment"), is_cancelled: false },
    Story { token: "tok_3ds", broken: None, is_cancelled: false },
    Story { token: "tok_visa", broken: None, is_cancelled: true },
];

const DEATHS: [(DiskFault, Unsynced); 4] = [
    (DiskFault::CrashBefore, Unsynced::Lost),
    (DiskFault::CrashDuring, Unsynced::Lost),
    (DiskFault::CrashDuring, Unsynced::Kept),
    (DiskFault::CrashAfter, Unsynced::Lost),
];

/// What one life of the process acknowledged.
#[derive(Default)]
struct Acknowledged {
    is_started: bool,
    signals: BTreeSet<&'static str>,
}

async fn tell(world: &World, name: &'static str, acknowledged: &mut Acknowledged) {
    match world.signal(name, name).await {
        Ok(_) => drop(acknowledged.signals.insert(name)),
        Err(Error::Closed { .. }) => {}
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What customer, bank and warehouse do, over and over until the process dies or the order has come to its end.
async fn drive(world: &World, story: Story, acknowledged: &mut Acknowledged) {
    world.place(&order(story.token)).await;
    acknowledged.is_started = true;
    if story.token == "tok_3ds" {
        assert_eq!(world.answer().await["placement"], "CHALLENGE");
        let waits = |state: &PaymentState| *state == PaymentState::RequiresAction;
        if world.shop.books().payments.values().any(|payment| waits(&payment.state)) {
            world.shop.decide_payment(PaymentState::Authorized);
        }
        tell(world, "payment_resolved", acknowledged).await;
    }
    if story.is_cancelled {
        world.until("completed CapturePayment").await;
        world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
        tell(world, "cancelled", acknowledged).await;
    } else {
        tell(world, "shipped", acknowledged).await;
        tell(world, "delivered", acknowledged).await;
    }
    world.end().await;
}

/// Goes through a story, dying on the way as planned. Returns whether each death came.
async fn live(
    story: Story,
    plan: &[(u64, DiskFault)],
    unsynced: Unsynced,
    seed: u64,
) -> (World, bool) {
    let mut world = World::new(seed).await;
    if let Some(step) = story.broken {
        world.shop.faults.always(step, Fault::LoseReply);
    }
    let mut acknowledged = Acknowledged::default();
    let mut has_died = true;
    for (nth, fault) in plan {
        world.disk.inject(Operation::Append, *nth, fault.clone());
        let disk = world.disk.clone();
        has_died &= tokio::select! {
            biased;
            () = disk.crashed() => true,
            () = drive(&world, story, &mut acknowledged) => false,
        };
        world.restart(unsynced).await;
        if acknowledged.is_started {
            assert!(world.engine.describe(&id()).await.is_ok(), "an acknowledged order is lost");
        }
        for name in &acknowledged.signals {
            let line = format!("signal {name}");
            assert!(world.outline().await.contains(&line), "an acknowledged {line} is lost");
        }
    }
    drive(&world, story, &mut acknowledged).await;
    (world, has_died)
}

async fn check(world: &World, story: Story) {
    let state = world.end().await.state;
    if story.broken.is_some() || story.is_cancelled {
        assert_eq!(state, RunState::Failed, "{story:?}");
        world.check_clean();
    } else {
        assert_eq!(state, RunState::Completed, "{story:?}");
        world.check_done();
    }
    // Whatever died, a step has one key, so that its participant knows it again.
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in world.shop.calls() {
        keys.entry(call.step).or_default().insert(call.request_id);
    }
    for (step, keys) in keys {
        let is_asked_again =
            story.token == "tok_3ds" && ["ConfirmPayment", "ExtendHold"].contains(&step.as_str());
        assert!(keys.len() == 1 || is_asked_again, "{story:?}: {step} under {keys:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_dies_at_any_append_finishes_every_order_once() {
    let mut points = 0;
    for story in STORIES {
        for (fault, unsynced) in DEATHS {
            for nth in 0.. {
                let (world, has_died) = live(story, &[(nth, fault.clone())], unsynced, nth).await;
                check(&world, story).await;
                if !has_died {
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 4 * 4 * 8, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_dies_again_and_again_finishes_every_order_once() {
    for story in STORIES {
        for first in 0..12 {
            for second in 0..6 {
                let plan = [
                    (first, DiskFault::CrashAfter),
                    (second, DiskFault::CrashDuring),
                    (second, DiskFault::CrashBefore),
                ];
                let seed = first * 10 + second;
                let (world, _) = live(story, &plan, Unsynced::SeededPrefix, seed).await;
                check(&world, story).await;
            }
        }
    }
}
