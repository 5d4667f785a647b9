//! Nodes come and go while runs flow.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use souk_orchestrator::engine::membership::NodeState;
use souk_orchestrator::engine::partition::PARTITIONS;

use super::world::World;
use crate::engine::transfer::Transfer;

const RUNS: usize = 300;

/// Starts a transfer every so often, and confirms each.
async fn flow(world: &World, from: usize, count: usize) {
    let mut runs = FuturesUnordered::new();
    for number in from..from + count {
        runs.push(async move {
            let name = format!("run{number}");
            let confirm = number % 3 == 0;
            let order = Transfer { amount: 1, confirm, refuse: false };
            world.start(&name, "transfer", &order).await;
            if confirm {
                tokio::time::sleep(Duration::from_millis(700)).await;
                world.signal(&name, "confirm", "1", "null").await;
            }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while runs.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn from_one_node_to_three_and_to_two_every_run_completes_once() {
    for seed in 1..=5 {
        let world = World::new(seed);
        let one = world.node("one").await;
        world.settled(&[&one]).await;
        assert_eq!(one.engine.serving().len(), usize::from(PARTITIONS));
        let grow = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let two = world.node("two").await;
            let three = world.node("three").await;
            let took = world.settled(&[&one, &two, &three]).await;
            assert!(took < Duration::from_secs(10), "{took:?}");
            // The first leaves as a node does that is shut down.
            assert!(one.gate.within(one.engine.leave(Duration::from_secs(20))).await);
            assert!(one.engine.serving().is_empty());
            one.engine.shutdown().await.unwrap();
            assert_eq!(world.state_of(&one), Some(NodeState::Sealed));
            one.gate.kill();
            world.settled(&[&two, &three]).await;
            (two, three)
        };
        let flow = flow(&world, 0, RUNS);
        let ((two, three), ()) = super::world::both(grow, flow).await;
        for number in 0..RUNS {
            world.check_transfer(&format!("run{number}")).await;
        }
        world.check_effects(RUNS);
        drop((two, three));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_node_to_leave_keeps_everything_for_the_next() {
    let world = World::new(7);
    let [one] = world.nodes().await;
    world.start("w", "transfer", &Transfer { confirm: true, ..Transfer::default() }).await;
    assert!(one.engine.leave(Duration::from_secs(20)).await);
    one.engine.shutdown().await.unwrap();
    one.gate.kill();
    let next = world.node("next").await;
    let took = world.settled(&[&next]).await;
    assert!(took < Duration::from_secs(3), "nobody needs to wait for it to be dead: {took:?}");
    world.signal("w", "confirm", "1", "null").await;
    world.check_transfer("w").await;
}

#[tokio::test(start_paused = true)]
async fn starts_of_one_workflow_id_on_two_nodes_begin_one_run() {
    let world = World::new(3);
    let [one, two, three] = world.nodes().await;
    for number in 0..20 {
        let name = format!("same{number}");
        let start = |engine: souk_orchestrator::engine::Engine| {
            let request = souk_orchestrator::engine::StartRequest::new(
                name.clone(),
                "transfer",
                &Transfer::default(),
            );
            async move { engine.start(request.unwrap()).await }
        };
        let on = async |node| match world.network.ask(node, start).await {
            Err(souk_orchestrator::engine::Error::NotOwner { owner: Some(_), .. }) => None,
            started => Some(started.unwrap()),
        };
        let (first, second, third) = tokio::join!(on(&one), on(&two), on(&three));
        let taken = [first, second, third].into_iter().flatten().count();
        assert_eq!(taken, 1, "only the owner takes it");
        world.check_transfer(&name).await;
    }
}
