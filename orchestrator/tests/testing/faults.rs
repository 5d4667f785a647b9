//! What each fault does to an attempt.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Compensation, Policy, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::{Fault, Faults, TestEnvironment, Trouble};

/// What was done, in order, with the key it was done under.
type Journal = Arc<Mutex<Vec<String>>>;

fn note(context: &StepContext, what: &str) -> Result<(), StepError> {
    context.resource::<Journal>()?.lock().push(format!("{what} {}", context.undone_key()));
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Work;

impl Step for Work {
    const NAME: &'static str = "work";
    type Output = ();
    type Undo = Undo;

    fn policy(&self) -> Policy {
        let heartbeat = Some(Duration::from_secs(3));
        Policy { attempts: 2, heartbeat, ..Policy::step() }
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        for second in 0..4 {
            context.heartbeat(&second)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        note(context, "work")
    }
}

#[derive(Serialize, Deserialize)]
struct Undo;

impl From<&Work> for Undo {
    fn from(_: &Work) -> Undo {
        Undo
    }
}

impl Compensation for Undo {
    const NAME: &'static str = "undo";

    async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
        note(context, "undo")
    }
}

async fn labour(cx: &Cx, (): ()) -> Result<(), Failure> {
    cx.step(Work).await
}

async fn world() -> (TestEnvironment, Journal) {
    let journal = Journal::default();
    let registry = Registry::new().workflow("labour", labour);
    let builder = TestEnvironment::builder().registry(registry).resource(journal.clone());
    (builder.open().await, journal)
}

/// What a run becomes whose step always meets a fault: its failure's code, and what was done.
async fn always(fault: Fault) -> (String, Vec<String>) {
    let (environment, journal) = world().await;
    environment.faults.always("work", fault);
    environment.start("r", "labour", &()).await.unwrap();
    let outcome = environment.end("r").await;
    environment.skip(Duration::from_secs(600)).await;
    let done = journal.lock().clone();
    (outcome.failure.map(|failure| failure.code).unwrap_or_default(), done)
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    const WORK: &str = "work r/work/1";
    const UNDO: &str = "undo r/work/1";
    let expected: [(Fault, &str, &[&str]); 9] = [
        (Fault::Refuse, "REFUSED", &[]),
        (Fault::Break, "BROKEN", &[UNDO]),
        (Fault::Away, "UNAVAILABLE", &[UNDO]),
        (Fault::LoseReply, "UNAVAILABLE", &[WORK, WORK, UNDO]),
        (Fault::Hang, "HEARTBEAT_MISSED", &[WORK, WORK, UNDO]),
        // Nobody hears that it lives: it is given up before it is done.
        (Fault::Silent, "HEARTBEAT_MISSED", &[UNDO]),
        (Fault::Panic, "STEP_PANICKED", &[WORK, WORK, UNDO]),
        (Fault::Twice, "", &[WORK, WORK]),
        (Fault::Late(60_000), "UNAVAILABLE", &[UNDO, WORK, WORK]),
    ];
    for (fault, code, done) in expected {
        let (failed_with, was_done) = always(fault).await;
        assert_eq!(failed_with, code, "{fault:?}");
        assert_eq!(was_done, done, "{fault:?}");
    }
}

#[tokio::test]
async fn faults_strike_the_attempts_that_they_are_meant_for() {
    let (environment, journal) = world().await;
    let faults = &environment.faults;
    faults.nth("work", 2, Fault::Break);
    environment.start("first", "labour", &()).await.unwrap();
    assert_eq!(environment.end("first").await.state, RunState::Completed);
    environment.start("second", "labour", &()).await.unwrap();
    assert_eq!(environment.end("second").await.state, RunState::Failed);
    assert_eq!(faults.struck(), [("work".to_owned(), Fault::Break)]);

    // One fault goes before what is always so, and counts from now.
    faults.always("work", Fault::Break);
    faults.once("work", Fault::Away);
    environment.start("third", "labour", &()).await.unwrap();
    assert_eq!(environment.end("third").await.failure.unwrap().code, "BROKEN");
    assert_eq!(faults.attempts("work"), 4);

    faults.repair("work");
    environment.start("fourth", "labour", &()).await.unwrap();
    assert_eq!(environment.end("fourth").await.state, RunState::Completed);
    faults.always("work", Fault::Break);
    faults.once("undo", Fault::Away);
    faults.calm();
    environment.start("fifth", "labour", &()).await.unwrap();
    assert_eq!(environment.end("fifth").await.state, RunState::Completed);
    assert_eq!(journal.lock().len(), 5);
}

#[tokio::test]
async fn an_undo_is_struck_like_a_step() {
    let (environment, journal) = world().await;
    environment.faults.always("work", Fault::Break);
    environment.faults.always("undo", Fault::LoseReply);
    environment.start("r", "labour", &()).await.unwrap();
    assert_eq!(environment.rest("r").await, RunState::Parked);
    environment.faults.calm();
    environment.engine.retry_step("r").await.unwrap();
    assert_eq!(environment.end("r").await.state, RunState::Failed);
    assert_eq!(journal.lock().len(), 31);
}

#[tokio::test]
async fn a_participant_of_a_tests_own_is_struck_behind_its_door() {
    let (environment, journal) = world().await;
    let faults = Faults::default();
    faults.once("door", Fault::Refuse);
    faults.nth("door", 2, Fault::LoseReply);
    faults.nth("door", 3, Fault::Twice);
    let knock = async || {
        let journal = journal.clone();
        let work = move || {
            journal.lock().push("knock".into());
            std::future::ready(Ok(()))
        };
        faults.around("door", work, |trouble| trouble).await
    };
    assert_eq!(knock().await, Err(Trouble::Refused));
    assert_eq!(knock().await, Err(Trouble::Away));
    assert_eq!(knock().await, Ok(()));
    assert_eq!(journal.lock().len(), 3);
    assert!(environment.faults.struck().is_empty(), "they are others than the engine's");
}
