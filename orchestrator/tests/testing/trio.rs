//! The trio finds what is wrong with a saga: each part is shown sagas with the flaw that it is there for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::step::{
    Compensation, Irreversible, Policy, Step, StepContext, StepError,
};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::saga::{FAILURES, Finding, REPETITIONS, Subject, Tried, Trio};
use souk_orchestrator::testing::{Faults, TestEnvironment};

/// What is wrong with a saga.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Flaw {
    #[default]
    None,
    /// A step has no undo, although it does something.
    ForgetsUndo,
    /// A step that comes after its undo is done all the same.
    ComesLate,
    /// A step that is repeated is done again.
    DoesTwice,
    /// An undo that is repeated undoes again.
    UndoesTwice,
    /// An undo that never works.
    NeverUndoes,
    /// The workflow itself fails.
    Fails,
}

/// How often each step was done and not undone, and what its participant remembers.
#[derive(Default)]
struct Ledger {
    flaw: Flaw,
    counts: Mutex<BTreeMap<&'static str, i32>>,
    known: Mutex<BTreeMap<String, bool>>,
}

impl Ledger {
    fn act(&self, name: &'static str, key: &str) -> Result<(), StepError> {
        let mut known = self.known.lock();
        match known.get(key) {
            Some(false) if self.flaw != Flaw::ComesLate => {
                return Err(StepError::permanent("UNDONE", "its undo was here before"));
            }
            Some(true) if self.flaw != Flaw::DoesTwice => return Ok(()),
            _ => {}
        }
        known.insert(key.to_owned(), true);
        *self.counts.lock().entry(name).or_default() += 1;
        Ok(())
    }

    fn undo(&self, name: &'static str, key: &str) -> Result<(), StepError> {
        if self.flaw == Flaw::NeverUndoes {
            return Err(StepError::retryable("NEVER", "it never works"));
        }
        let was_done = self.known.lock().insert(key.to_owned(), false);
        if was_done == Some(true) || (self.flaw == Flaw::UndoesTwice && was_done.is_some()) {
            *self.counts.lock().entry(name).or_default() -= 1;
        }
        Ok(())
    }
}

macro_rules! step {
    ($step:ident = $name:literal, undo $undo:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $step;

        impl Step for $step {
            const NAME: &'static str = $name;
            type Output = ();
            type Undo = $undo;

            fn policy(&self) -> Policy {
                Policy { attempts: 3, ..Policy::step() }
            }

            async fn run(&self, context: &StepContext) -> Result<(), StepError> {
                context.resource::<Arc<Ledger>>()?.act($name, context.effect_key())
            }
        }
    };
}

macro_rules! undo {
    ($undo:ident = $name:literal, of $step:ident = $undone:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $undo;

        impl From<&$step> for $undo {
            fn from(_: &$step) -> $undo {
                $undo
            }
        }

        impl Compensation for $undo {
            const NAME: &'static str = $name;

            async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
                context.resource::<Arc<Ledger>>()?.undo($undone, context.undone_key())
            }
        }
    };
}

step!(Hold = "hold", undo Release);
undo!(Release = "release", of Hold = "hold");
step!(Pay = "pay", undo Refund);
undo!(Refund = "refund", of Pay = "pay");
step!(PayForEver = "pay", undo Irreversible);

async fn buy(cx: &Cx, flaw: Flaw) -> Result<(), Failure> {
    let saga = cx.saga();
    saga.step(Hold).await?;
    match flaw {
        Flaw::ForgetsUndo => saga.step(PayForEver).await,
        Flaw::Fails => Err(Failure::new("NO", "it does not like it")),
        _ => saga.step(Pay).await,
    }
}

/// One purchase.
struct Purchase {
    environment: TestEnvironment,
    ledger: Arc<Ledger>,
}

impl Purchase {
    async fn new(flaw: Flaw) -> Purchase {
        let ledger = Arc::new(Ledger { flaw, ..Ledger::default() });
        let registry = Registry::new().workflow("buy", buy);
        let builder = TestEnvironment::builder().registry(registry).resource(ledger.clone());
        Purchase { environment: builder.open().await, ledger }
    }

    fn counts(&self) -> Vec<(&'static str, i32)> {
        let counts = self.ledger.counts.lock();
        counts
            .iter()
            .map(|(name, count)| (*name, *count))
            .filter(|(_, count)| *count != 0)
            .collect()
    }
}

impl Subject for Purchase {
    fn environment(&mut self) -> &mut TestEnvironment {
        &mut self.environment
    }

    async fn play(&self) {
        self.environment.start("p", "buy", &self.ledger.flaw).await.unwrap();
        self.environment.end("p").await;
    }

    fn is_done(&self) -> Result<(), String> {
        let counts = self.counts();
        if counts == [("hold", 1), ("pay", 1)] { Ok(()) } else { Err(format!("{counts:?}")) }
    }

    fn is_undone(&self) -> Result<(), String> {
        let counts = self.counts();
        if counts.is_empty() { Ok(()) } else { Err(format!("{counts:?}")) }
    }
}

fn trio(flaw: Flaw) -> Trio<impl AsyncFn() -> Purchase> {
    Trio::new("p", async move || Purchase::new(flaw).await)
}

#[track_caller]
fn assert_finds<T: std::fmt::Debug>(result: Result<T, Finding>, told: &str, problem: &str) {
    let finding = result.expect_err("a flawed saga must not pass");
    assert_eq!(finding.told, told, "{finding}");
    assert_eq!(finding.problem, problem, "{finding}");
}

#[tokio::test]
async fn a_sound_saga_passes_all_four() {
    let tried = trio(Flaw::None).all().await.unwrap();
    let failures = 2 * FAILURES.len();
    // After the first step one undo, after the second two.
    let (repeated_steps, repeated_undos) = (2 * REPETITIONS.len(), 3 * REPETITIONS.len());
    // Start and two results; the end rides with the last. What is written and not synced is lost or kept.
    assert_eq!(tried, Tried { failures, repeated_steps, repeated_undos, crashes: 4 * 3 });
}

#[tokio::test]
async fn an_undo_that_was_forgotten_is_found_when_steps_fail() {
    let result = trio(Flaw::ForgetsUndo).every_step_fails().await;
    let problem = r#"something is left: [("pay", 1)]"#;
    assert_finds(result, "pay always meets LoseReply", problem);
}

#[tokio::test]
async fn a_step_that_comes_after_its_undo_is_found_when_steps_fail() {
    let result = trio(Flaw::ComesLate).every_step_fails().await;
    let problem = r#"something is left: [("hold", 1)]"#;
    assert_finds(result, "hold always meets Late(90000)", problem);
}

#[tokio::test]
async fn a_step_that_is_done_again_is_found_when_steps_are_repeated_and_when_the_process_dies() {
    let result = trio(Flaw::DoesTwice).every_step_is_repeated().await;
    let problem = r#"not all was done, once: [("hold", 2), ("pay", 1)]"#;
    assert_finds(result, "hold meets Twice once", problem);

    let result = trio(Flaw::DoesTwice).every_crash().await;
    let told = "the process dies at append 1 (CrashBefore, what is unsynced: Lost)";
    assert_finds(result, told, problem);
}

#[tokio::test]
async fn an_undo_that_undoes_again_is_found_when_undos_are_repeated() {
    let result = trio(Flaw::UndoesTwice).every_undo_is_repeated().await;
    let problem = r#"something is left: [("hold", -1)]"#;
    assert_finds(result, "release meets Twice once after hold has failed", problem);
}

#[tokio::test]
async fn an_undo_that_never_works_parks_the_run_which_is_found() {
    let result = trio(Flaw::NeverUndoes).every_step_fails().await;
    let finding = result.unwrap_err();
    assert_eq!(finding.told, "hold always meets Break");
    assert_eq!(finding.problem, "the play does not come to its end: the run is parked");
    assert!(finding.timeline.ends_with("parked release\n"), "{finding}");
}

#[tokio::test]
async fn a_saga_that_fails_undisturbed_is_undone_through_every_crash_and_has_no_trio() {
    assert_eq!(trio(Flaw::Fails).every_crash().await, Ok(4 * 3));
    let result = trio(Flaw::Fails).every_step_fails().await;
    assert_finds(result, "undisturbed", "the run is failed, not completed");
}

#[tokio::test]
async fn a_finding_says_what_was_done_what_came_of_it_and_how() {
    let finding = trio(Flaw::ForgetsUndo).every_step_fails().await.unwrap_err();
    let text = format!("{finding:?}");
    let mut lines = text.lines();
    let first = r#"pay always meets LoseReply: something is left: [("pay", 1)]"#;
    assert_eq!(lines.next(), Some(first));
    assert_eq!(lines.next(), Some("         0.000 s  started"));
    assert!(text.contains("attempt 1 pay") && text.ends_with("closed Failed\n"), "{text}");
}

/// A subject that looks for faults where none are told.
struct Elsewhere(Purchase);

impl Subject for Elsewhere {
    fn environment(&mut self) -> &mut TestEnvironment {
        self.0.environment()
    }

    fn faults(&mut self) -> Faults {
        Faults::default()
    }

    async fn play(&self) {
        self.0.play().await;
    }

    fn is_done(&self) -> Result<(), String> {
        self.0.is_done()
    }

    fn is_undone(&self) -> Result<(), String> {
        self.0.is_undone()
    }
}

#[tokio::test]
async fn a_fault_that_never_strikes_does_not_pass_for_one_that_did_no_harm() {
    let trio = Trio::new("p", async || Elsewhere(Purchase::new(Flaw::None).await));
    let result = trio.every_step_is_repeated().await;
    assert_finds(result, "hold meets Twice once", "hold never met Twice");
}

#[tokio::test]
async fn a_wrong_id_is_found() {
    let trio = Trio::new("q", async || Purchase::new(Flaw::None).await);
    assert_finds(trio.every_crash().await, "undisturbed", "there is no run q");
}
