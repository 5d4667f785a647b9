//! Several slots in flight: nothing is acknowledged behind one that is not durable, whatever became of those that follow.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::Error;
use souk_orchestrator::engine::ids::{LogId, Slot};
use souk_orchestrator::engine::log::Log;
use souk_orchestrator::engine::log::sim::{Fault, Operation, SimLog, Unsynced};
use souk_orchestrator::engine::row::RunState;

use super::transfer::Transfer;
use super::world::World;

const IN_FLIGHT: usize = 4;
const RUNS: u64 = 24;

/// A world on a log that takes several slots at once, and the bytes of a SEAL.
async fn world(seed: u64) -> (World, Bytes) {
    let mut world = World::new(seed).await;
    world.disk.set_slots_in_flight(IN_FLIGHT);
    world.disk.set_sync_latency(Duration::from_millis(5));
    world.restart(Unsynced::Kept).await;
    let first = SimLog::new(&world.disk).read(LogId(1), Slot(0), usize::MAX).await.unwrap();
    (world, first.last().unwrap().bytes.clone())
}

fn name(number: u64) -> String {
    format!("run{number}")
}

/// Starts the runs a while after each other, so that they come into different slots, and notes which are acknowledged.
async fn start_all(world: &World, every: Duration, acknowledged: &Mutex<BTreeSet<u64>>) {
    let starts = (0..RUNS).map(|number| async move {
        tokio::time::sleep(every * number as u32).await;
        if world.start(&name(number), &Transfer::default()).await.is_ok() {
            acknowledged.lock().insert(number);
        }
    });
    join_all(starts).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_durable_behind_a_slow_slot_is_acknowledged_after_it() {
    let (world, _) = world(1).await;
    let begun = world.disk.count(Operation::Append);
    world.disk.inject(Operation::Append, begun + 2, Fault::Slow(Duration::from_secs(10)));
    let acknowledged = Mutex::default();
    let mut starts = Box::pin(start_all(&world, Duration::from_millis(1), &acknowledged));
    tokio::select! {
        () = &mut starts => panic!("the third slot takes ten seconds"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    assert_eq!(world.disk.count(Operation::Append) - begun, 2 + IN_FLIGHT as u64);
    assert_eq!(*acknowledged.lock(), BTreeSet::from([0, 1]));
    starts.await;
    assert_eq!(acknowledged.lock().len() as u64, RUNS);
}

#[tokio::test(start_paused = true)]
async fn what_is_durable_behind_a_gap_is_void() {
    let (mut world, _) = world(2).await;
    let begun = world.disk.count(Operation::Append);
    world.disk.inject(Operation::Append, begun + 2, Fault::Slow(Duration::from_secs(10)));
    let acknowledged = Mutex::default();
    tokio::select! {
        () = start_all(&world, Duration::from_millis(1), &acknowledged) => panic!("too fast"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    // The slots behind the gap are on the disk, and stay there.
    world.restart(Unsynced::Kept).await;
    for number in 0..RUNS {
        let known = world.engine.describe(&name(number)).await;
        match number {
            0 | 1 => drop(known.unwrap()),
            _ => assert!(matches!(known, Err(Error::NotFound(_))), "{number}: {known:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_lost_takes_all_that_follow_with_it() {
    let (mut world, seal) = world(3).await;
    let begun = world.disk.count(Operation::Append);
    // Those behind it are durable long before it is known that this one is lost.
    world.disk.inject(Operation::Append, begun + 1, Fault::Slow(Duration::from_secs(1)));
    world.disk.inject(Operation::Append, begun + 2, Fault::Fenced(seal));
    let acknowledged = Mutex::default();
    start_all(&world, Duration::from_millis(1), &acknowledged).await;
    world.engine.fenced().await;
    assert_eq!(*acknowledged.lock(), BTreeSet::from([0, 1]));
    world.restart(Unsynced::Kept).await;
    assert!(world.engine.describe(&name(1)).await.is_ok());
    assert!(matches!(world.engine.describe(&name(3)).await, Err(Error::NotFound(_))));
}

fn fault(random: &mut StdRng, seal: &Bytes) -> Fault {
    match random.random_range(0..9) {
        0..3 => Fault::Slow(Duration::from_millis(random.random_range(1..400))),
        3 | 4 => Fault::UnknownApplied,
        5 | 6 => Fault::UnknownNotApplied,
        7 => Fault::Fenced(seal.clone()),
        _ => [Fault::CrashBefore, Fault::CrashDuring, Fault::CrashAfter][random.random_range(0..3)]
            .clone(),
    }
}

/// Slow, unknown, lost and dying in any order: what was acknowledged is there, and everything can be finished.
#[tokio::test(start_paused = true)]
async fn nothing_that_was_acknowledged_is_ever_behind_a_gap() {
    let mut deaths = 0;
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut world, seal) = world(seed).await;
        let begun = world.disk.count(Operation::Append);
        for _ in 0..random.random_range(1..7) {
            let nth = begun + random.random_range(0..30);
            world.disk.inject(Operation::Append, nth, fault(&mut random, &seal));
        }
        let acknowledged = Mutex::default();
        let every = Duration::from_micros(random.random_range(0..4_000));
        tokio::select! {
            biased;
            () = world.disk.crashed() => deaths += 1,
            () = world.engine.fenced() => deaths += 1,
            () = start_all(&world, every, &acknowledged) => {}
        }
        let unsynced = [Unsynced::Lost, Unsynced::SeededPrefix, Unsynced::Kept];
        world.restart(unsynced[random.random_range(0..3)]).await;
        for number in acknowledged.into_inner() {
            let known = world.engine.describe(&name(number)).await;
            assert!(known.is_ok(), "seed {seed}: run {number} was acknowledged and is lost");
        }
        for number in 0..RUNS {
            world.start(&name(number), &Transfer::default()).await.unwrap();
            assert_eq!(world.end(&name(number)).await.state, RunState::Completed, "seed {seed}");
            let withdrawn = world.bank.effect(&format!("{}/withdraw/1", name(number)));
            assert_eq!((withdrawn.done, withdrawn.undone), (1, 0), "seed {seed}");
        }
    }
    assert!(deaths > 10, "{deaths}");
}
