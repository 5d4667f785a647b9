//! Nodes die, at any append, and others go on with what they did.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::membership::NodeState;

use super::node::Death;
use super::world::{TAKEOVER, World, until};
use crate::engine::transfer::Transfer;

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_node_that_dies_go_on_elsewhere_within_fifteen_seconds() {
    let world = World::new(1);
    let [one, two, three] = world.nodes().await;
    let order = Transfer { confirm: true, ..Transfer::default() };
    let (waiting, timed) = (world.id_of(&one, 1), world.id_of(&one, 2));
    world.start(&waiting, "transfer", &order).await;
    world.start(&timed, "later", &Duration::from_secs(3)).await;
    one.gate.kill();
    let since = tokio::time::Instant::now();
    world.signal(&waiting, "confirm", "1", "null").await;
    world.check_transfer(&waiting).await;
    world.end(&timed).await;
    assert!(since.elapsed() < TAKEOVER, "{:?}", since.elapsed());
    until("the dead node is sealed", || world.state_of(&one) == Some(NodeState::Sealed)).await;
    world.settled(&[&two, &three]).await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_append_loses_nothing_and_repeats_nothing() {
    for seed in 0..40 {
        let world = World::new(100 + seed);
        let mut random = StdRng::seed_from_u64(seed);
        let [one, two, _three] = world.nodes().await;
        let at = random.random_range(0..40);
        one.log.die(if random.random() { Death::Before(at) } else { Death::After(at) });
        if seed % 4 == 0 {
            // And so does another one, which may be taking over by then.
            let at = random.random_range(0..60);
            two.log.die(if random.random() { Death::Before(at) } else { Death::After(at) });
        }
        let mut names = Vec::new();
        for number in 0..60 {
            let name = format!("run{number}");
            let order = Transfer { amount: 1, confirm: number % 4 == 0, refuse: false };
            world.start(&name, "transfer", &order).await;
            if order.confirm {
                world.signal(&name, "confirm", "1", "null").await;
            }
            names.push(name);
        }
        for name in &names {
            world.check_transfer(name).await;
        }
        world.check_effects(names.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_dies_midway_is_followed_by_another() {
    for at in 0..6 {
        for death in [Death::Before(at), Death::After(at)] {
            let world = World::new(50 + at);
            let [one, two, three] = world.nodes().await;
            // The one that is to take over first has the lowest log.
            let name = world.id_of(&three, 1);
            world
                .start(&name, "transfer", &Transfer { confirm: true, ..Transfer::default() })
                .await;
            one.log.die(death);
            three.gate.kill();
            world.signal(&name, "confirm", "1", "null").await;
            world.check_transfer(&name).await;
            world.check_effects(1);
            drop(two);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_nodes_die_and_new_ones_go_on() {
    let world = World::new(9);
    let nodes: [_; 3] = world.nodes().await;
    let order = Transfer { confirm: true, ..Transfer::default() };
    for number in 0..30 {
        world.start(&format!("run{number}"), "transfer", &order).await;
    }
    nodes.iter().for_each(|node| node.gate.kill());
    let [one, two] = [world.node("new-1").await, world.node("new-2").await];
    let took = world.settled(&[&one, &two]).await;
    assert!(took < TAKEOVER, "{took:?}");
    for number in 0..30 {
        world.signal(&format!("run{number}"), "confirm", "1", "null").await;
        world.check_transfer(&format!("run{number}")).await;
    }
    world.check_effects(30);
}
