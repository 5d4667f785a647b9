//! Timers, signals, updates, following.

use std::time::Duration;

use futures::StreamExt;
use souk_orchestrator::engine::error::Error;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;

use super::transfer::{Raise, Transfer};
use super::world::{LONG, World, outline, quick};

fn raise(by: i64) -> bytes::Bytes {
    serde_json::to_vec(&Raise { by }).unwrap().into()
}

#[tokio::test(start_paused = true)]
async fn timers_from_milliseconds_to_years_fire_in_time_across_restarts() {
    let year = Duration::from_secs(365 * 24 * 3600);
    for after in [Duration::from_millis(3), Duration::from_secs(50), Duration::from_secs(100), year]
    {
        let mut world = World::new(1).await;
        let began_ms = world.now_ms();
        world.start_as("t", "later", &after).await.unwrap();
        world.pass(after / 2).await;
        world.restart(Unsynced::Lost).await;
        let outcome = loop {
            match world.engine.outcome("t", LONG).await.unwrap() {
                Some(outcome) => break outcome,
                None => continue,
            }
        };
        let ended_ms: i64 = serde_json::from_slice(&outcome.result.unwrap()).unwrap();
        let late_ms = ended_ms - began_ms - i64::try_from(after.as_millis()).unwrap();
        assert!((0..100).contains(&late_ms), "{after:?} was late by {late_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn timers_that_came_due_while_nobody_ran_fire_at_once() {
    let mut world = World::new(2).await;
    for number in 0..600 {
        let id = format!("t{number}");
        world.start_as(&id, "later", &Duration::from_secs(60)).await.unwrap();
    }
    world.pass(Duration::from_secs(1)).await;
    world.stop();
    world.pass(Duration::from_secs(3600)).await;
    world.restart(Unsynced::Lost).await;
    let restarted_ms = world.now_ms();
    for number in 0..600 {
        assert_eq!(world.end(&format!("t{number}")).await.state, RunState::Completed);
    }
    assert!(world.now_ms() - restarted_ms < 2_000);
}

#[tokio::test(start_paused = true)]
async fn idle_runs_leave_memory_and_come_back_when_something_happens() {
    let mut world = World::new(3).await;
    let order = Transfer { confirm: true, ..Transfer::default() };
    for number in 0..300 {
        world.start(&format!("t{number}"), &order).await.unwrap();
    }
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    world.signal("t7", "confirm", "1").await.unwrap();
    assert_eq!(world.end("t7").await.state, RunState::Completed);
    world.restart(Unsynced::Lost).await;
    world.pass(Duration::from_millis(10)).await;
    // A restart reads none of them: they wait for signals only.
    assert_eq!(world.engine.loaded_runs(), 0);
    world.signal("t8", "confirm", "1").await.unwrap();
    assert_eq!(world.end("t8").await.state, RunState::Completed);
    assert_eq!(world.row("t9").await.state(), RunState::Running);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_idle_runs_in_memory_is_bounded_before_their_time() {
    let mut options = quick();
    options.idle_after = LONG;
    options.max_idle_runs = 10;
    let world = World::with(4, options, super::transfer::registry()).await;
    for number in 0..50 {
        let order = Transfer { confirm: true, ..Transfer::default() };
        world.start(&format!("t{number}"), &order).await.unwrap();
    }
    world.pass(Duration::from_secs(10)).await;
    assert!(world.engine.loaded_runs() <= 10, "{}", world.engine.loaded_runs());
}

#[tokio::test(start_paused = true)]
async fn signals_are_kept_in_order_and_repetitions_dropped() {
    let mut world = World::new(5).await;
    world.start_as("n", "gather", &3).await.unwrap();
    for (id, word) in [("1", "one"), ("2", "two"), ("1", "again"), ("3", "three")] {
        let payload = serde_json::to_vec(word).unwrap();
        world.engine.signal("n", "word", id, payload.into()).await.unwrap();
        if id == "2" {
            world.restart(Unsynced::Lost).await;
        }
    }
    let words = world.end("n").await.result.unwrap();
    assert_eq!(words, r#"["one","two","three"]"#);
    let late = world.signal("n", "word", "4").await;
    assert!(matches!(late, Err(Error::Closed { state: RunState::Completed, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_is_no_json_is_refused_and_one_of_another_type_is_not_lost() {
    let world = World::new(6).await;
    world.start_as("n", "gather", &1).await.unwrap();
    let refused = world.engine.signal("n", "word", "1", "{".into()).await;
    assert!(matches!(refused, Err(Error::InvalidInput { .. })));
    world.engine.signal("n", "word", "1", "17".into()).await.unwrap();
    // The workflow cannot read it: a build that can takes it up again.
    assert_eq!(world.row("n").await.stuck_code, "SOUK-0004");
}

#[tokio::test(start_paused = true)]
async fn updates_are_validated_before_they_are_recorded_and_answered_when_durable() {
    let mut world = World::new(7).await;
    world.start_as("n", "negotiation", &100).await.unwrap();
    let answer = world.engine.update("n", "raise", "1", raise(5), LONG).await.unwrap();
    assert_eq!(answer.unwrap(), "105");
    let refused = world.engine.update("n", "raise", "2", raise(-5), LONG).await;
    assert!(
        matches!(&refused, Err(Error::UpdateRefused(failure)) if failure.code == "NOT_A_RAISE")
    );
    let late = world.engine.update("n", "raise", "3", raise(5_000), LONG).await;
    assert!(matches!(&late, Err(Error::UpdateRefused(failure)) if failure.code == "TOO_MUCH"));
    let unknown = world.engine.update("n", "lower", "4", raise(1), LONG).await;
    assert!(matches!(unknown, Err(Error::NotAccepting(_))));
    let unreadable = world.engine.update("n", "raise", "5", "[]".into(), LONG).await;
    assert!(matches!(unreadable, Err(Error::InvalidInput { .. })));
    let outline = world.outline("n").await;
    assert_eq!(outline.iter().filter(|line| line.starts_with("update raise")).count(), 2);
    world.restart(Unsynced::Lost).await;
    // The same id gets the same answer, also from the next process.
    let again = world.engine.update("n", "raise", "1", raise(5), LONG).await.unwrap();
    assert_eq!(again.unwrap(), "105");
    world.signal("n", "confirm", "end").await.unwrap();
    assert_eq!(world.end("n").await.result.unwrap(), "105");
}

#[tokio::test(start_paused = true)]
async fn a_history_is_followed_from_any_place_across_drain_to_the_end() {
    let world = World::new(8).await;
    let order = Transfer { confirm: true, ..Transfer::default() };
    world.start("t", &order).await.unwrap();
    world.engine.answer("t", LONG).await.unwrap();
    let mut early = Box::pin(world.engine.history("t", 0, true).await.unwrap());
    for expected in ["started", "owe close_case", "schedule withdraw", "completed withdraw"] {
        assert_eq!(outline(&early.next().await.unwrap().unwrap().event), expected);
    }
    // Drained and long idle; whoever follows keeps it in memory.
    world.pass(Duration::from_secs(30)).await;
    let late = world.engine.history("t", 3, true).await.unwrap();
    world.signal("t", "confirm", "1").await.unwrap();
    let rest: Vec<u64> = early.map(|event| event.unwrap().sequence).collect().await;
    assert_eq!(rest, (4..13).collect::<Vec<u64>>());
    let late: Vec<String> = late.map(|event| outline(&event.unwrap().event)).collect().await;
    assert_eq!(late.last().unwrap(), "closed Completed");
    assert_eq!(late.len(), 10);
    world.pass(Duration::from_secs(30)).await;
    // Closed and drained: the tables have it all, and following ends where the run did.
    let all = world.engine.history("t", 0, true).await.unwrap();
    assert_eq!(all.count().await, 13);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_drains_everything_and_cuts_steps_short() {
    use super::bank::Behaviour;
    use souk_orchestrator::engine::log::sim::Operation;
    let mut world = World::new(9).await;
    world.bank.next("withdraw", &[Behaviour::Hang]);
    world.start("t", &Transfer::default()).await.unwrap();
    world.engine.shutdown().await.unwrap();
    assert!(matches!(world.start("u", &Transfer::default()).await, Err(Error::ShuttingDown)));
    world.restart(Unsynced::Lost).await;
    assert_eq!(world.end("t").await.state, RunState::Completed);
    // Two lives: a SEAL for the first log, and the four results of the second.
    assert_eq!(world.disk.count(Operation::Append), 5);
}

#[tokio::test(start_paused = true)]
async fn more_work_than_the_log_takes_is_refused_and_what_was_taken_is_finished() {
    let mut options = quick();
    options.max_waiting_commits = 8;
    let world = World::with(10, options, super::transfer::registry()).await;
    world.disk.set_sync_latency(Duration::from_millis(10));
    let orders: Vec<_> =
        (0..100).map(|number| (format!("t{number}"), Transfer::default())).collect();
    let starts = orders.iter().map(|(id, order)| world.start(id, order));
    let started = futures::future::join_all(starts).await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        orders.iter().zip(started).partition(|(_, result)| result.is_ok());
    assert!(taken.len() >= 8 && taken.len() < 30, "{}", taken.len());
    for ((id, _), result) in refused {
        assert!(matches!(result, Err(Error::Overloaded(_))), "{result:?}");
        assert!(matches!(world.engine.describe(id).await, Err(Error::NotFound(_))));
    }
    for ((id, _), _) in taken {
        assert_eq!(world.end(id).await.state, RunState::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn tables_that_are_too_far_behind_keep_new_work_out_until_they_have_caught_up() {
    use souk_orchestrator::engine::log::sim::{Fault, Operation};
    let mut options = quick();
    options.max_undrained_bytes = 4_096;
    let world = World::with(11, options, super::transfer::registry()).await;
    let next = world.disk.count(Operation::Apply);
    world.disk.inject(Operation::Apply, next, Fault::Slow(Duration::from_secs(60)));
    let mut taken = 0;
    while world.start(&format!("t{taken}"), &Transfer::default()).await.is_ok() {
        taken += 1;
        world.pass(Duration::from_millis(100)).await;
        assert!(taken < 100);
    }
    assert!(taken > 3);
    world.pass(Duration::from_secs(120)).await;
    world.start("later", &Transfer::default()).await.unwrap();
    assert_eq!(world.end("later").await.state, RunState::Completed);
}
