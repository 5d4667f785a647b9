//! The same on a server that speaks CQL, in real time.

use std::sync::Arc;
use std::time::Duration;

use souk_orchestrator::engine::membership::{Membership, NodeState};
use souk_orchestrator::store::cql::{CqlLog, CqlMembership, CqlTables};

use super::node::Node;
use super::world::World;
use crate::engine::transfer::Transfer;
use crate::forms::Keyspace;

async fn node(world: &World, keyspace: &Keyspace, address: &str) -> Node {
    // Each has connections of its own, as processes have.
    let session = keyspace.session().await;
    let log = Arc::new(CqlLog::open(&session).await.unwrap());
    let tables = Arc::new(CqlTables::open(&session).await.unwrap());
    let record = Arc::new(CqlMembership::open(&session).await.unwrap());
    world.node_on(address, log, tables, record).await
}

async fn start(world: &World, from: usize, count: usize) {
    let starts = (from..from + count).map(|number| async move {
        let order = Transfer { amount: 1, confirm: number % 2 == 0, refuse: false };
        world.start(&format!("run{number}"), "transfer", &order).await;
    });
    futures::future::join_all(starts).await;
}

const RUNS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_cql_share_the_runs_and_take_over_from_one_that_dies() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let session = keyspace.empty().await;
    let record = CqlMembership::open(&session).await.unwrap();
    let world = World::new(1);
    let one = node(&world, &keyspace, "one").await;
    world.settled(&[&one]).await;
    start(&world, 0, RUNS / 2).await;
    // While these wait for their confirmation, others join.
    let two = node(&world, &keyspace, "two").await;
    let three = node(&world, &keyspace, "three").await;
    world.settled(&[&one, &two, &three]).await;
    start(&world, RUNS / 2, RUNS / 2).await;
    one.gate.kill();
    let since = tokio::time::Instant::now();
    let confirms = (0..RUNS).step_by(2).map(|number| {
        let world = &world;
        async move { world.signal(&format!("run{number}"), "confirm", "1", "null").await }
    });
    futures::future::join_all(confirms).await;
    for number in 0..RUNS {
        world.check_transfer(&format!("run{number}")).await;
    }
    let took = since.elapsed();
    println!("everything had gone on and ended {took:?} after a node died");
    assert!(took < Duration::from_secs(60), "{took:?}");
    world.check_effects(RUNS);
    world.settled(&[&two, &three]).await;
    assert!(two.engine.leave(Duration::from_secs(30)).await);
    two.engine.shutdown().await.unwrap();
    world.settled(&[&three]).await;
    let states = record.view().await.unwrap().nodes;
    assert_eq!(states[&one.engine.log_id()].state, NodeState::Sealed);
    assert_eq!(states[&two.engine.log_id()].state, NodeState::Sealed);
    three.engine.shutdown().await.unwrap();
}
