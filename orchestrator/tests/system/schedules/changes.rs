//! What people tell a schedule.

use std::time::Duration;

use souk_orchestrator::engine::Error;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::system::schedule::command::Change;
use souk_orchestrator::system::schedule::definition::Overlap;
use souk_orchestrator::system::schedule::workflow_id;

use super::calendar::{cron, every, ms};
use super::world::{HOUR_MS, ID, Job, START, World, definition, hourly};

const MINUTE_MS: u64 = 60_000;

fn backfill(from_hours: i64, to_hours: i64, overlap: Overlap) -> Change {
    let at = |hours| ms(START) + hours * HOUR_MS;
    Change::Backfill { from_ms: at(from_hours), to_ms: at(to_hours), overlap }
}

fn code(error: Error) -> String {
    match error {
        Error::UpdateRefused(failure) => failure.code,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_runs_now_also_through_a_pause_and_obeys_the_policy() {
    let mut world = World::new(1).await;
    let mut definition = hourly(40 * MINUTE_MS, Overlap::Skip);
    definition.remaining_actions = Some(0);
    world.create(&definition).await;
    world.tell(Change::Pause { note: "quiet".into() }).await.unwrap();
    world.until(0, 10).await;
    let first = world.tell(Change::Trigger { overlap: None }).await.unwrap();
    let id = first.workflow_id.as_str();
    assert!(id.starts_with("job/2027-03-01T00:10:00") && id.ends_with("Z/trigger-1"), "{id}");
    // It is there when the answer is.
    let row = world.engine.describe(id).await.unwrap().row;
    assert_eq!((first.started, row.state()), (1, RunState::Running));
    let second = world.tell(Change::Trigger { overlap: None }).await.unwrap();
    assert_eq!((second.started, second.skipped, second.workflow_id.as_str()), (0, 1, ""));
    let third = world.tell(Change::Trigger { overlap: Some(Overlap::BufferOne) }).await.unwrap();
    assert_eq!((third.started, third.waiting), (0, 1));
    let fourth = world.tell(Change::Trigger { overlap: Some(Overlap::AllowAll) }).await.unwrap();
    assert_eq!(fourth.started, 1);
    world.until(1, 0).await;
    assert_eq!(world.jobs().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_same_answer_and_other_content_is_refused() {
    let mut world = World::new(2).await;
    world.create(&hourly(MINUTE_MS, Overlap::AllowAll)).await;
    let trigger = || Change::Trigger { overlap: None };
    let first = world.tell_as("r", trigger()).await.unwrap();
    assert_eq!(world.tell_as("r", trigger()).await.unwrap(), first);
    // Also by a node that has been started anew, and in a later turn.
    world.restart(Unsynced::Lost).await;
    assert_eq!(world.tell_as("r", trigger()).await.unwrap(), first);
    world.until(60, 0).await;
    assert_eq!(world.tell_as("r", trigger()).await.unwrap(), first);
    let other = world.tell_as("r", Change::Trigger { overlap: Some(Overlap::Skip) }).await;
    assert_eq!(code(other.unwrap_err()), "REQUEST_ID_REUSED");
    assert_eq!(world.shown().await.state.counts.triggered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_backfill_runs_what_has_not_run_and_nothing_twice() {
    let mut world = World::new(3).await;
    world.create(&hourly(5 * MINUTE_MS, Overlap::Skip)).await;
    world.until(3, 30).await;
    // From two hours before the schedule was made; 1, 2 and 3 o'clock have run.
    let answer = world.tell(backfill(-2, 3, Overlap::BufferAll)).await.unwrap();
    assert_eq!((answer.started, answer.waiting), (1, 5));
    world.until(5, 30).await;
    assert_eq!(world.hours().await, [-2, -1, 0, 1, 2, 3, 4, 5]);
    assert_eq!(world.shown().await.state.counts.ran_before, 3);
    let jobs: Vec<_> = world.jobs().await.into_values().collect();
    assert!(jobs[1].started_at_ms >= jobs[0].closed_at_ms, "they ran one after another");

    let answer = world.tell(backfill(-9, -3, Overlap::AllowAll)).await.unwrap();
    assert_eq!(answer.started, 7);
    world.until(5, 45).await;
    assert_eq!(world.hours().await.len(), 15);
    let large = world.tell(backfill(-9_000, 0, Overlap::AllowAll)).await;
    assert_eq!(code(large.unwrap_err()), "BACKFILL_TOO_LARGE");
}

#[tokio::test(start_paused = true)]
async fn people_are_refused_what_would_not_fit() {
    let mut world = World::new(7).await;
    world.create(&hourly(HOUR_MS as u64, Overlap::Skip)).await;
    world.until(1, 30).await;
    for days in 0..2 {
        let from = -480 - days * 480;
        let answer = world.tell(backfill(from, from + 479, Overlap::BufferAll)).await.unwrap();
        assert_eq!(answer.waiting, 480);
    }
    let full = world.tell(backfill(-2_000, -1_900, Overlap::BufferAll)).await;
    assert_eq!(code(full.unwrap_err()), "TOO_MANY_WAITING");
    assert_eq!(world.shown().await.state.waiting.len(), 960);
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_the_place_of_the_definition_from_now_on() {
    let mut world = World::new(4).await;
    world.create(&hourly(MINUTE_MS, Overlap::Skip)).await;
    world.until(2, 30).await;
    let job = Job { takes_ms: MINUTE_MS, ..Job::default() };
    let quarterly = definition(cron("*/15 * * * *", ""), &job, Overlap::Skip);
    let change = |version| Change::Update {
        definition: Box::new(quarterly.clone()),
        expected_version: Some(version),
    };
    assert_eq!(world.tell(change(1)).await.unwrap().version, 2);
    assert_eq!(code(world.tell(change(1)).await.unwrap_err()), "VERSION_CONFLICT");
    world.until(3, 5).await;
    let times: Vec<String> = world.jobs().await.into_keys().collect();
    assert_eq!(
        times,
        ["01:00", "02:00", "02:45", "03:00"].map(|at| format!("2027-03-01T{at}:00Z"))
    );
    assert_eq!(world.shown().await.definition, quarterly);
}

#[tokio::test(start_paused = true)]
async fn a_specification_that_this_machine_cannot_read_pauses_the_schedule() {
    let mut world = World::new(5).await;
    let nowhere = definition(cron("0 3 * * *", "Europe/Atlantis"), &Job::default(), Overlap::Skip);
    world.create(&nowhere).await;
    world.pass(Duration::from_secs(1)).await;
    let why = world.shown().await.state.paused.unwrap();
    assert!(why.contains("SPEC_UNUSABLE") && why.contains("Europe/Atlantis"), "{why}");
    let readable = definition(every(HOUR_MS, 0), &Job::default(), Overlap::Skip);
    let change = Change::Update { definition: Box::new(readable), expected_version: None };
    world.tell(change).await.unwrap();
    world.tell(Change::Unpause { skip_missed: false }).await.unwrap();
    world.until(1, 30).await;
    assert_eq!(world.hours().await, [1]);
}

#[tokio::test(start_paused = true)]
async fn deleting_ends_the_schedule_and_lets_its_runs_go_on() {
    let mut world = World::new(6).await;
    world.create(&hourly(5 * HOUR_MS as u64, Overlap::BufferAll)).await;
    world.until(2, 30).await;
    world.tell(Change::Delete).await.unwrap();
    let outcome = world.engine.outcome(&workflow_id(ID), Duration::ZERO).await.unwrap();
    assert_eq!(outcome.unwrap().state, RunState::Completed);
    world.until(12, 0).await;
    assert_eq!(world.states().await, [RunState::Completed]);
    let closed = world.tell(Change::Trigger { overlap: None }).await.unwrap_err();
    assert!(matches!(closed, Error::Closed { .. }), "{closed}");
}
