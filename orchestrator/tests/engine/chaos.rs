//! Seeded chaos: many runs, participants that fail as they like, a process that dies at random; then everything is mended and
//! all must converge. Some of the runs are parents, whose children are what all the others are.

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Compensation, StepContext, StepError};
use souk_orchestrator::engine::{ChildWorkflow, Cx, Failure, Registry, StartRequest};

use super::bank::{Bank, Behaviour};
use super::transfer::{self, Transfer, Withdraw};
use super::world::{World, quick};

const STEPS: [&str; 8] =
    ["withdraw", "deposit", "book", "announce", "give_back", "take_back", "close_case", "call_off"];
const LIVES: u64 = 4;
const RUNS: usize = 12;
/// Parents, besides.
const PARENTS: usize = 4;

/// A transfer as a part of something.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Errand(Transfer);

impl ChildWorkflow for Errand {
    const TYPE: &'static str = "transfer";
    type Output = String;
    type Undo = CallOff;
}

/// Undoes an errand that was done.
#[derive(Serialize, Deserialize)]
struct CallOff;

impl From<&Errand> for CallOff {
    fn from(_: &Errand) -> CallOff {
        CallOff
    }
}

impl Compensation for CallOff {
    const NAME: &'static str = "call_off";

    async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
        context.resource::<std::sync::Arc<Bank>>()?.undo("call_off", context).await
    }
}

/// Takes money, has an errand done, and refuses in the end if it is to.
async fn parent(cx: &Cx, (errand, refuses): (Errand, bool)) -> Result<String, Failure> {
    let saga = cx.saga();
    saga.step(Withdraw { amount: 1 }).await?;
    let receipt = saga.child(errand).await?;
    match refuses {
        true => Err(Failure::new("REFUSED_AT_LAST", "the parent does not like it")),
        false => Ok(receipt),
    }
}

fn registry() -> Registry {
    transfer::registry().workflow("parent", parent)
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

fn behaviour(random: &mut StdRng) -> Behaviour {
    match random.random_range(0..6) {
        0 => Behaviour::Fail,
        1 => Behaviour::LoseReply,
        2 => Behaviour::Permanent,
        3 => Behaviour::Refuse,
        4 => Behaviour::Hang,
        _ => Behaviour::FailFor(random.random_range(1..20_000)),
    }
}

fn fault(random: &mut StdRng) -> (Operation, u64, Fault) {
    let operation = match random.random_range(0..4) {
        0 => Operation::Apply,
        1 => Operation::Sync,
        _ => Operation::Append,
    };
    let fault = match random.random_range(0..4) {
        0 => Fault::CrashBefore,
        1 => Fault::CrashDuring,
        2 => Fault::CrashAfter,
        _ => Fault::Slow(Duration::from_millis(random.random_range(1..500))),
    };
    (operation, random.random_range(0..30), fault)
}

fn name(number: usize) -> String {
    if number < RUNS { format!("run{number}") } else { format!("parent{}", number - RUNS) }
}

/// Any run, its child where it has one.
fn any_run(random: &mut StdRng) -> (usize, String) {
    let number = random.random_range(0..RUNS + PARENTS);
    let is_child = number >= RUNS && random.random();
    (number, if is_child { child(number) } else { name(number) })
}

fn child(number: usize) -> String {
    format!("{}/transfer/1", name(number))
}

async fn start(world: &World, number: usize) -> bool {
    let order = Transfer { amount: 1, confirm: number.is_multiple_of(3), refuse: number % 4 == 1 };
    let request = match number < RUNS {
        true => StartRequest::new(name(number), "transfer", &order),
        false => StartRequest::new(name(number), "parent", &(Errand(order), number % 4 == 2)),
    };
    let request = request.unwrap();
    world.engine.start(request).await.is_ok()
}

/// One life: runs are started, signalled and cancelled at random until the disk dies or it is enough.
async fn live(world: &World, random: &mut StdRng, acknowledged: &mut Vec<usize>) {
    for _ in 0..(RUNS + PARENTS) * 2 {
        let (number, id) = any_run(random);
        match random.random_range(0..8) {
            3 => drop(world.engine.pause(&id, "chaos").await),
            4 => drop(world.engine.resume(&id, "chaos").await),
            0 => drop(world.engine.cancel(&id, "chaos").await),
            1 => drop(world.signal(&id, "confirm", "1").await),
            2 => drop(world.engine.retry_step(&id).await),
            _ => {
                if start(world, number).await {
                    acknowledged.push(number);
                }
            }
        }
        world.pass(Duration::from_millis(random.random_range(0..2_000))).await;
    }
}

async fn chaos(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = world(seed).await;
    let mut acknowledged = Vec::new();
    for _ in 0..LIVES {
        for step in STEPS {
            let count = random.random_range(0..6);
            let behaviours: Vec<Behaviour> = (0..count).map(|_| behaviour(&mut random)).collect();
            world.bank.next(step, &behaviours);
        }
        let (operation, nth, fault) = fault(&mut random);
        world.disk.inject(operation, nth, fault);
        let disk = world.disk.clone();
        tokio::select! {
            biased;
            () = disk.crashed() => {}
            () = live(&world, &mut random, &mut acknowledged) => {}
        }
        let unsynced = match random.random_range(0..3) {
            0 => Unsynced::Lost,
            1 => Unsynced::SeededPrefix,
            _ => Unsynced::Kept,
        };
        world.restart_with(unsynced, registry()).await;
    }
    converge(&world, &acknowledged).await;
}

/// From here on everything works, and all must end.
async fn converge(world: &World, acknowledged: &[usize]) {
    world.bank.calm();
    for number in 0..RUNS + PARENTS {
        let id = name(number);
        let is_known = world.engine.describe(&id).await.is_ok();
        assert!(is_known || !acknowledged.contains(&number), "{id} was acknowledged and is lost");
        assert!(start(world, number).await);
        let mut looks = 0;
        while !world.row(&id).await.state().is_closed() {
            push(world, &id).await;
            if number >= RUNS {
                push(world, &child(number)).await;
            }
            world.pass(Duration::from_secs(1)).await;
            looks += 1;
            assert!(looks < 1_000, "{id} does not end: {:?}", world.row(&id).await);
        }
        match number < RUNS {
            true => drop(is_all_or_nothing(world, &id, &["withdraw", "deposit"]).await),
            false => is_as_its_child_is(world, number).await,
        }
    }
}

/// It may be paused, wait for the signal, be parked, or have ended; and a child may not be there.
async fn push(world: &World, id: &str) {
    let _ = world.engine.resume(id, "enough").await;
    let _ = world.signal(id, "confirm", "1").await;
    let _ = world.engine.retry_step(id).await;
}

/// Whether a run has completed. What it did is done once then, and undone otherwise.
async fn is_all_or_nothing(world: &World, id: &str, steps: &[&str]) -> bool {
    let row = world.row(id).await;
    assert!(row.state().is_closed() && row.state() != RunState::Terminated, "{row:?}");
    assert_eq!(row.stuck_code, "");
    let is_done = row.state() == RunState::Completed;
    assert!(is_done || row.open_undo == 0, "{row:?}");
    assert!(row.open_children.is_empty(), "{row:?}");
    for step in steps {
        let effect = world.bank.effect(&format!("{id}/{step}/1"));
        let net = effect.done - effect.undone;
        assert!(effect.done <= 1, "{id} {step}: {effect:?}");
        assert_eq!(net, u32::from(is_done), "{id} {step}: {effect:?} {:?}", row.state());
    }
    is_done
}

/// A parent that has completed has a child that has; of one that has not, nothing is left.
async fn is_as_its_child_is(world: &World, number: usize) {
    let is_done = is_all_or_nothing(world, &name(number), &["withdraw"]).await;
    let child = child(number);
    let is_known = world.engine.describe(&child).await.is_ok();
    // A parent that has ended has waited for its child.
    let is_child_done =
        is_known && is_all_or_nothing(world, &child, &["withdraw", "deposit"]).await;
    assert!(is_child_done || !is_done, "{child}");
    let is_called_off = world.bank.effect(&child).tombstone;
    assert_eq!(is_called_off, is_child_done && !is_done, "{child}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_run_is_all_done_or_all_undone(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(chaos(seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = world(99).await;
            let mut random = StdRng::seed_from_u64(99);
            live(&world, &mut random, &mut Vec::new()).await;
            (world.bank.journal(), world.now_ms(), world.disk.count(Operation::Append))
        })
    };
    assert_eq!(course(), course());
}
