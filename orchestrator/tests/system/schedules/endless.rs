//! A schedule lives for ever: in turns, each with a short history.

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::system::schedule::definition::Overlap;

use super::calendar::every;
use super::world::{Job, World, definition};

#[tokio::test(start_paused = true)]
async fn hundreds_of_firings_leave_turns_with_flat_histories() {
    let world = World::new(1).await;
    let mut definition = definition(every(60_000, 0), &Job::default(), Overlap::Skip);
    definition.spec.jitter_ms = 10_000;
    world.create(&definition).await;
    world.until(6, 0).await;
    let filter = Filter::parse(r#"type = "souk.schedule""#, 0).unwrap();
    let turns = world.engine.list(&filter, None, 1_000).await.unwrap().rows;
    assert!(turns.len() > 10, "{} turns", turns.len());
    assert_eq!(turns.iter().filter(|turn| turn.state() == RunState::Running).count(), 1);
    let lengths: Vec<u64> = turns.iter().map(|turn| turn.next_sequence).collect();
    assert!(lengths.iter().all(|length| *length < 600), "{lengths:?}");
    let bytes: Vec<u64> = turns.iter().map(|turn| turn.history_bytes).collect();
    assert!(bytes.iter().all(|bytes| *bytes < 200_000), "{bytes:?}");
    let counts = world.shown().await.state.counts;
    let jobs = world.jobs().await;
    assert_eq!(counts.started, jobs.len() as u64);
    // Six hours, but for the one whose jitter is not over.
    assert!((6 * 60 - 1..=6 * 60).contains(&jobs.len()), "{}", jobs.len());
    assert_eq!((counts.missed, counts.skipped), (0, 0));
}
