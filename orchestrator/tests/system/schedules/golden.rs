//! Recorded turns of schedules, which every later build must replay: schedules live for years.
//!
//! `SOUK_RECORD=1 cargo test -p souk-orchestrator every_recorded` writes those that are missing. See docs/WORKFLOWS.md.

use std::path::{Path, PathBuf};

use souk_orchestrator::engine::Registry;
use souk_orchestrator::engine::event::Event;
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::recorded::{check, from_text, to_text};
use souk_orchestrator::system;
use souk_orchestrator::system::schedule::command::Change;
use souk_orchestrator::system::schedule::definition::Overlap;
use souk_orchestrator::system::schedule::workflow_id;

use super::calendar::{cron, ms};
use super::world::{HOUR_MS, ID, Job, START, World, definition, hourly};

const NAMES: [&str; 5] = ["skipping", "buffering", "cancelling", "told", "later-turn"];

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/schedule");
    folder.join(format!("{name}.history"))
}

/// Makes one history of each kind.
async fn record(name: &str) -> (RunId, Vec<Event>) {
    let mut world = World::new(1).await;
    let takes_ms = 2 * HOUR_MS as u64 + 600_000;
    match name {
        "skipping" => world.create(&hourly(takes_ms, Overlap::Skip)).await,
        "buffering" => world.create(&hourly(takes_ms, Overlap::BufferAll)).await,
        "cancelling" => {
            let job = Job { takes_ms, fails: true, owes: true };
            let spec = cron("*/30 * * * *", "Europe/Berlin");
            let mut definition = definition(spec, &job, Overlap::CancelOther);
            definition.spec.jitter_ms = 60_000;
            definition.policies.pause_on_failure = true;
            world.create(&definition).await;
        }
        _ => world.create(&hourly(60_000, Overlap::AllowAll)).await,
    }
    world.until(7, 20).await;
    match name {
        "told" => tell(&mut world).await,
        "later-turn" => world.until(80, 30).await,
        _ => {}
    }
    world.history().await
}

async fn tell(world: &mut World) {
    world.tell(Change::Pause { note: "stocktaking".into() }).await.unwrap();
    world.tell(Change::Trigger { overlap: Some(Overlap::Skip) }).await.unwrap();
    world.until(9, 20).await;
    world.tell(Change::Unpause { skip_missed: false }).await.unwrap();
    let (from_ms, to_ms) = (ms(START) - 2 * HOUR_MS, ms(START) + HOUR_MS);
    let backfill = Change::Backfill { from_ms, to_ms, overlap: Overlap::BufferOne };
    world.tell(backfill).await.unwrap();
    let other = Box::new(hourly(1_000, Overlap::TerminateOther));
    let conflict = Change::Update { definition: other.clone(), expected_version: Some(7) };
    world.tell(conflict).await.unwrap_err();
    world.tell(Change::Update { definition: other, expected_version: None }).await.unwrap();
    world.until(11, 20).await;
    world.tell(Change::Delete).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_recorded_schedule_still_replays() {
    for name in NAMES {
        if !path(name).exists() && std::env::var_os("SOUK_RECORD").is_some() {
            let (run_id, history) = record(name).await;
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), to_text(run_id, &history)).unwrap();
        }
        let (run_id, history) = from_text(&std::fs::read_to_string(path(name)).unwrap()).unwrap();
        check(&system::register(Registry::new()), run_id, &history)
            .unwrap_or_else(|misfit| panic!("{name}: {} {}", misfit.code, misfit.message));
    }
}

/// Whether a file lies in the folder that no test reads, and whether each shows what its name says.
#[test]
fn every_recorded_schedule_is_on_the_list_and_what_it_is_called() {
    let files = std::fs::read_dir(path("").parent().unwrap()).unwrap();
    let mut found: Vec<String> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut names = NAMES.map(str::to_owned);
    names.sort();
    assert_eq!(found, names);
    for (name, kind, count) in [
        ("buffering", "watch_run", 4),
        ("cancelling", "stop_run", 4),
        ("told", "list_times", 1),
        ("skipping", "look_at_runs", 3),
    ] {
        let (_, history) = from_text(&std::fs::read_to_string(path(name)).unwrap()).unwrap();
        let lines = history.iter().map(souk_orchestrator::testing::line);
        let steps = lines.filter(|line| *line == format!("schedule {kind}")).count();
        assert!(steps >= count, "{name}: {steps} {kind}");
    }
}

impl World {
    /// The history of the schedule's turn that is open, or was the last.
    async fn history(&self) -> (RunId, Vec<Event>) {
        use futures::StreamExt as _;
        let row = self.engine.describe(&workflow_id(ID)).await.unwrap().row;
        let history = self.engine.history(&workflow_id(ID), 0, false).await.unwrap();
        let events = history.map(|event| event.unwrap().event).collect().await;
        (row.id(), events)
    }
}
