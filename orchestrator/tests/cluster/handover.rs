//! Partitions that move while everything that runs can do is under way in them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::membership::sim::Fault;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::Irreversible;
use souk_orchestrator::engine::{ChildWorkflow, Cx, Error, Failure, Registry};

use super::world::World;
use crate::engine::bank::Behaviour;
use crate::engine::transfer::{self, Transfer, Withdraw};

/// A transfer as a part of something.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Errand(Transfer);

impl ChildWorkflow for Errand {
    const TYPE: &'static str = "transfer";
    type Output = String;
    type Undo = Irreversible;
}

/// Takes money and has an errand done.
async fn parent(cx: &Cx, errand: Errand) -> Result<String, Failure> {
    let saga = cx.saga();
    saga.step(Withdraw { amount: 1 }).await?;
    saga.child(errand).await
}

fn registry() -> Registry {
    transfer::registry().workflow("parent", parent)
}

/// Everything that can be under way: steps that fail for a while, timers, signals that wait, children.
async fn begin(world: &World, count: usize) {
    world.bank.next("deposit", &vec![Behaviour::FailFor(900); count / 2]);
    for number in 0..count {
        let confirm = Transfer { amount: 1, confirm: true, refuse: false };
        world.start(&format!("plain{number}"), "transfer", &Transfer::default()).await;
        world.start(&format!("confirm{number}"), "transfer", &confirm).await;
        world.start(&format!("timed{number}"), "later", &Duration::from_millis(300)).await;
        world.start(&format!("words{number}"), "gather", &2).await;
        world.start(&format!("parent{number}"), "parent", &Errand(confirm)).await;
    }
}

async fn finish(world: &World, count: usize) {
    for number in 0..count {
        world.signal(&format!("confirm{number}"), "confirm", "1", "null").await;
        world.signal(&format!("words{number}"), "word", "a", "\"one\"").await;
        world.signal(&format!("words{number}"), "word", "a", "\"one\"").await;
        world.signal(&format!("words{number}"), "word", "b", "\"two\"").await;
        world.signal(&child(number), "confirm", "1", "null").await;
    }
    for number in 0..count {
        world.check_transfer(&format!("plain{number}")).await;
        world.check_transfer(&format!("confirm{number}")).await;
        world.check_transfer(&child(number)).await;
        for name in ["timed", "words", "parent"] {
            let outcome = world.end(&format!("{name}{number}")).await;
            assert_eq!(outcome.state, RunState::Completed, "{name}{number}: {outcome:?}");
        }
        let words = world.end(&format!("words{number}")).await.result.unwrap();
        assert_eq!(words, r#"["one","two"]"#, "each signal once, in order");
        for key in [format!("timed{number}/withdraw/1"), format!("parent{number}/withdraw/1")] {
            assert_eq!(world.bank.effect(&key).done, 1, "{key}");
        }
    }
}

fn child(number: usize) -> String {
    format!("parent{number}/transfer/1")
}

const RUNS: usize = 12;

#[tokio::test(start_paused = true)]
async fn a_partition_changes_hands_when_all_that_was_done_in_it_is_in_the_tables() {
    // Nobody drains by itself in the time that this takes.
    let mut world = World::with(31, registry());
    world.drain_delay = Duration::from_secs(3_600);
    let one = world.node("one").await;
    world.settled(&[&one]).await;
    begin(&world, RUNS).await;
    let two = world.node("two").await;
    world.settled(&[&one, &two]).await;
    finish(&world, RUNS).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_goes_on_where_its_partition_goes() {
    for seed in 0..8 {
        let world = World::with(300 + seed, registry());
        let [one] = world.nodes().await;
        begin(&world, RUNS).await;
        tokio::time::sleep(Duration::from_millis(seed * 50)).await;
        let two = world.node("two").await;
        let three = world.node("three").await;
        world.settled(&[&one, &two, &three]).await;
        finish(&world, RUNS).await;
        // And back: all nodes but one leave, one dies.
        assert!(three.engine.leave(Duration::from_secs(20)).await);
        three.engine.shutdown().await.unwrap();
        three.gate.kill();
        two.gate.kill();
        world.settled(&[&one]).await;
        finish(&world, RUNS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_does_nothing_more_for_runs_that_it_has_handed_over() {
    let world = World::new(1);
    let [one] = world.nodes().await;
    // Every run fails at its second step, and would be tried again on this node long after it was handed over.
    world.bank.next("deposit", &vec![Behaviour::FailFor(8_000); RUNS]);
    for number in 0..RUNS {
        world.start(&format!("run{number}"), "transfer", &Transfer::default()).await;
    }
    let two = world.node("two").await;
    assert!(world.settled(&[&one, &two]).await < Duration::from_secs(4));
    assert!(one.engine.leave(Duration::from_secs(4)).await);
    assert_eq!(one.engine.loaded_runs(), 0);
    for number in 0..RUNS {
        let name = format!("run{number}");
        world.check_transfer(&name).await;
        let calls = |step: &str| world.bank.effect(&format!("{name}/{step}/1")).calls;
        assert_eq!((calls("deposit"), calls("book"), calls("announce")), (2, 1, 1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_run_that_moves_is_told_to_ask_elsewhere() {
    let world = World::new(2);
    let [one] = world.nodes().await;
    let order = Transfer { confirm: true, ..Transfer::default() };
    world.start("w", "transfer", &order).await;
    let since = tokio::time::Instant::now();
    let waiting = async {
        let outcome = one.engine.outcome("w", Duration::from_secs(3_600)).await;
        (outcome, since.elapsed())
    };
    let moving = async {
        let two = world.node("two").await;
        world.settled(&[&one, &two]).await;
        assert!(one.engine.leave(Duration::from_secs(20)).await);
    };
    let ((outcome, told), ()) = super::world::both(waiting, moving).await;
    assert!(matches!(outcome, Err(Error::NotOwner { .. })), "{outcome:?}");
    assert!(told < Duration::from_secs(10), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parent_hears_of_its_child_though_the_childs_node_dies_before_it_could_say_so() {
    for seed in 0..20 {
        let world = World::with(400 + seed, registry());
        let [one, two, _three] = world.nodes().await;
        // A parent on one node whose child is on another.
        let serves = |node: &super::node::Node, id: &str| node.engine.serving().holds(id);
        let name = (0..)
            .map(|number| format!("parent{number}"))
            .find(|name| serves(&one, name) && serves(&two, &format!("{name}/transfer/1")))
            .unwrap();
        world.start(&name, "parent", &Errand(Transfer::default())).await;
        tokio::time::sleep(Duration::from_millis(seed)).await;
        two.gate.kill();
        let since = tokio::time::Instant::now();
        assert_eq!(world.end(&name).await.state, RunState::Completed);
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        world.check_transfer(&format!("{name}/transfer/1")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_nodes_that_often_fails_costs_nothing_but_time() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::sync::Arc;

    for seed in 0..6 {
        let world = World::with(500 + seed, registry());
        let random = parking_lot::Mutex::new(StdRng::seed_from_u64(seed));
        let faults = Arc::new(move |call| {
            let mut random = random.lock();
            let fault = match random.random_range(0..3) {
                0 => Fault::Unavailable,
                1 => Fault::UnknownApplied,
                _ => Fault::UnknownNotApplied,
            };
            (call != "join" && random.random_range(0..5) == 0).then_some(fault)
        });
        let record = world.record.with_faults(faults);
        let one = world.node_with("one", record.clone()).await;
        world.settled(&[&one]).await;
        begin(&world, RUNS).await;
        let two = world.node_with("two", record.clone()).await;
        world.settled(&[&one, &two]).await;
        finish(&world, RUNS).await;
    }
}
