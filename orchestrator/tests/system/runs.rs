//! How steps of the engine's own workflows reach the engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::system::Runs;
use souk_orchestrator::testing::TestEnvironment;

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

async fn world() -> TestEnvironment {
    let registry = Registry::new().workflow("mirror", mirror);
    TestEnvironment::builder().registry(registry).open().await
}

#[tokio::test(start_paused = true)]
async fn a_step_sees_the_engine_that_runs_it() {
    let world = world().await;
    world.start("m", "mirror", &()).await.unwrap();
    assert_eq!(world.result::<String>("m").await, "mirror");
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_weak_and_a_step_without_an_engine_is_tried_again() {
    let missing = Runs::default().engine().err().unwrap();
    assert_eq!(
        (missing.code.as_str(), missing.kind),
        ("ENGINE_AWAY", StepError::retryable("", "").kind)
    );

    let world = world().await;
    let weak = world.engine.downgrade();
    world.engine.shutdown().await.unwrap();
    drop(world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(weak.upgrade().is_none());
}
