//! Queries: what a run shows of itself.

use std::time::Duration;

use souk_orchestrator::engine::error::Error;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};

use super::transfer::Transfer;
use super::world::{LONG, World};

async fn standing(world: &World) -> String {
    let json = world.engine.query("n", "standing").await.unwrap();
    String::from_utf8(json.to_vec()).unwrap()
}

async fn raise(world: &World, id: &str) {
    world.engine.update("n", "raise", id, r#"{"by":5}"#.into(), LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_view_is_shown_live_idle_after_a_crash_and_after_the_end_and_records_nothing() {
    let mut world = World::new(1).await;
    world.start_as("n", "negotiation", &100).await.unwrap();
    assert_eq!(standing(&world).await, r#"{"amount":100,"raises":0}"#);
    raise(&world, "1").await;
    assert_eq!(standing(&world).await, r#"{"amount":105,"raises":1}"#);
    // It leaves memory, and comes back by replay.
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    assert_eq!(standing(&world).await, r#"{"amount":105,"raises":1}"#);
    world.restart(Unsynced::Lost).await;
    assert_eq!(standing(&world).await, r#"{"amount":105,"raises":1}"#);
    raise(&world, "2").await;
    world.signal("n", "confirm", "end").await.unwrap();
    world.end("n").await;
    assert_eq!(standing(&world).await, r#"{"amount":110,"raises":2}"#);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(standing(&world).await, r#"{"amount":110,"raises":2}"#);
    let expected = ["started", "update raise", "update answered"];
    assert_eq!(world.outline("n").await[..3], expected);
    assert_eq!(world.outline("n").await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_durable_is_not_shown() {
    let mut world = World::new(2).await;
    world.start_as("n", "negotiation", &100).await.unwrap();
    let begun = world.disk.count(Operation::Append);
    world.disk.inject(Operation::Append, begun, Fault::Slow(Duration::from_secs(5)));
    world.disk.inject(Operation::Append, begun + 1, Fault::CrashBefore);
    let disk = world.disk.clone();
    let shown = async {
        let update = world.engine.update("n", "raise", "1", r#"{"by":5}"#.into(), LONG);
        let asked_ms = world.now_ms();
        let look = async {
            let shown = standing(&world).await;
            assert!(world.now_ms() - asked_ms >= 5_000, "shown before it was durable");
            shown
        };
        futures::join!(update, look).1
    };
    assert_eq!(shown.await, r#"{"amount":105,"raises":1}"#);
    // The next one dies with the process before it is on the disk: nobody has seen it.
    tokio::select! {
        biased;
        () = disk.crashed() => {}
        () = raise(&world, "2") => panic!("acknowledged before it was durable"),
        _ = standing(&world) => panic!("shown before it was durable"),
    }
    world.restart(Unsynced::Lost).await;
    assert_eq!(standing(&world).await, r#"{"amount":105,"raises":1}"#);
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_not_there_and_a_run_that_is_not_there_are_told_apart() {
    let world = World::new(3).await;
    world.start("t", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    let unpublished = world.engine.query("t", "standing").await;
    assert!(matches!(unpublished, Err(Error::NotPublished(name)) if name == "standing"));
    world.signal("t", "confirm", "1").await.unwrap();
    world.end("t").await;
    let closed = world.engine.query("t", "standing").await;
    assert!(matches!(closed, Err(Error::NotPublished(_))));
    let unknown = world.engine.query("nobody", "standing").await;
    assert!(matches!(unknown, Err(Error::NotFound(_))));
}
