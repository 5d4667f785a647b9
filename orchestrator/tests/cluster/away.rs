//! A store that does not answer: nobody is taken for dead, nothing is lost, and all goes on when it is back.

use std::time::Duration;

use futures::FutureExt;
use souk_orchestrator::engine::log::sim::{Fault, Operation};

use super::world::World;
use crate::engine::bank::Behaviour;
use crate::engine::transfer::Transfer;

const AWAY_FOR: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn nodes_whose_store_is_away_for_a_minute_wait_for_it_and_go_on() {
    let world = World::new(9);
    let [one, two] = world.nodes().await;
    let names: Vec<String> = [&one, &two]
        .iter()
        .flat_map(|node| (0..5).map(|number| world.id_of(node, number)))
        .collect();
    // Each has something to write while the store is away.
    world.bank.next("deposit", &vec![Behaviour::FailFor(8_000); names.len()]);
    for name in &names {
        world.start(name, "transfer", &Transfer::default()).await;
    }
    world.disk.inject(Operation::Append, world.disk.count(Operation::Append), Fault::DiskFull);
    tokio::time::sleep(AWAY_FOR).await;
    world.disk.make_room();
    for name in &names {
        world.check_transfer(name).await;
    }
    world.check_effects(names.len());
    for node in [&one, &two] {
        assert!(node.engine.fenced().now_or_never().is_none(), "{} has ended", node.address);
    }
    world.settled(&[&one, &two]).await;
}
