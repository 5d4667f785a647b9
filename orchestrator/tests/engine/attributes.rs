//! Search attributes: given at the start, set by the workflow, and there through crashes and turns.

use serde::Deserialize;
use souk_orchestrator::engine::attribute::{Attributes, Value};
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::limits::MAX_ATTRIBUTES;
use souk_orchestrator::engine::log::sim::{Fault, Operation, Unsynced};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Cx, Error, Failure, Registry, StartRequest};

use super::deaths::dies_during;
use super::world::{World, quick};

#[derive(Deserialize)]
struct Go {}

impl Signal for Go {
    const NAME: &'static str = "go";
}

/// Two turns, each of which says how far it is.
async fn stages(cx: &Cx, turn: i64) -> Result<String, Failure> {
    cx.set_attributes([("turn", Value::from(turn)), ("stage", Value::from("waiting"))]);
    // Says nothing new: nothing goes on record.
    cx.set_attribute("turn", turn);
    cx.signal::<Go>().await?;
    cx.set_attribute("stage", "gone");
    cx.clear_attribute("draft");
    if turn == 1 {
        return cx.continue_as_new(&2).await;
    }
    Ok(format!("{:?}", cx.attribute("customer")))
}

async fn loud(cx: &Cx, name: String) -> Result<(), Failure> {
    cx.set_attribute(&name, true);
    Ok(())
}

fn registry() -> Registry {
    Registry::new().workflow("stages", stages).workflow("loud", loud)
}

fn given() -> Attributes {
    let given = [
        ("customer", Value::from("mara")),
        ("draft", Value::from(true)),
        ("since", Value::TimeMs(5)),
    ];
    given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn request() -> StartRequest {
    StartRequest { attributes: given(), ..StartRequest::new("s", "stages", &1).unwrap() }
}

async fn shown(world: &World) -> Vec<String> {
    let attributes = world.row("s").await.attributes;
    let shown =
        attributes.iter().map(|set| format!("{}={}", set.name, set.value.as_ref().unwrap()));
    shown.collect()
}

async fn go(world: &World, id: &str) {
    world.engine.signal("s", "go", id, "{}".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attributes_are_in_the_row_and_stay_through_turns() {
    let world = World::with(1, quick(), registry()).await;
    world.engine.start(request()).await.unwrap();
    let first = ["customer=mara", "draft=true", "since=5", "stage=waiting", "turn=1"];
    assert_eq!(shown(&world).await, first);
    assert_eq!(world.outline("s").await, ["started", "attributes turn stage"]);
    // An equal start joins the run, whatever it would have it found by.
    let plain = StartRequest::new("s", "stages", &1).unwrap();
    assert!(!world.engine.start(plain).await.unwrap().is_new);

    go(&world, "a").await;
    let second = ["customer=mara", "since=5", "stage=waiting", "turn=2"];
    assert_eq!(shown(&world).await, second);
    go(&world, "b").await;
    let end = world.end("s").await;
    assert_eq!(end.result, Some(r#""Some(Text(\"mara\"))""#.into()));
    assert_eq!(shown(&world).await, ["customer=mara", "since=5", "stage=gone", "turn=2"]);
}

#[tokio::test(start_paused = true)]
async fn attributes_survive_a_death_at_every_append() {
    let mut deaths = 0;
    for (fault, unsynced) in [
        (Fault::CrashBefore, Unsynced::Lost),
        (Fault::CrashDuring, Unsynced::SeededPrefix),
        (Fault::CrashAfter, Unsynced::Lost),
    ] {
        for nth in 0..5 {
            let mut world = World::with(nth, quick(), registry()).await;
            world.disk.inject(Operation::Append, nth, fault.clone());
            let drive = async |world: &World| {
                world.engine.start(request()).await.unwrap();
                for id in ["a", "b"] {
                    // The run may have taken it before the process died, and be over.
                    let _ = world.engine.signal("s", "go", id, "{}".into()).await;
                }
                world.end("s").await
            };
            deaths += u32::from(dies_during(&world, drive(&world)).await);
            world.restart_with(unsynced, registry()).await;
            assert_eq!(drive(&world).await.state, RunState::Completed);
            let expected = ["customer=mara", "since=5", "stage=gone", "turn=2"];
            assert_eq!(shown(&world).await, expected);
        }
    }
    assert!(deaths >= 9, "{deaths}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_attribute_is_refused_at_the_start_and_leaves_a_workflow_stuck() {
    let world = World::with(1, quick(), registry()).await;
    let refused = async |attributes: Attributes| {
        let request = StartRequest { attributes, ..StartRequest::new("x", "stages", &1).unwrap() };
        let refused = world.engine.start(request).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidAttribute(_)), "{refused}");
        refused.to_string()
    };
    for name in ["", "Total", "1st", "a-b", "a.b", &"a".repeat(65)] {
        let message = refused([(name.to_owned(), Value::from(1))].into()).await;
        assert!(message.contains("is not the name"), "{message}");
    }
    let long = refused([("note".to_owned(), Value::from("x".repeat(257)))].into()).await;
    assert_eq!(long, "the attribute note has 257 bytes, at most 256");
    let many = (0..=MAX_ATTRIBUTES).map(|at| (format!("a{at}"), Value::from(true))).collect();
    assert_eq!(refused(many).await, "33 attributes, at most 32");
    assert!(matches!(world.engine.describe("x").await, Err(Error::NotFound(_))));

    world.start_as("l", "loud", &"Not A Name").await.unwrap();
    let row = world.row("l").await;
    assert_eq!((row.state(), row.stuck_code.as_str()), (RunState::Stuck, "SOUK-0008"));
}
