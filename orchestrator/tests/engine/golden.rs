//! Recorded histories, which every later build must replay. `SOUK_RECORD=1` writes those that are missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use souk_orchestrator::engine::error::StuckCode;
use souk_orchestrator::engine::event::{Body, Event};
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::recorded::{check, from_text, to_text};

use super::bank::Behaviour;
use super::shapes;
use super::transfer::Transfer;
use super::world::{LONG, World, quick};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// Makes one history of each shape.
async fn record(name: &str) -> (RunId, Vec<Event>) {
    let world = World::with(1, quick(), shapes::registry("versions")).await;
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
        other => panic!("nobody knows how to record {other}"),
    }
    world.end(name).await;
    (world.row(name).await.id(), world.history(name).await)
}

const NAMES: [&str; 8] = [
    "transfer-completed",
    "transfer-undone",
    "transfer-cancelled",
    "transfer-skipped",
    "negotiation",
    "weave",
    "story-version-1",
    "rounds",
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
        check(&shapes::registry("versions"), run_id, &history)
            .unwrap_or_else(|misfit| panic!("{name}: {misfit:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn any_event_that_is_missing_moved_or_changed_is_found() {
    for name in NAMES {
        let (run_id, history) = load(name);
        for index in 0..history.len() - 1 {
            let body = history[index].body.clone().unwrap();
            // These are for people; the workflow decides nothing because of them.
            if matches!(body, Body::AttemptFailed(_) | Body::UndoParked(_)) {
                continue;
            }
            let mut shorter = history.clone();
            shorter.remove(index);
            let found = check(&shapes::registry("versions"), run_id, &shorter);
            assert!(found.is_err(), "{name} without event {index}: {body:?}");
        }
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
