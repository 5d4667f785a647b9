//! Many runs that wait: no more of them are in memory than may be, and no more come in than the tables keep up with.

use std::time::Duration;

use souk_orchestrator::engine::limits::EVICT_AT_ONCE;
use souk_orchestrator::engine::{Error, Options};

use super::transfer::{self, Transfer};
use super::world::{LONG, World, quick};

const MAX_IDLE_RUNS: usize = 10;

async fn world(options: Options) -> World {
    World::with(1, options, transfer::registry()).await
}

/// Nobody's time to leave ever comes.
fn restless() -> Options {
    Options { idle_after: LONG, max_idle_runs: MAX_IDLE_RUNS, ..quick() }
}

/// Starts runs that wait for a signal.
async fn start(world: &World, numbers: std::ops::Range<u32>) -> Vec<Result<(), Error>> {
    let waiting = Transfer { confirm: true, ..Transfer::default() };
    let ids: Vec<_> = numbers.map(|number| format!("t{number}")).collect();
    let starts = ids.iter().map(|id| world.start(id, &waiting));
    let started = futures::future::join_all(starts).await;
    started.into_iter().map(|result| result.map(drop)).collect()
}

#[tokio::test(start_paused = true)]
async fn runs_that_come_while_the_first_is_given_its_time_leave_before_theirs() {
    let world = world(restless()).await;
    start(&world, 0..1).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.engine.loaded_runs(), 1);
    start(&world, 1..50).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.engine.loaded_runs(), MAX_IDLE_RUNS);
}

#[tokio::test(start_paused = true)]
async fn of_a_crowd_none_is_given_any_time() {
    let world = world(restless()).await;
    start(&world, 0..2_000).await;
    world.pass(Duration::from_millis(500)).await;
    let loaded = world.engine.loaded_runs();
    assert!(loaded <= MAX_IDLE_RUNS + EVICT_AT_ONCE, "{loaded} are in memory");
}

#[tokio::test(start_paused = true)]
async fn more_runs_than_the_tables_keep_up_with_are_refused_until_they_do() {
    let delay = Duration::from_secs(60);
    let world = world(Options { drain_delay: delay, max_undrained_runs: 20, ..quick() }).await;
    for number in 0..20 {
        assert!(start(&world, number..number + 1).await[0].is_ok());
    }
    let refused = start(&world, 20..21).await;
    assert!(matches!(refused[0], Err(Error::Overloaded(_))), "{refused:?}");
    // Who is in is served still.
    world.signal("t0", "confirm", "1").await.unwrap();
    world.end("t0").await;
    world.pass(2 * delay).await;
    assert!(start(&world, 20..21).await[0].is_ok());
}
