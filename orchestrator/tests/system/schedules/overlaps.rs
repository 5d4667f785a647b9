//! What happens when it is time and the run before has not ended.

use std::time::Duration;

use souk_orchestrator::engine::row::RunState::{Cancelled, Completed, Running, Terminated};
use souk_orchestrator::system::schedule::definition::Overlap;

use super::calendar::every;
use super::world::{HOUR_MS, Job, World, definition, hourly};

/// Two and a half hours.
const LONG_JOB_MS: u64 = 9_000_000;

#[tokio::test(start_paused = true)]
async fn skip_leaves_out_what_would_overlap() {
    let world = World::new(1).await;
    world.create(&hourly(LONG_JOB_MS, Overlap::Skip)).await;
    world.until(9, 30).await;
    // Each takes two and a half hours.
    assert_eq!(world.hours().await, [1, 4, 7]);
    let counts = world.shown().await.state.counts;
    assert_eq!((counts.started, counts.skipped), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn buffer_one_starts_the_first_that_waits_as_soon_as_the_run_ends() {
    let world = World::new(2).await;
    world.create(&hourly(LONG_JOB_MS, Overlap::BufferOne)).await;
    world.until(6, 15).await;
    // 1:00 to 3:30, then the one of 2:00 to 6:00, then (at once) the one of 4:00.
    assert_eq!(world.hours().await, [1, 2, 4]);
    let jobs = world.jobs().await;
    let waited_ms =
        jobs["2027-03-01T02:00:00Z"].started_at_ms - jobs["2027-03-01T01:00:00Z"].closed_at_ms;
    assert!((0..1_000).contains(&waited_ms), "{waited_ms} ms");
    assert_eq!(world.states().await, [Completed, Completed, Running]);
    assert_eq!(world.shown().await.state.counts.skipped, 2);
}

#[tokio::test(start_paused = true)]
async fn buffer_all_runs_everything_one_after_another() {
    let world = World::new(3).await;
    let mut definition = hourly(LONG_JOB_MS, Overlap::BufferAll);
    definition.remaining_actions = Some(5);
    world.create(&definition).await;
    world.until(14, 0).await;
    assert_eq!(world.hours().await, [1, 2, 3, 4, 5]);
    assert_eq!(world.states().await, [Completed; 5]);
    let jobs: Vec<_> = world.jobs().await.into_values().collect();
    for pair in jobs.windows(2) {
        assert!(pair[1].started_at_ms >= pair[0].closed_at_ms, "two ran at once");
        assert!(pair[1].started_at_ms - pair[0].closed_at_ms < 1_000);
    }
    assert_eq!(world.shown().await.state.counts.skipped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_days_is_waited_for_and_the_wait_does_not_count_as_stuck() {
    let world = World::new(4).await;
    let job = Job { takes_ms: 72 * HOUR_MS as u64, ..Job::default() };
    let mut definition = definition(every(24 * HOUR_MS, 0), &job, Overlap::BufferAll);
    definition.remaining_actions = Some(2);
    world.create(&definition).await;
    world.until(90, 0).await;
    // A watch begins anew every ten minutes: nothing has been at one step for longer.
    for unmoved in world.engine.unmoved().await.unwrap() {
        assert!(unmoved.oldest_ms <= 620_000, "{unmoved:?}");
    }
    world.until(97, 0).await;
    assert_eq!(world.states().await, [Completed, Running]);
}

#[tokio::test(start_paused = true)]
async fn cancel_other_has_the_old_run_end_before_the_new_one_begins() {
    let world = World::new(5).await;
    let job = Job { takes_ms: LONG_JOB_MS, owes: true, ..Job::default() };
    world.create(&definition(every(HOUR_MS, 0), &job, Overlap::CancelOther)).await;
    world.until(3, 30).await;
    assert_eq!(world.hours().await, [1, 2, 3]);
    assert_eq!(world.states().await, [Cancelled, Cancelled, Running]);
    let jobs: Vec<_> = world.jobs().await.into_values().collect();
    assert!(jobs[1].started_at_ms >= jobs[0].closed_at_ms);
    assert_eq!(jobs[0].open_undo, 0);
    // The next one is never far behind its time.
    assert!(jobs[2].started_at_ms - jobs[1].closed_at_ms < 1_000);
}

#[tokio::test(start_paused = true)]
async fn terminate_other_ends_the_old_run_by_force_unless_it_owes_undo() {
    let world = World::new(6).await;
    world.create(&hourly(LONG_JOB_MS, Overlap::TerminateOther)).await;
    world.until(2, 30).await;
    assert_eq!(world.states().await, [Terminated, Running]);

    let world = World::new(7).await;
    let job = Job { takes_ms: LONG_JOB_MS, owes: true, ..Job::default() };
    world.create(&definition(every(HOUR_MS, 0), &job, Overlap::TerminateOther)).await;
    world.until(2, 30).await;
    assert_eq!(world.states().await, [Cancelled, Running]);
}

#[tokio::test(start_paused = true)]
async fn allow_all_runs_side_by_side() {
    let world = World::new(8).await;
    world.create(&hourly(LONG_JOB_MS, Overlap::AllowAll)).await;
    world.until(3, 10).await;
    assert_eq!(world.states().await, [Running; 3]);
    assert_eq!(world.shown().await.state.running.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_whose_run_takes_long_sleeps_on_disk_meanwhile() {
    let world = World::new(9).await;
    let job = Job { takes_ms: 20 * HOUR_MS as u64, ..Job::default() };
    world.create(&definition(every(24 * HOUR_MS, 0), &job, Overlap::Skip)).await;
    world.until(25, 0).await;
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    assert_eq!(world.states().await, [Running]);
}
