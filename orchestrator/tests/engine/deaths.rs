//! The process dies at every append and every apply, one after the other, and the next one finishes what was begun.

use souk_orchestrator::engine::Registry;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::testing::TestEnvironment;

use super::world::World;

/// At what the process dies, how, and what becomes of what was written and not synced.
const DEATHS: [(Operation, Fault, Unsynced); 6] = [
    (Operation::Append, Fault::CrashBefore, Unsynced::Lost),
    (Operation::Append, Fault::CrashDuring, Unsynced::Lost),
    (Operation::Append, Fault::CrashDuring, Unsynced::Kept),
    (Operation::Append, Fault::CrashAfter, Unsynced::Lost),
    (Operation::Apply, Fault::CrashDuring, Unsynced::SeededPrefix),
    (Operation::Apply, Fault::CrashAfter, Unsynced::Kept),
];

/// Lives once for each point at which the process can die, and counts these points. `drive` does everything, again
/// after the death, until it is done; `check` looks at what it has led to, and is told where the death was.
pub async fn at_every_point(
    new_world: impl AsyncFn(u64) -> World,
    next_build: impl Fn(u64) -> Registry,
    drive: impl AsyncFn(&World),
    check: impl AsyncFn(&World, &str),
) -> u32 {
    let mut points = 0;
    for (operation, fault, unsynced) in DEATHS {
        for nth in 0.. {
            let mut world = new_world(nth).await;
            world.disk.inject(operation, nth, fault.clone());
            let died = dies_during(&world, drive(&world)).await;
            world.restart_with(unsynced, next_build(nth)).await;
            drive(&world).await;
            check(&world, &format!("{operation:?} {fault:?} at {nth}")).await;
            if !died {
                break;
            }
            points += 1;
        }
    }
    points
}

/// Whether the process dies before `work` is done.
pub async fn dies_during<T>(environment: &TestEnvironment, work: impl Future<Output = T>) -> bool {
    let disk = environment.disk.clone();
    tokio::select! {
        biased;
        () = disk.crashed() => true,
        _ = work => false,
    }
}
