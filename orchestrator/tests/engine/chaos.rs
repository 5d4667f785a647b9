//! Seeded chaos: many runs, participants that fail as they like, a process that dies at random; then everything is mended and
//! all must converge.

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::StartRequest;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;

use super::bank::Behaviour;
use super::transfer::Transfer;
use super::world::World;

const STEPS: [&str; 7] =
    ["withdraw", "deposit", "book", "announce", "give_back", "take_back", "close_case"];
const LIVES: u64 = 4;
const RUNS: usize = 12;

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
    format!("run{number}")
}

async fn start(world: &World, number: usize) -> bool {
    let order = Transfer { amount: 1, confirm: number.is_multiple_of(3), refuse: number % 4 == 1 };
    let request = StartRequest::new(name(number), "transfer", &order).unwrap();
    world.engine.start(request).await.is_ok()
}

/// One life: runs are started, signalled and cancelled at random until the disk dies or it is enough.
async fn live(world: &World, random: &mut StdRng, acknowledged: &mut Vec<usize>) {
    for _ in 0..RUNS * 2 {
        let number = random.random_range(0..RUNS);
        match random.random_range(0..8) {
            3 => drop(world.engine.pause(&name(number), "chaos").await),
            4 => drop(world.engine.resume(&name(number), "chaos").await),
            0 => drop(world.engine.cancel(&name(number), "chaos").await),
            1 => drop(world.signal(&name(number), "confirm", "1").await),
            2 => drop(world.engine.retry_step(&name(number)).await),
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
    let mut world = World::new(seed).await;
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
        world.restart(unsynced).await;
    }
    converge(&world, &acknowledged).await;
}

/// From here on everything works, and all must end.
async fn converge(world: &World, acknowledged: &[usize]) {
    world.bank.calm();
    for number in 0..RUNS {
        let is_known = world.engine.describe(&name(number)).await.is_ok();
        assert!(
            is_known || !acknowledged.contains(&number),
            "run{number} was acknowledged and is lost"
        );
        assert!(start(world, number).await);
        let id = name(number);
        if world.row(&id).await.state() == RunState::Paused {
            world.engine.resume(&id, "enough").await.unwrap();
        }
        // It may wait for the signal, be parked already, or have ended.
        let _ = world.signal(&id, "confirm", "1").await;
        let mut looks = 0;
        while !world.row(&id).await.state().is_closed() {
            let _ = world.engine.retry_step(&id).await;
            world.pass(Duration::from_secs(1)).await;
            looks += 1;
            assert!(looks < 1_000, "{id} does not end: {:?}", world.row(&id).await);
        }
        let row = world.row(&id).await;
        assert_ne!(row.state(), RunState::Terminated);
        assert_eq!(row.stuck_code, "");
        let is_done = row.state() == RunState::Completed;
        assert!(is_done || row.open_undo == 0, "{row:?}");
        for step in ["withdraw", "deposit"] {
            let effect = world.bank.effect(&format!("{id}/{step}/1"));
            let net = effect.done - effect.undone;
            assert!(effect.done <= 1, "{id} {step}: {effect:?}");
            assert_eq!(net, u32::from(is_done), "{id} {step}: {effect:?} {:?}", row.state());
        }
    }
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
            let world = World::new(99).await;
            let mut random = StdRng::seed_from_u64(99);
            live(&world, &mut random, &mut Vec::new()).await;
            (world.bank.journal(), world.now_ms(), world.disk.count(Operation::Append))
        })
    };
    assert_eq!(course(), course());
}
