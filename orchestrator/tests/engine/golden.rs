//! Recorded histories, which every later build must replay. `SOUK_RECORD=1` writes those that are missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use souk_orchestrator::engine::Registry;
use souk_orchestrator::engine::error::StuckCode;
use souk_orchestrator::engine::event::{Body, END_CHILD, Event};
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::recorded::{check, from_text, to_text};
use souk_orchestrator::engine::reset::ResetRequest;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{IdReuse, StartRequest};

use super::bank::Behaviour;
use super::garden::{self, Leaf, go, leaf, waiting};
use super::shapes;
use super::transfer::Transfer;
use super::world::{LONG, World, quick};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// Makes one history of each shape.
async fn record(name: &str) -> (RunId, Vec<Event>) {
    let world = World::with(1, quick(), registry()).await;
    if name.starts_with("transfer") || name == "reused" {
        record_transfer(&world, name).await;
    } else if name.starts_with("child") {
        record_children(&world, name).await;
    } else {
        record_other(&world, name).await;
    }
    world.end(name).await;
    // A turn that continued as new is what is recorded of a run that has several.
    let turns = world.engine.turns(name, None, 100).await.unwrap();
    let turn = turns.iter().rfind(|turn| turn.state() == RunState::Continued).unwrap_or(&turns[0]);
    let events = world.engine.history((name, turn.id()), 0, false).await.unwrap();
    (turn.id(), events.map(|event| event.unwrap().event).collect().await)
}

/// Transfers between accounts: done, undone, cancelled, reset, and twice under one id.
async fn record_transfer(world: &World, name: &str) {
    match name {
        "transfer-completed" => drop(world.start(name, &Transfer::default()).await.unwrap()),
        "transfer-undone" => {
            world.bank.next("deposit", &[Behaviour::LoseReply]);
            world.bank.next("take_back", &[Behaviour::Fail]);
            world.start(name, &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
        }
        "transfer-cancelled" => {
            world.start(name, &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
            world.engine.answer(name, LONG).await.unwrap();
            world.engine.cancel(name, "recorded").await.unwrap();
        }
        "transfer-skipped" => {
            world.bank.always("give_back", Behaviour::Fail);
            world.start(name, &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
            while world.engine.skip_step(name, "recorded").await.is_err() {
                world.pass(Duration::from_secs(1)).await;
            }
        }
        "transfer-reset" => {
            world.start(name, &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
            world.signal(name, "confirm", "1").await.unwrap();
            world.end(name).await;
            let outline = world.outline(name).await;
            let back_to = outline.iter().position(|line| line == "completed withdraw").unwrap();
            let wanted = ResetRequest {
                sequence: back_to as u64,
                reason: "recorded".into(),
                ..ResetRequest::default()
            };
            world.engine.reset(name, wanted).await.unwrap();
        }
        "reused" => {
            for label in ["first", "second"] {
                let request = StartRequest::new(name, "transfer", &Transfer::default()).unwrap();
                let id_reuse = IdReuse::AllowIfClosed;
                let request = StartRequest { id_reuse, request_id: label.into(), ..request };
                world.engine.start(request).await.unwrap();
                world.end(name).await;
            }
        }
        other => panic!("nobody knows how to record {other}"),
    }
}

/// Parents and their children.
async fn record_children(world: &World, name: &str) {
    match name {
        "children-undone" => {
            let failing = Leaf { fails: true, ..waiting("late") };
            let leaves = vec![leaf("done"), waiting("open"), failing];
            world.start_as(name, "bush", &leaves).await.unwrap();
            world.pass(Duration::from_secs(1)).await;
            go(world, &format!("{name}/leaf/3")).await;
        }
        "children-ended" => {
            let leaves = vec![waiting("a"), waiting("b")];
            world.start_as(name, "scatter", &(leaves, false)).await.unwrap();
            world.pass(Duration::from_secs(1)).await;
            go(world, name).await;
        }
        "child-given-up" => drop(world.start_as(name, "impatient", &waiting("a")).await.unwrap()),
        "child-told" => {
            world.start_as(name, "gardener", &(waiting("a"), false)).await.unwrap();
        }
        "child-carried" => {
            world.start_as(name, "seasons", &0).await.unwrap();
            world.engine.answer(name, LONG).await.unwrap();
            go(world, "evergreen leaf").await;
        }
        other => panic!("nobody knows how to record {other}"),
    }
}

/// Messages, rounds, versions, and steps side by side.
async fn record_other(world: &World, name: &str) {
    match name {
        "negotiation" => {
            world.start_as(name, name, &1).await.unwrap();
            let update =
                |id, by: &'static str| world.engine.update(name, "raise", id, by.into(), LONG);
            update("1", r#"{"by":3}"#).await.unwrap();
            update("2", r#"{"by":3000}"#).await.unwrap_err();
            world.signal(name, "confirm", "1").await.unwrap();
        }
        "weave" => drop(world.start_as(name, name, &()).await.unwrap()),
        "story-version-1" => {
            world.start_as(name, "story", &()).await.unwrap();
            world.signal(name, "confirm", "1").await.unwrap();
        }
        "rounds" => {
            world.start_as(name, "tally", &0).await.unwrap();
            for (id, number) in [("1", "3"), ("2", "4"), ("3", "0")] {
                world.engine.signal(name, "add", id, number.into()).await.unwrap();
                world.pass(Duration::from_secs(1)).await;
            }
        }
        "rounds-turn" => {
            world.start_as(name, "short_tally", &0).await.unwrap();
            for (id, number) in [("1", "3"), ("2", "4"), ("3", "5"), ("4", "0")] {
                world.engine.signal(name, "add", id, number.into()).await.unwrap();
                world.pass(Duration::from_secs(1)).await;
            }
        }
        other => panic!("nobody knows how to record {other}"),
    }
}

/// All workflows that have recorded histories.
fn registry() -> Registry {
    garden::add_to(shapes::registry("versions"))
}

const NAMES: [&str; 16] = [
    "transfer-reset",
    "transfer-completed",
    "transfer-undone",
    "transfer-cancelled",
    "transfer-skipped",
    "negotiation",
    "weave",
    "story-version-1",
    "rounds",
    "children-undone",
    "children-ended",
    "child-given-up",
    "child-told",
    "child-carried",
    "rounds-turn",
    "reused",
];

#[tokio::test(start_paused = true)]
async fn every_recorded_history_still_replays() {
    for name in NAMES {
        let path = folder().join(format!("{name}.history"));
        if !path.exists() && std::env::var_os("SOUK_RECORD").is_some() {
            let (run_id, history) = record(name).await;
            std::fs::write(&path, to_text(run_id, &history)).unwrap();
        }
        let (run_id, history) = load(name);
        check(&registry(), run_id, &history).unwrap_or_else(|misfit| panic!("{name}: {misfit:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn any_event_that_is_missing_moved_or_changed_is_found() {
    for name in NAMES {
        let (run_id, history) = load(name);
        for index in 0..history.len() - 1 {
            let body = history[index].body.clone().unwrap();
            if !is_missed(&history, &body) {
                continue;
            }
            let mut shorter = history.clone();
            shorter.remove(index);
            let found = check(&registry(), run_id, &shorter);
            assert!(found.is_err(), "{name} without event {index}: {body:?}");
        }
    }
}

/// Whether the workflow decides something because of an event.
fn is_missed(history: &[Event], body: &Body) -> bool {
    let is_left_alone = |command: u64| {
        let mut bodies = history.iter().filter_map(|event| event.body.as_ref());
        bodies.any(|body| match body {
            Body::ChildGivenUp(child) => child.command == command,
            Body::EndingBegan(_) => true,
            _ => false,
        })
    };
    match body {
        // These are for people.
        Body::AttemptFailed(_) | Body::UndoParked(_) => false,
        // Its end tells that, too.
        Body::ChildStarted(_) => false,
        // Nobody waits for it any more.
        Body::ChildClosed(child) => !is_left_alone(child.command),
        Body::StepCompleted(step) => step.name != END_CHILD,
        _ => true,
    }
}

#[tokio::test(start_paused = true)]
async fn another_story_does_not_fit_the_recorded_one() {
    let (run_id, history) = load("story-version-1");
    for variant in ["story", "another step", "shorter", "words"] {
        let misfit = check(&shapes::registry(variant), run_id, &history);
        assert_eq!(misfit.unwrap_err().code, StuckCode::Nondeterminism, "{variant}");
    }
}

fn load(name: &str) -> (RunId, Vec<Event>) {
    let path = folder().join(format!("{name}.history"));
    from_text(&std::fs::read_to_string(path).unwrap()).unwrap()
}
