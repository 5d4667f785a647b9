//! A paused run begins nothing new and loses nothing.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::error::Error;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;

use super::bank::Behaviour;
use super::transfer::Transfer;
use super::world::{LONG, World};

fn confirming() -> Transfer {
    Transfer { confirm: true, ..Transfer::default() }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_run_is_paused_waits_across_a_crash_and_is_taken_in_order() {
    for nth in 0..4 {
        let mut world = World::new(nth).await;
        world.start("t", &confirming()).await.unwrap();
        world.engine.answer("t", LONG).await.unwrap();
        world.engine.pause("t", "the bank is down").await.unwrap();
        world.engine.pause("t", "again").await.unwrap();
        assert_eq!(world.row("t").await.state(), RunState::Paused);
        world.signal("t", "confirm", "1").await.unwrap();
        world.pass(Duration::from_secs(3_600)).await;
        assert_eq!(world.bank.journal(), ["withdraw"]);
        if nth > 0 {
            world.restart(Unsynced::Lost).await;
            world.pass(Duration::from_secs(3_600)).await;
            assert_eq!(world.bank.journal(), ["withdraw"]);
        }
        let filter = Filter::of_states(&[RunState::Paused]);
        assert_eq!(world.engine.list(&filter, None, 9).await.unwrap().rows.len(), 1);
        // The process may die while the run is resumed: before it is on record, or after.
        if nth > 1 {
            let fault = if nth == 2 { Fault::CrashBefore } else { Fault::CrashAfter };
            world.disk.inject(Operation::Append, world.disk.count(Operation::Append), fault);
            let disk = world.disk.clone();
            tokio::select! {
                biased;
                () = disk.crashed() => {}
                _ = world.engine.resume("t", "it is back") => panic!("dies before it answers"),
            }
            world.restart(Unsynced::Lost).await;
        }
        world.engine.resume("t", "it is back").await.unwrap();
        assert_eq!(world.end("t").await.state, RunState::Completed);
        // Steps that begin then have their whole time.
        let outline = world.outline("t").await;
        let from = outline.iter().position(|line| line == "answered").unwrap();
        let expected = ["paused", "signal confirm", "unpaused", "schedule deposit"];
        assert_eq!(outline[from + 1..from + 5], expected, "{outline:?}");
        assert!(!outline.iter().any(|line| line.starts_with("attempt")), "{outline:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_under_way_ends_and_the_next_one_does_not_begin() {
    let world = World::new(5).await;
    world.bank.next("withdraw", &[Behaviour::FailFor(5_000)]);
    world.start("t", &Transfer::default()).await.unwrap();
    world.engine.pause("t", "wait").await.unwrap();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.bank.journal(), ["withdraw", "withdraw"]);
    assert!(world.outline("t").await.contains(&"completed withdraw".into()));
    assert_eq!(world.row("t").await.state(), RunState::Paused);
    world.engine.resume("t", "go").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_meanwhile_counts_from_when_the_run_goes_on() {
    let mut world = World::new(6).await;
    world.start_as("t", "later", &Duration::from_secs(10)).await.unwrap();
    world.engine.pause("t", "wait").await.unwrap();
    world.pass(Duration::from_secs(1_000)).await;
    world.restart(Unsynced::Lost).await;
    world.pass(Duration::from_secs(1_000)).await;
    let outline = world.outline("t").await;
    assert_eq!(outline, ["started", "timer set", "paused", "timer fired"]);
    let resumed_ms = world.now_ms();
    world.engine.resume("t", "go").await.unwrap();
    let ended: i64 = serde_json::from_slice(&world.end("t").await.result.unwrap()).unwrap();
    assert!((resumed_ms..resumed_ms + 1_000).contains(&ended), "{ended} {resumed_ms}");
    assert_eq!(world.bank.effect("t/withdraw/1").done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_waits_too_and_termination_does_not() {
    let world = World::new(7).await;
    for id in ["a", "b"] {
        world.start(id, &confirming()).await.unwrap();
        world.engine.answer(id, LONG).await.unwrap();
        world.engine.pause(id, "wait").await.unwrap();
        world.engine.cancel(id, "enough").await.unwrap();
        world.engine.cancel(id, "enough").await.unwrap();
    }
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.row("a").await.state(), RunState::Paused);
    world.engine.resume("a", "go").await.unwrap();
    assert_eq!(world.end("a").await.state, RunState::Cancelled);
    assert_eq!(world.bank.effect("a/withdraw/1").undone, 1);
    let cancels = world.outline("a").await.iter().filter(|line| *line == "cancel").count();
    assert_eq!(cancels, 1);
    world.engine.terminate("b", "now", true).await.unwrap();
    assert_eq!(world.end("b").await.state, RunState::Terminated);
    assert!(matches!(world.engine.resume("b", "go").await, Err(Error::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_parks_a_paused_run_is_decided_after_it_is_resumed() {
    let mut world = World::new(8).await;
    world.bank.always("give_back", Behaviour::Fail);
    world.start("t", &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
    while !world.outline("t").await.contains(&"undo give_back".into()) {
        world.pass(Duration::from_millis(10)).await;
    }
    world.engine.pause("t", "wait").await.unwrap();
    world.pass(Duration::from_secs(1_000)).await;
    world.restart(Unsynced::Lost).await;
    assert_eq!(world.row("t").await.state(), RunState::Paused);
    assert!(matches!(world.engine.retry_step("t").await, Err(Error::Paused(_))));
    world.engine.resume("t", "go").await.unwrap();
    assert_eq!(world.row("t").await.state(), RunState::Parked);
    world.bank.repair("give_back");
    world.engine.retry_step("t").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Failed);
    assert_eq!(world.row("t").await.open_undo, 0);
}
