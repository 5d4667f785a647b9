//! Clocks that jump, ahead and back, while runs wait, retry and give signs of life, and over restarts.

use std::time::Duration;

use souk_orchestrator::engine::event::Body;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;

use super::bank::Behaviour;
use super::transfer::Transfer;
use super::world::World;

const HOUR_MS: i64 = 3_600_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The times of a history never go back, and no timer has fired before its time.
async fn time_is_in_order(world: &World, workflow_id: &str) {
    let mut last_ms = i64::MIN;
    let mut due = std::collections::BTreeMap::new();
    for event in world.history(workflow_id).await {
        assert!(event.time_ms >= last_ms, "{workflow_id}: {event:?}");
        last_ms = event.time_ms;
        match event.body.unwrap() {
            Body::TimerSet(timer) => drop(due.insert(timer.command, timer.fire_at_ms)),
            Body::TimerFired(timer) => assert!(due[&timer.command] <= last_ms, "{workflow_id}"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn timers_fire_once_their_time_has_come_whatever_the_clock_does() {
    for jumps in [[-3, 5], [5, -3], [-24, 24], [24, -24], [-1, -1]] {
        for restarts in [false, true] {
            let mut world = World::new(1).await;
            for (id, seconds) in [("soon", 30), ("later", 7_200), ("far", 86_400)] {
                let after = Duration::from_secs(seconds);
                world.start_as(id, "later", &after).await.unwrap();
            }
            for hours in jumps {
                world.pass(MINUTE / 6).await;
                world.clock.jump_ms(hours * HOUR_MS);
                if restarts {
                    world.restart(Unsynced::Lost).await;
                }
            }
            world.pass(Duration::from_secs(5 * 24 * 3_600)).await;
            for id in ["soon", "later", "far"] {
                let state = world.row(id).await.state();
                assert_eq!(state, RunState::Completed, "{jumps:?} {restarts} {id}");
                assert_eq!(world.bank.effect(&format!("{id}/withdraw/1")).calls, 1);
                time_is_in_order(&world, id).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_ahead_is_noticed_by_timers_that_are_far_away() {
    let world = World::new(1).await;
    world.start_as("t", "later", &Duration::from_secs(20 * 3_600)).await.unwrap();
    world.pass(Duration::from_secs(3_600)).await;
    world.clock.jump_ms(24 * HOUR_MS);
    world.pass(MINUTE * 11).await;
    assert_eq!(world.row("t").await.state(), RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn retries_and_draining_go_on_after_the_clock_was_set_back() {
    let world = World::new(1).await;
    world.bank.next("withdraw", &[Behaviour::Fail, Behaviour::Fail]);
    world.start("t", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    world.clock.jump_ms(-6 * HOUR_MS);
    world.pass(MINUTE).await;
    assert_eq!(world.bank.effect("t/withdraw/1").calls, 3);
    // It is in the tables, and out of memory.
    assert_eq!(world.engine.loaded_runs(), 0);
    world.signal("t", "confirm", "1").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Completed);
    time_is_in_order(&world, "t").await;
}

#[tokio::test(start_paused = true)]
async fn a_jump_ahead_ends_the_time_of_a_step_and_everything_is_undone() {
    let world = World::new(1).await;
    world.bank.always("deposit", Behaviour::LoseReply);
    world.start("t", &Transfer::default()).await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    world.clock.jump_ms(6 * HOUR_MS);
    assert_eq!(world.end("t").await.state, RunState::Failed);
    assert_eq!(world.bank.effect("t/deposit/1").undone, 1);
    time_is_in_order(&world, "t").await;
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_time_is_over_after_a_restart_fails_without_another_attempt_and_is_undone() {
    for hanging in [false, true] {
        let mut world = World::new(1).await;
        let behaviour = if hanging { Behaviour::Hang } else { Behaviour::Fail };
        world.bank.always("deposit", behaviour);
        world.start("t", &Transfer::default()).await.unwrap();
        world.pass(Duration::from_millis(100)).await;
        let calls = world.bank.effect("t/deposit/1").calls;
        assert_eq!(calls, 1);
        // The node is down for an hour.
        world.clock.jump_ms(HOUR_MS);
        world.bank.calm();
        world.restart(Unsynced::Lost).await;
        let end = world.end("t").await;
        let failure = end.failure.unwrap();
        assert_eq!((end.state, failure.code.as_str()), (RunState::Failed, "STEP_TIMED_OUT"));
        let journal = world.bank.journal();
        assert_eq!(journal.iter().filter(|line| *line == "deposit").count(), 1, "{journal:?}");
        // Whether it was done is unknown, so that its undo runs.
        assert!(journal.contains(&"take_back".to_owned()), "{journal:?}");
        assert!(world.bank.effects().values().all(|effect| effect.done == effect.undone));
    }
}

#[tokio::test(start_paused = true)]
async fn a_compensation_has_its_whole_time_again_after_a_restart() {
    let mut world = World::new(1).await;
    world.bank.always("give_back", Behaviour::Fail);
    world.start("t", &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
    world.pass(Duration::from_millis(1_000)).await;
    world.clock.jump_ms(HOUR_MS);
    world.bank.calm();
    world.restart(Unsynced::Lost).await;
    assert_eq!(world.end("t").await.state, RunState::Failed);
    assert_eq!(world.bank.effect("t/withdraw/1").undone, 1);
}
