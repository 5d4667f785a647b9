//! The process dies at every append, in every way, and the next one finishes what was begun.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::StartRequest;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;

use super::bank::Behaviour;
use super::deaths::dies_during;
use super::transfer::Transfer;
use super::world::{LONG, World};

/// What one life of the process acknowledged before it died.
#[derive(Default)]
struct Acknowledged {
    starts: Vec<String>,
    signals: Vec<String>,
}

/// A few runs of every kind: completing, failing at a step, refused by the workflow, waiting for a signal.
const RUNS: [&str; 4] = ["plain", "failing", "refusing", "confirming"];

fn order(name: &str) -> Transfer {
    Transfer { amount: 7, confirm: name == "confirming", refuse: name == "refusing" }
}

/// Starts what is not started and signals what waits, over and over until the process dies or everything has ended.
async fn drive(world: &World, acknowledged: &mut Acknowledged) {
    for name in RUNS {
        if name == "failing" {
            world.bank.always("book", Behaviour::LoseReply);
        } else {
            world.bank.repair("book");
        }
        let request = StartRequest::new(name, "transfer", &order(name)).unwrap();
        world.engine.start(request).await.unwrap();
        acknowledged.starts.push(name.into());
        if name == "confirming" {
            match world.signal(name, "confirm", "the-one").await {
                Ok(()) => acknowledged.signals.push(name.into()),
                Err(error) => assert!(world.row(name).await.state().is_closed(), "{error}"),
            }
        }
        world.end(name).await;
    }
}

/// Runs until everything has ended, dying on the way as the plan says. Returns whether the planned death came.
async fn live(plan: &[(Operation, u64, Fault)], unsynced: Unsynced, seed: u64) -> (World, bool) {
    let mut world = World::new(seed).await;
    let mut acknowledged = Acknowledged::default();
    let mut died = false;
    for (operation, nth, fault) in plan {
        world.disk.inject(*operation, *nth, fault.clone());
        died |= dies_during(&world, drive(&world, &mut acknowledged)).await;
        world.restart(unsynced).await;
        for name in &acknowledged.starts {
            assert!(
                world.engine.describe(name).await.is_ok(),
                "{name} was acknowledged and is lost"
            );
        }
        for name in &acknowledged.signals {
            let outline = world.outline(name).await;
            assert!(outline.contains(&"signal confirm".into()), "the signal to {name} is lost");
        }
    }
    drive(&world, &mut acknowledged).await;
    (world, died)
}

async fn check(world: &World) {
    for (name, state) in RUNS.into_iter().zip([
        RunState::Completed,
        RunState::Failed,
        RunState::Failed,
        RunState::Completed,
    ]) {
        assert_eq!(world.end(name).await.state, state, "{name}");
        let row = world.row(name).await;
        assert_eq!((row.open_steps.len(), row.open_timers.len()), (0, 0), "{name}");
        if state == RunState::Failed {
            assert_eq!(row.open_undo, 0, "{name}");
        }
        for step in ["withdraw", "deposit"] {
            let effect = world.bank.effect(&format!("{name}/{step}/1"));
            assert_eq!(effect.done, 1, "{name} {step}");
            assert_eq!(effect.undone, u32::from(state == RunState::Failed), "{name} {step}");
        }
        let outline = world.outline(name).await;
        assert_eq!(outline.iter().filter(|line| *line == "started").count(), 1);
        assert_eq!(outline.iter().filter(|line| line.starts_with("closed")).count(), 1);
    }
    // One key for each step of each run, however often the process died: nothing was done under another.
    let keys = world.bank.effects().into_keys().filter(|key| !key.contains("close_case"));
    // Four steps each, and one run does not come to its last.
    assert_eq!(keys.count(), RUNS.len() * 4 - 1, "{:?}", world.bank.effects().keys());
    world.pass(Duration::from_secs(2)).await;
    let listed = world.engine.list(&Filter::default(), None, 100).await.unwrap();
    assert_eq!(listed.rows.len(), RUNS.len());
}

const DEATHS: [(Fault, Unsynced); 5] = [
    (Fault::CrashBefore, Unsynced::Lost),
    (Fault::CrashDuring, Unsynced::Lost),
    (Fault::CrashDuring, Unsynced::Kept),
    (Fault::CrashDuring, Unsynced::SeededPrefix),
    (Fault::CrashAfter, Unsynced::Lost),
];

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_loses_nothing_and_repeats_nothing() {
    let mut points = 0;
    for (fault, unsynced) in DEATHS {
        for nth in 0.. {
            let (world, died) =
                live(&[(Operation::Append, nth, fault.clone())], unsynced, nth).await;
            check(&world).await;
            if !died {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 100, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_drain_step_and_sync_loses_nothing() {
    for operation in [Operation::Apply, Operation::Sync, Operation::Trim] {
        for (fault, unsynced) in DEATHS {
            for nth in 0..40 {
                let (world, died) = live(&[(operation, nth, fault.clone())], unsynced, nth).await;
                check(&world).await;
                if !died {
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dying_again_while_recovering_is_survived() {
    for first in (0..24).step_by(3) {
        for second in 0..6 {
            let plan = [
                (Operation::Append, first, Fault::CrashAfter),
                (Operation::Append, second, Fault::CrashDuring),
                (Operation::Append, second, Fault::CrashBefore),
            ];
            let (world, _) = live(&plan, Unsynced::SeededPrefix, first * 10 + second).await;
            check(&world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_append_is_resolved_by_the_same_bytes() {
    for nth in 0..20 {
        for fault in [Fault::UnknownApplied, Fault::UnknownNotApplied] {
            let (world, died) = live(&[(Operation::Append, nth, fault)], Unsynced::Lost, nth).await;
            assert!(!died);
            check(&world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_lost_its_log_acknowledges_nothing_and_says_so() {
    use souk_orchestrator::engine::Error;
    let world = World::new(1).await;
    let begun = world.disk.count(Operation::Append);
    world.disk.inject(Operation::Append, begun + 1, Fault::Fenced("another's".into()));
    let started = world.start("t", &Transfer::default()).await;
    assert!(started.is_ok());
    let outcome = world.engine.outcome("t", LONG).await;
    assert!(matches!(outcome, Err(Error::Fenced)), "{outcome:?}");
    world.engine.fenced().await;
    let refused = world.start("u", &Transfer::default()).await;
    assert!(matches!(refused, Err(Error::Fenced)));
    // The step whose result could not be recorded was done, and nothing that follows from it.
    assert_eq!(world.bank.journal(), ["withdraw"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_survived_without_losing_what_was_acknowledged() {
    let mut world = World::new(1).await;
    world.start("t", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    world.engine.answer("t", LONG).await.unwrap();
    let begun = world.disk.count(Operation::Append);
    world.disk.inject(Operation::Append, begun, Fault::DiskFull);
    assert!(world.signal("t", "confirm", "1").await.is_err());
    world.engine.fenced().await;
    world.restart(Unsynced::Lost).await;
    world.signal("t", "confirm", "1").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Completed);
}
