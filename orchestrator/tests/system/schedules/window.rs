//! The catch-up window, pauses, failures, limits: which firings run late, and which never do.

use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::system::schedule::command::Change;
use souk_orchestrator::system::schedule::definition::{Definition, Overlap};

use super::calendar::{cron, every, ms};
use super::world::{HOUR_MS, Job, World, definition, hourly};

const MINUTE_MS: u64 = 60_000;

fn pause() -> Change {
    Change::Pause { note: "inventory".into() }
}

fn update(definition: Definition) -> Change {
    Change::Update { definition: Box::new(definition), expected_version: None }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_that_was_down_missed_runs_within_the_window() {
    let mut world = World::new(1).await;
    let mut definition = hourly(MINUTE_MS, Overlap::AllowAll);
    definition.policies.catch_up_ms = 3 * HOUR_MS;
    world.create(&definition).await;
    world.until(2, 30).await;
    world.stop();
    world.until(10, 30).await;
    world.restart(Unsynced::Lost).await;
    world.until(11, 30).await;
    // Down from 2:30 to 10:30: 8, 9 and 10 o'clock were within three hours, 3 to 7 were not.
    assert_eq!(world.hours().await, [1, 2, 8, 9, 10, 11]);
    let counts = world.shown().await.state.counts;
    assert_eq!((counts.started, counts.missed), (6, 5));
}

#[tokio::test(start_paused = true)]
async fn a_long_absence_is_caught_up_in_pieces_and_counted_to_the_last_firing() {
    let mut world = World::new(2).await;
    let mut every_minute = definition(every(60_000, 0), &Job::default(), Overlap::AllowAll);
    every_minute.policies.catch_up_ms = 4 * HOUR_MS;
    world.create(&every_minute).await;
    world.until(0, 10).await;
    world.pass(std::time::Duration::from_secs(1)).await;
    world.stop();
    world.until(20 * 24, 0).await;
    world.restart(Unsynced::Lost).await;
    world.until(20 * 24, 30).await;
    world.pass(std::time::Duration::from_secs(1)).await;
    let counts = world.shown().await.state.counts;
    assert_eq!(counts.started + counts.missed, (20 * 24 * 60) + 30);
    // Ten before, four hours' within the window (both its ends are), thirty after.
    assert_eq!(counts.started, 10 + 4 * 60 + 1 + 30);
    assert_eq!(world.jobs().await.len() as u64, counts.started);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everything_and_the_window_says_what_follows() {
    let mut world = World::new(3).await;
    let mut definition = hourly(MINUTE_MS, Overlap::AllowAll);
    definition.policies.catch_up_ms = 2 * HOUR_MS;
    world.create(&definition).await;
    world.until(1, 30).await;
    world.tell(pause()).await.unwrap();
    assert_eq!(world.shown().await.state.paused.as_deref(), Some("inventory (by mara)"));
    world.until(6, 30).await;
    assert_eq!(world.hours().await, [1]);
    world.tell(Change::Unpause { skip_missed: false }).await.unwrap();
    world.until(7, 30).await;
    assert_eq!(world.hours().await, [1, 5, 6, 7]);
    assert_eq!(world.shown().await.state.counts.missed, 3);

    world.tell(pause()).await.unwrap();
    world.until(9, 30).await;
    world.tell(Change::Unpause { skip_missed: true }).await.unwrap();
    world.until(10, 30).await;
    assert_eq!(world.hours().await, [1, 5, 6, 7, 10]);
    let state = world.shown().await.state;
    assert_eq!((state.counts.missed, state.paused), (5, None));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_run_waits_through_a_pause() {
    let mut world = World::new(4).await;
    world.create(&hourly(5 * HOUR_MS as u64, Overlap::BufferOne)).await;
    world.until(2, 30).await;
    world.tell(pause()).await.unwrap();
    world.finish("2027-03-01T01:00:00Z").await;
    world.until(4, 30).await;
    assert_eq!(world.hours().await, [1]);
    world.tell(Change::Unpause { skip_missed: false }).await.unwrap();
    world.until(4, 45).await;
    assert_eq!(world.hours().await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_pauses_a_schedule_that_is_to_pause_on_failure() {
    let mut world = World::new(5).await;
    let job = Job { takes_ms: MINUTE_MS, fails: true, ..Job::default() };
    let mut definition = definition(every(HOUR_MS, 0), &job, Overlap::Skip);
    definition.policies.pause_on_failure = true;
    world.create(&definition).await;
    world.until(1, 10).await;
    // As soon as it has failed, not only at the next time.
    let why = world.shown().await.state.paused.unwrap();
    assert!(why.starts_with("paused itself: job/2027-03-01T01:00:00Z failed: JOB_FAILED"), "{why}");
    world.until(3, 30).await;
    assert_eq!(world.states().await, [RunState::Failed]);
    assert_eq!(world.shown().await.state.recent[0].end.state, "failed");

    // Others go on, and show the failure.
    definition.policies.pause_on_failure = false;
    world.tell(update(definition)).await.unwrap();
    world.tell(Change::Unpause { skip_missed: true }).await.unwrap();
    world.until(5, 30).await;
    assert_eq!(world.hours().await, [1, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_started_counts_and_does_not_stop_the_schedule() {
    let mut world = World::new(6).await;
    let mut definition = hourly(MINUTE_MS, Overlap::Skip);
    definition.action.workflow_type = "of_another_build".into();
    world.create(&definition).await;
    world.until(2, 30).await;
    let state = world.shown().await.state;
    assert_eq!((state.counts.started, state.counts.failed), (0, 2));
    let end = &state.recent[1].end;
    assert_eq!(end.state, "not_started");
    assert_eq!(end.failure.as_ref().unwrap().code, "WORKFLOW_TYPE_UNKNOWN");
    definition.action.workflow_type = "job".into();
    world.tell(update(definition)).await.unwrap();
    world.until(3, 30).await;
    assert_eq!(world.hours().await, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_actions_is_kept_and_may_be_raised() {
    let mut world = World::new(7).await;
    let mut definition = hourly(MINUTE_MS, Overlap::AllowAll);
    definition.remaining_actions = Some(2);
    world.create(&definition).await;
    world.until(5, 30).await;
    assert_eq!(world.hours().await, [1, 2]);
    assert_eq!(world.shown().await.definition.remaining_actions, Some(0));
    definition.remaining_actions = Some(1);
    world.tell(update(definition)).await.unwrap();
    world.until(9, 30).await;
    // Not those of the time when nothing was left.
    assert_eq!(world.hours().await, [1, 2, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_year_of_a_daily_schedule_passes_through_both_changes_of_the_clock() {
    let world = World::new(8).await;
    let job = Job { takes_ms: MINUTE_MS, ..Job::default() };
    world.create(&definition(cron("30 2 * * *", "Europe/Berlin"), &job, Overlap::Skip)).await;
    world.until(365 * 24, 0).await;
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 365);
    for time in [
        "2027-03-27T01:30:00Z",
        "2027-03-28T01:00:00Z",
        "2027-03-29T00:30:00Z",
        "2027-10-31T00:30:00Z",
        "2027-11-01T01:30:00Z",
    ] {
        let job = jobs.get(time).unwrap_or_else(|| panic!("no run at {time}"));
        let late_ms = job.started_at_ms - ms(time);
        assert!((0..1_000).contains(&late_ms), "{time}: {late_ms} ms late");
    }
    let counts = world.shown().await.state.counts;
    assert_eq!((counts.started, counts.missed, counts.skipped), (365, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_each_start_by_its_own_share() {
    let world = World::new(9).await;
    let mut definition = hourly(MINUTE_MS, Overlap::Skip);
    definition.spec.jitter_ms = 30 * 60_000;
    world.create(&definition).await;
    world.until(20, 59).await;
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 20);
    let late: Vec<i64> = jobs.iter().map(|(time, job)| job.started_at_ms - ms(time)).collect();
    assert!(late.iter().all(|late| (0..31 * 60_000).contains(late)), "{late:?}");
    assert!(late.iter().any(|late| *late > 60_000), "{late:?}");
}
