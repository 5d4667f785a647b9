//! Closed runs go after their time, whatever happens meanwhile.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Error, Options};

use super::transfer::{self, Transfer};
use super::world::{LONG, World, quick};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn world(seed: u64) -> World {
    let options = Options { retention: Some(DAY), ..quick() };
    let world = World::with(seed, options, transfer::registry()).await;
    world.start("open", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    for number in 0..20 {
        let id = format!("t{number}");
        world
            .start(&id, &Transfer { refuse: number % 3 == 0, ..Transfer::default() })
            .await
            .unwrap();
        world.end(&id).await;
    }
    world
}

async fn listed(world: &World) -> usize {
    world.engine.list(&Filter::default(), None, 100).await.unwrap().rows.len()
}

#[tokio::test(start_paused = true)]
async fn closed_runs_go_after_their_time_and_open_ones_stay() {
    let world = world(1).await;
    world.pass(DAY - Duration::from_secs(7200)).await;
    assert_eq!(listed(&world).await, 21);
    world.pass(Duration::from_secs(4 * 3600)).await;
    assert_eq!(listed(&world).await, 1);
    assert!(matches!(world.engine.describe("t1").await, Err(Error::NotFound(_))));
    // Its id is free again.
    assert!(world.start("t1", &Transfer::default()).await.unwrap().is_new);
    world.end("t1").await;
    // A run that was open for longer than that is kept from its end on.
    world.signal("open", "confirm", "1").await.unwrap();
    world.end("open").await;
    world.pass(DAY / 2).await;
    assert_eq!(world.row("open").await.state(), RunState::Completed);
    world.pass(DAY).await;
    assert!(matches!(world.engine.describe("open").await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn dying_while_old_runs_are_deleted_loses_nothing_else() {
    let deaths = [Fault::CrashBefore, Fault::CrashDuring, Fault::CrashAfter];
    for (fault, unsynced) in
        deaths.into_iter().zip([Unsynced::Kept, Unsynced::SeededPrefix, Unsynced::Lost])
    {
        let mut world = world(2).await;
        world.pass(Duration::from_secs(10)).await;
        let sweeps = world.disk.count(Operation::Expire);
        let at_day = DAY.as_secs() / 3_600;
        world.disk.inject(Operation::Expire, sweeps + at_day, fault);
        let disk = world.disk.clone();
        disk.crashed().await;
        world.restart(unsynced).await;
        world.pass(Duration::from_secs(7200)).await;
        assert_eq!(listed(&world).await, 1);
        world.signal("open", "confirm", "1").await.unwrap();
        assert_eq!(
            world.engine.outcome("open", LONG).await.unwrap().unwrap().state,
            RunState::Completed
        );
    }
}
