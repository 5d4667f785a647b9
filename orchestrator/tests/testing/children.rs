//! The trio on a saga of which a child is a part: it is undone in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::ChildWorkflow;
use souk_orchestrator::engine::step::{Compensation, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::saga::{Subject, Trio};
use souk_orchestrator::testing::{Fault, TestEnvironment};

/// What stands: one bit for each thing, so that repetitions do not count.
#[derive(Default)]
struct Stand(AtomicI32);

fn stand(context: &StepContext) -> Result<&AtomicI32, StepError> {
    Ok(&context.resource::<Arc<Stand>>()?.0)
}

const BOX: i32 = 1;
const STAMP: i32 = 2;

#[derive(Serialize, Deserialize)]
struct Pack;

impl Step for Pack {
    const NAME: &'static str = "pack";
    type Output = ();
    type Undo = Unpack;

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        stand(context)?.fetch_or(BOX, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Unpack;

impl From<&Pack> for Unpack {
    fn from(_: &Pack) -> Unpack {
        Unpack
    }
}

impl From<&Packing> for Unpack {
    fn from(_: &Packing) -> Unpack {
        Unpack
    }
}

impl Compensation for Unpack {
    const NAME: &'static str = "unpack";

    async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
        stand(context)?.fetch_and(!BOX, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Stamp;

impl Step for Stamp {
    const NAME: &'static str = "stamp";
    type Output = ();
    type Undo = Unstamp;

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        stand(context)?.fetch_or(STAMP, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Unstamp;

impl From<&Stamp> for Unstamp {
    fn from(_: &Stamp) -> Unstamp {
        Unstamp
    }
}

impl Compensation for Unstamp {
    const NAME: &'static str = "unstamp";

    async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
        stand(context)?.fetch_and(!STAMP, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Packing;

impl ChildWorkflow for Packing {
    const TYPE: &'static str = "packing";
    type Output = ();
    type Undo = Unpack;
}

async fn packing(cx: &Cx, _: Packing) -> Result<(), Failure> {
    cx.step(Pack).await
}

async fn post(cx: &Cx, (): ()) -> Result<(), Failure> {
    cx.child(Packing).await?;
    cx.step(Stamp).await
}

struct Posted {
    environment: TestEnvironment,
    stand: Arc<Stand>,
}

impl Posted {
    fn stands(&self, expected: i32) -> Result<(), String> {
        let found = self.stand.0.load(Ordering::SeqCst);
        if found == expected { Ok(()) } else { Err(format!("{found:#b}")) }
    }
}

impl Subject for Posted {
    fn environment(&mut self) -> &mut TestEnvironment {
        &mut self.environment
    }

    async fn play(&self) {
        self.environment.start("p", "post", &()).await.unwrap();
        self.environment.end("p").await;
    }

    fn is_done(&self) -> Result<(), String> {
        self.stands(BOX | STAMP)
    }

    fn is_undone(&self) -> Result<(), String> {
        self.stands(0)
    }
}

#[tokio::test]
async fn a_child_is_undone_in_its_place_and_survives_every_crash() {
    let trio = Trio::new("p", async || {
        let stand = Arc::new(Stand::default());
        let registry = Registry::new().workflow("post", post).workflow("packing", packing);
        let builder = TestEnvironment::builder().registry(registry).resource(stand.clone());
        Posted { environment: builder.open().await, stand }
    });
    // What comes late would stand again: this participant remembers no undo.
    let trio = trio.failing_by([Fault::Break, Fault::LoseReply]);
    let tried = trio.all().await.unwrap();
    assert_eq!((tried.failures, tried.repeated_steps), (2, 7));
    // After the stamp has failed, its own undo and the child's.
    assert_eq!(tried.repeated_undos, 2 * 7);
    assert_eq!(tried.crashes, 4 * 5);
}
