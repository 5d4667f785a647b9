//! The node dies at every append, in every way: no firing is lost, and none runs twice.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::system::schedule::command::Change;
use souk_orchestrator::system::schedule::definition::Overlap;

use super::calendar::ms;
use super::world::{HOUR_MS, START, World, hourly};
use crate::engine::deaths::dies_during;

/// Each with how many operations lie between two points that are tried.
const DEATHS: [(Operation, Fault, Unsynced, usize); 6] = [
    (Operation::Append, Fault::CrashDuring, Unsynced::Lost, 1),
    (Operation::Append, Fault::CrashAfter, Unsynced::Lost, 3),
    (Operation::Append, Fault::CrashBefore, Unsynced::Lost, 7),
    (Operation::Append, Fault::CrashDuring, Unsynced::SeededPrefix, 7),
    (Operation::Apply, Fault::CrashDuring, Unsynced::Lost, 7),
    (Operation::Apply, Fault::CrashAfter, Unsynced::Kept, 7),
];
/// Five by the clock, three by a backfill (of which one waits behind another), one by a trigger.
const JOBS: u64 = 8;

/// Jobs of forty minutes, every hour until five, one trigger, and a backfill of two hours; until all have ended.
async fn live(world: &World) {
    let mut definition = hourly(40 * 60_000, Overlap::BufferAll);
    definition.remaining_actions = Some(5);
    world.create(&definition).await;
    let at_ms = ms(START) + 2 * HOUR_MS + HOUR_MS / 2;
    let left_ms = u64::try_from(at_ms - world.now_ms()).unwrap_or(0);
    world.pass(Duration::from_millis(left_ms)).await;
    let trigger = Change::Trigger { overlap: Some(Overlap::AllowAll) };
    world.tell_as("trigger", trigger).await.unwrap();
    let (from_ms, to_ms) = (ms(START) - HOUR_MS, ms(START));
    let backfill = Change::Backfill { from_ms, to_ms, overlap: Overlap::BufferAll };
    world.tell_as("backfill", backfill).await.unwrap();
    while world.shown().await.state.counts.started < JOBS
        || world.states().await.contains(&RunState::Running)
    {
        assert!(world.now_ms() < ms(START) + 48 * HOUR_MS, "{:?}", world.shown().await);
        world.pass(Duration::from_secs(1_800)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn dying_anywhere_loses_no_firing_and_repeats_none() {
    let mut points = 0;
    for (operation, fault, unsynced, step) in DEATHS {
        for nth in (0..400).step_by(step) {
            let mut world = World::new(nth).await;
            world.disk.inject(operation, nth, fault.clone());
            let died = dies_during(&world, live(&world)).await;
            if died {
                // Longer than a step of the shop may take in all: no firing is lost by that.
                world.stop();
                world.pass(Duration::from_secs(900)).await;
                world.restart(unsynced).await;
                live(&world).await;
            }
            check(&world, &format!("{fault:?} at {operation:?} {nth}")).await;
            if !died {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 80, "only {points} points were tried");
}

async fn check(world: &World, what: &str) {
    let jobs = world.jobs().await;
    let (triggered, timed): (Vec<_>, Vec<_>) =
        jobs.keys().partition(|time| time.ends_with("/trigger-1"));
    let hours: Vec<i64> = timed.iter().map(|time| (ms(time) - ms(START)) / HOUR_MS).collect();
    assert_eq!(hours, [-1, 0, 1, 2, 3, 4, 5], "{what}");
    assert_eq!(triggered.len(), 1, "{what}");
    assert!(jobs.values().all(|job| job.state() == RunState::Completed), "{what}");
    let counts = world.shown().await.state.counts;
    let others = (counts.missed, counts.skipped, counts.failed);
    assert_eq!((counts.started, others), (JOBS, (0, 0, 0)), "{what}");
}
