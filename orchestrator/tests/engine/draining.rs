//! What is durable reaches the tables, however often they refuse it.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::{Fault, Operation};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::testing::Unsynced;

use super::transfer::Transfer;
use super::world::World;

const RUNS: usize = 10;
/// Signals that come to each of them, and the pause between two.
const SIGNALS: usize = 60;
const PAUSE: Duration = Duration::from_millis(130);
/// Of so many steps into the tables all but the last fail.
const ONE_OF: u64 = 4;
const STEPS: u64 = 400;

/// Every run goes on while its earlier events are refused, so that it waits to be drained again and again.
#[tokio::test(start_paused = true)]
async fn runs_that_go_on_while_draining_fails_are_whole_in_the_tables() {
    let mut world = World::new(4).await;
    for nth in (0..STEPS).filter(|nth| nth % ONE_OF != ONE_OF - 1) {
        world.disk.inject(Operation::Apply, nth, Fault::Refused);
    }
    let names: Vec<String> = (0..RUNS).map(|number| format!("run-{number}")).collect();
    for name in &names {
        world.start(name, &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    }
    for number in 0..SIGNALS {
        for name in &names {
            world.signal(name, "remark", &number.to_string()).await.unwrap();
        }
        world.pass(PAUSE).await;
    }
    for name in &names {
        world.signal(name, "confirm", "confirm").await.unwrap();
    }
    for name in &names {
        assert_eq!(world.end(name).await.state, RunState::Completed, "{name}");
    }
    let before: Vec<_> = names.iter().map(|name| world.history(name)).collect();
    let before = futures::future::join_all(before).await;
    // All of it is drained, and the log is not asked for it any more.
    world.pass(Duration::from_secs(600)).await;
    world.restart(Unsynced::Lost).await;
    for (name, before) in names.iter().zip(before) {
        let row = world.engine.describe(name).await.unwrap().row;
        assert_eq!(row.state(), RunState::Completed, "{name}");
        assert_eq!(world.history(name).await, before, "{name}");
    }
    world.check_promises().await.unwrap();
}
