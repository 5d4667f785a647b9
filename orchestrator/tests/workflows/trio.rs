//! The saga trio: every step fails in turn, every step is repeated, every undo is repeated. Afterwards everything is as if
//! nothing had been, or as if nothing had gone wrong.
//!
//! A saga is tested by implementing [`Subject`]; which steps and undos it has is read from its histories.

use std::collections::{BTreeMap, BTreeSet};

use souk_orchestrator::engine::event::{Body, Event};
use souk_orchestrator::engine::row::RunState;

use super::faults::{Fault, Faults};

/// A saga under test.
pub trait Subject {
    /// Steps whose failure does not undo the run.
    const BEST_EFFORT: &'static [&'static str];

    /// One run in a world of its own, from its start to its end. `strike` says what goes wrong in it. What comes late
    /// has come when this returns.
    fn run(&self, strike: impl Fn(&Faults)) -> impl Future<Output = Finished>;
}

/// A run that has come to its end.
pub struct Finished {
    pub state: RunState,
    pub history: Vec<Event>,
    /// Whether nothing of it is left; otherwise, what is.
    pub is_clean: Result<(), String>,
    /// Whether all of it was done, once; otherwise, what there is.
    pub is_done: Result<(), String>,
}

/// In which ways a step fails for good.
const FAILURES: [Fault; 5] =
    [Fault::Refuse, Fault::Away, Fault::LoseReply, Fault::Hang, Fault::Late(90_000)];
/// In which ways a call is repeated.
const REPETITIONS: [Fault; 5] =
    [Fault::Twice, Fault::LoseReply, Fault::Hang, Fault::Away, Fault::Late(5_000)];

/// Every step fails for good, in turn, in every way. Returns how many runs that took.
pub async fn every_step_fails_in_turn<S: Subject>(subject: &S) -> usize {
    let mut runs = 0;
    for step in steps(subject).await {
        for fault in FAILURES {
            let told = format!("{step} always meets {fault:?}");
            let finished = subject.run(|faults| faults.always(&step, fault)).await;
            if S::BEST_EFFORT.contains(&step.as_str()) {
                check_done(&finished, &told);
            } else {
                check_undone(&finished, &told);
            }
            runs += 1;
        }
    }
    runs
}

/// Every step is repeated, in turn, in every way. Returns how many runs that took.
pub async fn every_step_is_repeated<S: Subject>(subject: &S) -> usize {
    let mut runs = 0;
    for step in steps(subject).await {
        for fault in REPETITIONS {
            let told = format!("{step} meets {fault:?}");
            let finished = subject.run(|faults| faults.once(&step, fault)).await;
            check_done(&finished, &told);
            runs += 1;
        }
    }
    runs
}

/// Every undo is repeated, in turn, in every way, after every failure that makes it run. Returns how many runs that took.
pub async fn every_undo_is_repeated<S: Subject>(subject: &S) -> usize {
    let mut runs = 0;
    for step in steps(subject).await {
        let failed = subject.run(|faults| faults.always(&step, Fault::LoseReply)).await;
        for undo in undone(&failed.history) {
            for fault in REPETITIONS {
                let told = format!("{undo} meets {fault:?} after {step} has failed");
                let strike = |faults: &Faults| {
                    faults.always(&step, Fault::LoseReply);
                    faults.once(&undo, fault);
                };
                check_undone(&subject.run(strike).await, &told);
                runs += 1;
            }
        }
    }
    runs
}

/// The steps of an undisturbed run.
async fn steps<S: Subject>(subject: &S) -> Vec<String> {
    let finished = subject.run(|_| {}).await;
    check_done(&finished, "undisturbed");
    let mut seen = BTreeSet::new();
    let scheduled = finished.history.iter().filter_map(|event| match &event.body {
        Some(Body::StepScheduled(step)) => Some(step.name.clone()),
        _ => None,
    });
    scheduled.filter(|name| seen.insert(name.clone())).collect()
}

fn check_done(finished: &Finished, told: &str) {
    assert_eq!(finished.state, RunState::Completed, "{told}");
    finished.is_done.as_ref().unwrap_or_else(|left| panic!("{told}: {left}"));
}

fn check_undone(finished: &Finished, told: &str) {
    assert_eq!(finished.state, RunState::Failed, "{told}");
    finished.is_clean.as_ref().unwrap_or_else(|left| panic!("{told}: {left}"));
    assert_eq!(undone(&finished.history), owed(&finished.history), "{told}: the order of undo");
}

/// The undos that ran, in order.
pub fn undone(history: &[Event]) -> Vec<String> {
    let undone = history.iter().filter_map(|event| match &event.body {
        Some(Body::UndoSucceeded(undo)) => Some(undo.name.clone()),
        _ => None,
    });
    undone.collect()
}

/// The undos that should run, in order: all that were put on record and not discharged, the last first.
fn owed(history: &[Event]) -> Vec<String> {
    let mut ledger = BTreeMap::new();
    for event in history {
        match event.body.as_ref().unwrap() {
            Body::UndoOwed(owed) => {
                ledger.insert(owed.command, owed.undo.clone().unwrap().name);
            }
            Body::StepScheduled(step) => {
                if let Some(undo) = &step.undo {
                    ledger.insert(step.command, undo.name.clone());
                }
            }
            Body::StepFailed(step) if step.discharges_undo => {
                ledger.remove(&step.command);
            }
            _ => {}
        }
    }
    ledger.into_values().rev().collect()
}
