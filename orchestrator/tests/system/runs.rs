//! How steps of the engine's own workflows reach the engine.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::log::sim::{Disk, SimLog};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::{Seams, SeededRandom, TokioClock};
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::tables::sim::SimTables;
use souk_orchestrator::engine::{Cx, Engine, Failure, Registry, Resources, StartRequest};
use souk_orchestrator::system::{self, Runs};

use crate::engine::world::{LONG, Process, START_MS, quick};

/// Says what the engine knows of the run that the step belongs to.
#[derive(Serialize, Deserialize)]
struct LookAtMyself;

impl Step for LookAtMyself {
    const NAME: &'static str = "look_at_myself";
    type Output = String;
    type Undo = Irreversible;

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let engine = context.resource::<Runs>()?.engine()?;
        let described = engine.describe(context.workflow_id()).await;
        let described =
            described.map_err(|error| StepError::retryable("ENGINE", error.to_string()))?;
        Ok(described.row.workflow_type)
    }
}

async fn mirror(cx: &Cx, (): ()) -> Result<String, Failure> {
    cx.step(LookAtMyself).await
}

async fn open(process: &Arc<Process>) -> Engine {
    let clock = Arc::new(TokioClock::starting_at(START_MS));
    let disk = Disk::new(1, clock.clone());
    let random = Arc::new(SeededRandom::new(1));
    let seams = Seams { clock, random, spawner: process.clone(), attempts: None };
    let (log, tables) = (Arc::new(SimLog::new(&disk)), Arc::new(SimTables::new(&disk)));
    let registry = Registry::new().workflow("mirror", mirror);
    system::open(quick(), log, tables, seams, registry, Resources::new()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_sees_the_engine_that_runs_it() {
    let engine = open(&Arc::new(Process::default())).await;
    engine.start(StartRequest::new("m", "mirror", &()).unwrap()).await.unwrap();
    let end = engine.outcome("m", LONG).await.unwrap().unwrap();
    assert_eq!((end.state, end.result), (RunState::Completed, Some(r#""mirror""#.into())));
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_weak_and_a_step_without_an_engine_is_tried_again() {
    let missing = Runs::default().engine().err().unwrap();
    assert_eq!(
        (missing.code.as_str(), missing.kind),
        ("ENGINE_AWAY", StepError::retryable("", "").kind)
    );

    let process = Arc::new(Process::default());
    let engine = open(&process).await;
    let weak = engine.downgrade();
    engine.shutdown().await.unwrap();
    drop(engine);
    process.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(weak.upgrade().is_none());
}
