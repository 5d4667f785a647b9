//! What joins, races and selects replays alike; code that does not fit a history leaves its run stuck, and whole.

use std::time::Duration;

use souk_orchestrator::engine::error::{Error, StuckCode};
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;

use super::bank::Behaviour;
use super::shapes;
use super::world::{World, quick};

async fn world(variant: &str) -> World {
    World::with(1, quick(), shapes::registry(variant)).await
}

#[tokio::test(start_paused = true)]
async fn what_is_joined_and_raced_replays_alike_wherever_it_is_interrupted() {
    let undisturbed = world("story").await;
    undisturbed.start_as("w", "weave", &()).await.unwrap();
    undisturbed.end("w").await;
    assert!(undisturbed.outline("w").await.contains(&"step abandoned".into()));
    let mut interrupted = 0;
    for nth in 1.. {
        let mut world = world("story").await;
        world.disk.inject(Operation::Append, nth, Fault::CrashAfter);
        let disk = world.disk.clone();
        let died = tokio::select! {
            biased;
            () = disk.crashed() => true,
            _ = async {
                world.start_as("w", "weave", &()).await.unwrap();
                world.end("w").await
            } => false,
        };
        if !died {
            break;
        }
        interrupted += 1;
        world.restart_with(Unsynced::Lost, shapes::registry("story")).await;
        world.start_as("w", "weave", &()).await.unwrap();
        let outcome = world.end("w").await;
        assert_eq!(outcome.state, RunState::Completed, "{:?}", world.row("w").await);
        assert_eq!(world.row("w").await.stuck_code, "");
    }
    assert!(interrupted >= 6, "{interrupted}");
}

/// The bug of medusa#16825, with steps; `children.rs` has it with children.
#[tokio::test(start_paused = true)]
async fn siblings_are_undone_too_when_one_fails_late_even_if_their_outcome_is_unknown() {
    let world = world("story").await;
    world.bank.next("left", &[Behaviour::Hang]);
    world.bank.next("right", &[Behaviour::FailFor(3_000), Behaviour::Permanent]);
    world.start_as("s", "siblings", &()).await.unwrap();
    assert_eq!(world.end("s").await.state, RunState::Failed);
    let undone: Vec<String> =
        world.bank.journal().into_iter().filter(|line| line.starts_with("erase")).collect();
    assert_eq!(
        undone,
        ["erase right for BROKEN", "erase left for BROKEN", "erase first for BROKEN"]
    );
    for (key, effect) in world.bank.effects() {
        assert_eq!(effect.done, effect.undone, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shielded_goes_on_when_the_run_is_cancelled() {
    let world = world("story").await;
    world.start_as("s", "stubborn", &()).await.unwrap();
    world.engine.cancel("s", "enough").await.unwrap();
    let outcome = world.end("s").await;
    assert_eq!(
        (outcome.state, outcome.result.unwrap()),
        (RunState::Completed, r#""enough""#.into())
    );
}

/// Starts the right story, lets `variant` take it up, and tells it to go on.
async fn taken_up_by(variant: &str) -> World {
    let mut world = world("story").await;
    world.start_as("s", "story", &()).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.restart_with(Unsynced::Lost, shapes::registry(variant)).await;
    world.signal("s", "confirm", "1").await.unwrap();
    world
}

async fn is_stuck_and_is_resumed_by_the_right_code(mut world: World, code: StuckCode) {
    let row = world.row("s").await;
    assert_eq!((row.state(), row.stuck_code.as_str()), (RunState::Stuck, code.code()), "{row:?}");
    assert!(matches!(world.engine.retry_step("s").await, Err(Error::Stuck { .. })));
    let refused = world.engine.terminate("s", "give up", false).await;
    assert!(matches!(refused, Err(Error::OpenUndo { open_undo: 1 })), "{refused:?}");
    let calls = world.bank.effect("s/note/1").calls;
    // The signal came while it was stuck, or made it stuck: it is not lost, and a repetition is known.
    world.signal("s", "confirm", "1").await.unwrap();
    world.restart_with(Unsynced::Lost, shapes::registry("story")).await;
    let outcome = world.end("s").await;
    assert_eq!(outcome.result.expect("completed"), r#""told""#);
    let outline = world.outline("s").await;
    assert_eq!(outline.iter().filter(|line| *line == "signal confirm").count(), 1);
    assert_eq!(outline.iter().filter(|line| line.starts_with("stuck")).count(), 1);
    assert_eq!(outline.iter().filter(|line| *line == "resumed").count(), 1);
    assert_eq!(world.bank.effect("s/note/1").calls, calls, "the first step is not repeated");
    let history = world.history("s").await;
    let run_id = world.row("s").await.id();
    souk_orchestrator::engine::recorded::check(&shapes::registry("story"), run_id, &history)
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn code_that_decides_otherwise_leaves_the_run_stuck_until_it_is_mended() {
    for variant in ["another step", "shorter", "words"] {
        let world = taken_up_by(variant).await;
        is_stuck_and_is_resumed_by_the_right_code(world, StuckCode::Nondeterminism).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_the_run_stuck_until_it_is_mended() {
    is_stuck_and_is_resumed_by_the_right_code(taken_up_by("panics").await, StuckCode::Panicked)
        .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_something_else_is_found_and_named() {
    let world = taken_up_by("elsewhere").await;
    is_stuck_and_is_resumed_by_the_right_code(world, StuckCode::ForeignWait).await;
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_does_not_come_to_rest_is_found() {
    let world = taken_up_by("spins").await;
    is_stuck_and_is_resumed_by_the_right_code(world, StuckCode::BoundExceeded).await;
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_undo_is_not_on_record_is_found() {
    let world = taken_up_by("orphan").await;
    is_stuck_and_is_resumed_by_the_right_code(world, StuckCode::UndoMissing).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_type_is_gone_waits_for_its_return() {
    let world = taken_up_by("none").await;
    is_stuck_and_is_resumed_by_the_right_code(world, StuckCode::TypeMissing).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_run_is_not_marked_again_by_the_same_bad_build() {
    let mut world = taken_up_by("panics").await;
    for _ in 0..3 {
        world.restart_with(Unsynced::Lost, shapes::registry("panics")).await;
        world.pass(Duration::from_secs(1)).await;
    }
    let outline = world.outline("s").await;
    assert_eq!(outline.iter().filter(|line| line.starts_with("stuck")).count(), 1, "{outline:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_under_a_version_leaves_old_runs_as_they_were() {
    let mut world = world("story").await;
    world.start_as("old", "story", &()).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.restart_with(Unsynced::Lost, shapes::registry("versions")).await;
    world.start_as("new", "story", &()).await.unwrap();
    // Both leave memory and come back more than once.
    world.pass(Duration::from_secs(10)).await;
    world.restart_with(Unsynced::Lost, shapes::registry("versions")).await;
    for (id, expected) in [("old", r#""version 0 0""#), ("new", r#""version 1 1""#)] {
        world.signal(id, "confirm", "1").await.unwrap();
        assert_eq!(world.end(id).await.result.expect("completed"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_a_build_no_longer_knows_leaves_the_run_stuck() {
    let mut world = world("story").await;
    world.start_as("old", "story", &()).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.restart_with(Unsynced::Lost, shapes::registry("new only")).await;
    world.signal("old", "confirm", "1").await.unwrap();
    assert_eq!(world.row("old").await.stuck_code, StuckCode::VersionUnsupported.code());
}
