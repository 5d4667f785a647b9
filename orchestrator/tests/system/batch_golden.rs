//! Recorded turns of batches, which every later build must replay: one may be under way when a build is rolled out.
//!
//! `SOUK_RECORD=1 cargo test -p souk-orchestrator every_recorded` writes those that are missing. See docs/WORKFLOWS.md.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use souk_orchestrator::engine::event::{Body, Event};
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::recorded::{check, from_text, to_text};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Registry, StartRequest};
use souk_orchestrator::system;
use souk_orchestrator::system::batch::{
    Batch, Operation, RUNS_PER_SECOND, TYPE, Which, workflow_id,
};
use souk_orchestrator::testing::{Fault, line};

use crate::engine::transfer::Transfer;
use crate::engine::world::World;

/// Each with a line and how often it is in it.
const HISTORIES: [(&str, &str, usize); 5] = [
    ("filtered", "schedule souk.batch.act", 2),
    ("named", "schedule souk.batch.find", 1),
    ("cancelled", "closed Cancelled", 1),
    ("long", "closed Continued", 1),
    ("later-turn", "closed Completed", 1),
];

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/batch");
    folder.join(format!("{name}.history"))
}

fn load(name: &str) -> (RunId, Vec<Event>) {
    from_text(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn registry() -> Registry {
    system::register(Registry::new())
}

/// Makes one history of each kind.
async fn record(name: &str) -> (RunId, Vec<Event>) {
    let world = World::new(1).await;
    for number in 0..55 {
        let order = Transfer { amount: 7, confirm: true, refuse: false };
        world.start(&format!("w{number}"), &order).await.unwrap();
    }
    let named = |count: u32| Which::WorkflowIds((0..count).map(|id| format!("w{id}")).collect());
    let filtered = Which::Filter("state = running AND type = transfer".into());
    let (operation, which) = match name {
        "filtered" | "cancelled" => (Operation::Cancel, filtered),
        "named" => {
            let payload = serde_json::json!({});
            (Operation::Signal { name: "confirm".into(), payload }, named(3))
        }
        _ => (Operation::Pause, named(1_060)),
    };
    let runs_per_second = if name == "cancelled" { 1 } else { RUNS_PER_SECOND };
    let reason = "recorded".into();
    let batch = Batch { operation, which, reason, max_runs: 2_000, runs_per_second, carried: None };
    if name == "filtered" {
        // A step that is tried again, and an answer of it that nobody heard.
        world.faults.once("souk.batch.find", Fault::Away);
        world.faults.once("souk.batch.act", Fault::LoseReply);
    }
    let id = workflow_id("b");
    world.engine.start(StartRequest::new(&id, TYPE, &batch).unwrap()).await.unwrap();
    if name == "cancelled" {
        world.pass(Duration::from_secs(10)).await;
        world.engine.cancel(&id, "recorded").await.unwrap();
    }
    world.environment.end(&id).await;
    let turns = world.engine.turns(&id, None, 10).await.unwrap();
    let turn = turns.iter().find(|turn| (turn.state() == RunState::Continued) == (name == "long"));
    let turn = turn.unwrap().id();
    let history = world.engine.history((id.as_str(), turn), 0, false).await.unwrap();
    (turn, history.map(|event| event.unwrap().event).collect().await)
}

#[tokio::test(start_paused = true)]
async fn every_recorded_batch_still_replays() {
    for (name, wanted, count) in HISTORIES {
        if !path(name).exists() && std::env::var_os("SOUK_RECORD").is_some() {
            let (run_id, history) = record(name).await;
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), to_text(run_id, &history)).unwrap();
        }
        let (run_id, history) = load(name);
        check(&registry(), run_id, &history)
            .unwrap_or_else(|misfit| panic!("{name}: {} {}", misfit.code, misfit.message));
        let found = history.iter().filter(|event| line(event) == wanted).count();
        assert_eq!(found, count, "{name} shows {wanted}");
    }
}

/// Whether a file lies in the folder that no test reads.
#[test]
fn every_recorded_batch_is_on_the_list() {
    for file in std::fs::read_dir(path("").parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(HISTORIES.iter().any(|(listed, ..)| *listed == name), "{name}");
    }
}

#[test]
fn a_batch_that_decides_otherwise_does_not_fit() {
    for (name, ..) in HISTORIES {
        let (run_id, history) = load(name);
        for index in 0..history.len() {
            let mut other = history.clone();
            let Some(Body::StepScheduled(step)) = &mut other[index].body else { continue };
            step.name.push_str(".other");
            let misfit = check(&registry(), run_id, &other).unwrap_err();
            assert_eq!(misfit.code.code(), "SOUK-0001", "{name} at {index}");
        }
    }
}
