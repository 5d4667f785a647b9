//! Runs that do not get on are found, with the cause.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::Unsynced;

use super::bank::Behaviour;
use super::shapes;
use super::transfer::Transfer;
use super::world::{LONG, World, quick};

#[tokio::test(start_paused = true)]
async fn the_oldest_run_of_each_type_and_step_is_told_with_its_cause() {
    let mut world = World::with(1, quick(), shapes::registry("story")).await;
    // One waits for a signal, which is as it should be.
    world.start("waiting", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    world.engine.answer("waiting", LONG).await.unwrap();
    // One is parked.
    world.bank.always("give_back", Behaviour::Fail);
    world.start("parked", &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
    while world.row("parked").await.parked_by.is_none() {
        world.pass(Duration::from_secs(1)).await;
    }
    world.pass(Duration::from_secs(500)).await;
    // Two cannot do a step.
    world.bank.always("withdraw", Behaviour::Fail);
    world.start("older", &Transfer::default()).await.unwrap();
    world.pass(Duration::from_secs(2)).await;
    world.start("newer", &Transfer::default()).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let found = world.engine.unmoved().await.unwrap();
    let lines: Vec<_> = found
        .iter()
        .map(|line| {
            (line.step.as_str(), line.runs, line.oldest_workflow_id.as_str(), line.cause.as_str())
        })
        .collect();
    let failed = "UNAVAILABLE: told to fail";
    assert_eq!(lines, [("give_back", 1, "parked", failed), ("withdraw", 2, "older", failed)]);
    assert_eq!(found[1].workflow_type, "transfer");
    assert_eq!(found[1].oldest_ms, 3_000);
    assert!(found[0].oldest_ms > 500_000);
    world.bank.calm();
    world.end("older").await;
    world.end("newer").await;
    assert_eq!(world.engine.unmoved().await.unwrap().len(), 1);

    // One does not fit its code.
    world.start_as("s", "story", &()).await.unwrap();
    while !world.outline("s").await.contains(&"completed note".into()) {
        world.pass(Duration::from_millis(10)).await;
    }
    world.restart_with(Unsynced::Lost, shapes::registry("another step")).await;
    world.signal("s", "confirm", "1").await.unwrap();
    world.pass(Duration::from_secs(7)).await;
    let found = world.engine.unmoved().await.unwrap();
    let stuck = found.iter().find(|line| line.workflow_type == "story").unwrap();
    assert_eq!((stuck.step.as_str(), stuck.oldest_ms >= 7_000), ("", true));
    assert!(stuck.cause.starts_with("SOUK-0001: "), "{}", stuck.cause);
}
