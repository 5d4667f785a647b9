//! The saga trio as a call: every step fails in turn, every step is repeated, every undo is repeated. And a fourth: the process
//! dies at every append. Afterwards everything is as if nothing had been, or as if nothing had gone wrong.
//!
//! A saga is tested by implementing [`Subject`]: one run in a world of its own, and how to tell whether all was done, once,
//! or nothing is left. Which steps and undos there are, and in which order they ran, is read from the histories.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

mod crash;
mod finding;
mod ledger;

pub use crash::{DEATHS, Death};
pub use finding::Finding;
pub use ledger::{owed, steps, undone};

use super::look::{ABANDONED_AFTER, PATIENCE, gives_up};
use super::{Fault, Faults, TestEnvironment};
use crate::engine::event::Event;
use crate::engine::row::RunState;

/// A saga under test: one run in a world of its own.
pub trait Subject {
    /// The world.
    fn environment(&mut self) -> &mut TestEnvironment;

    /// Where its steps are struck: at the engine, unless its participants have faults of their own ([`Faults::around`]).
    fn faults(&mut self) -> Faults {
        self.environment().faults.clone()
    }

    /// Starts the run and does what others do to it, until it has ended. Called again after a crash: whatever is repeated
    /// goes under the same ids. A run that fails may not come to hear everything.
    fn play(&self) -> impl Future<Output = ()>;

    /// Whether all of it was done, once.
    ///
    /// # Errors
    /// What there is instead.
    fn is_done(&self) -> Result<(), String>;

    /// Whether nothing of it is left.
    ///
    /// # Errors
    /// What is.
    fn is_undone(&self) -> Result<(), String>;
}

/// In which ways a step fails for good.
pub const FAILURES: [Fault; 8] = [
    Fault::Refuse,
    Fault::Break,
    Fault::Away,
    Fault::LoseReply,
    Fault::Hang,
    Fault::Silent,
    Fault::Panic,
    Fault::Late(90_000),
];
/// In which ways a call is repeated.
pub const REPETITIONS: [Fault; 7] = [
    Fault::Twice,
    Fault::LoseReply,
    Fault::Hang,
    Fault::Silent,
    Fault::Panic,
    Fault::Away,
    Fault::Late(5_000),
];

/// How long after its end a run is judged, unless a test says otherwise: what comes late has come then.
const SETTLED_AFTER: Duration = Duration::from_secs(600);

/// The trio on one saga. Every method plays it over and over, each time in a new world, and returns how many times that
/// took, or the first thing that it found.
pub struct Trio<M> {
    workflow_id: String,
    make: M,
    best_effort: Vec<String>,
    failures: Vec<Fault>,
    repetitions: Vec<Fault>,
    settled_after: Duration,
}

/// How many times each part of [`Trio::all`] has played the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// See [`Trio::every_step_fails`].
    pub failures: usize,
    /// See [`Trio::every_step_is_repeated`].
    pub repeated_steps: usize,
    /// See [`Trio::every_undo_is_repeated`].
    pub repeated_undos: usize,
    /// See [`Trio::every_crash`].
    pub crashes: usize,
}

/// A run that has come to its end.
struct Finished<S> {
    subject: S,
    state: RunState,
    history: Vec<Event>,
}

impl<S, M> Trio<M>
where
    S: Subject,
    M: AsyncFn() -> S,
{
    /// The trio on the saga whose run has this id, in worlds that `make` makes. It does not start the run: faults are told
    /// before that.
    pub fn new(workflow_id: impl Into<String>, make: M) -> Trio<M> {
        Trio {
            workflow_id: workflow_id.into(),
            make,
            best_effort: Vec::new(),
            failures: FAILURES.into(),
            repetitions: REPETITIONS.into(),
            settled_after: SETTLED_AFTER,
        }
    }

    /// Steps whose failure does not undo the run: without them, all counts as done.
    #[must_use]
    pub fn best_effort<T: Into<String>>(mut self, steps: impl IntoIterator<Item = T>) -> Trio<M> {
        self.best_effort.extend(steps.into_iter().map(Into::into));
        self
    }

    /// In which ways steps fail, instead of [`FAILURES`].
    #[must_use]
    pub fn failing_by(mut self, faults: impl IntoIterator<Item = Fault>) -> Trio<M> {
        self.failures = faults.into_iter().collect();
        self
    }

    /// In which ways calls are repeated, instead of [`REPETITIONS`].
    #[must_use]
    pub fn repeated_by(mut self, faults: impl IntoIterator<Item = Fault>) -> Trio<M> {
        self.repetitions = faults.into_iter().collect();
        self
    }

    /// How long after its end a run is judged, instead of ten minutes.
    #[must_use]
    pub fn settled_after(mut self, duration: Duration) -> Trio<M> {
        self.settled_after = duration;
        self
    }

    /// All four.
    ///
    /// # Errors
    /// The first thing that is found.
    pub async fn all(&self) -> Result<Tried, Finding> {
        Ok(Tried {
            failures: self.every_step_fails().await?,
            repeated_steps: self.every_step_is_repeated().await?,
            repeated_undos: self.every_undo_is_repeated().await?,
            crashes: self.every_crash().await?,
        })
    }

    /// Every step fails for good, in turn, in every way: what was done before it is undone, the last first, and nothing is
    /// left.
    ///
    /// # Errors
    /// What is left, or what was undone in another order.
    pub async fn every_step_fails(&self) -> Result<usize, Finding> {
        let mut runs = 0;
        for step in self.steps().await? {
            for fault in self.failures.iter().copied() {
                let told = format!("{step} always meets {fault:?}");
                let strike = |faults: &Faults| faults.always(&step, fault);
                let finished = self.run(&told, strike, &[(&step, fault)]).await?;
                if self.best_effort.contains(&step) {
                    finished.check_done(&told)?;
                } else {
                    finished.check_undone(&told)?;
                }
                runs += 1;
            }
        }
        Ok(runs)
    }

    /// Every step is repeated, in turn, in every way: all is done, once.
    ///
    /// # Errors
    /// What was done twice, or not at all.
    pub async fn every_step_is_repeated(&self) -> Result<usize, Finding> {
        let mut runs = 0;
        for step in self.steps().await? {
            for fault in self.repetitions.iter().copied() {
                let told = format!("{step} meets {fault:?} once");
                let strike = |faults: &Faults| faults.once(&step, fault);
                let finished = self.run(&told, strike, &[(&step, fault)]).await?;
                finished.check_done(&told)?;
                runs += 1;
            }
        }
        Ok(runs)
    }

    /// Every undo is repeated, in turn, in every way, after every failure that makes it run: nothing is left.
    ///
    /// # Errors
    /// What is left; or that no undo ever ran, so that there was nothing to repeat.
    pub async fn every_undo_is_repeated(&self) -> Result<usize, Finding> {
        let mut runs = 0;
        for step in self.steps().await? {
            let told = format!("{step} always meets {:?}", Fault::LoseReply);
            let break_step = |faults: &Faults| faults.always(&step, Fault::LoseReply);
            let failed = self.run(&told, break_step, &[(&step, Fault::LoseReply)]).await?;
            for undo in undone(&failed.history).into_iter().collect::<BTreeSet<_>>() {
                for fault in self.repetitions.iter().copied() {
                    let told = format!("{undo} meets {fault:?} once after {step} has failed");
                    let strike = |faults: &Faults| {
                        break_step(faults);
                        faults.once(&undo, fault);
                    };
                    let finished = self.run(&told, strike, &[(&undo, fault)]).await?;
                    finished.check_undone(&told)?;
                    runs += 1;
                }
            }
        }
        if runs == 0 {
            return Err(Finding::new("whatever fails", "no undo ever runs", &[]));
        }
        Ok(runs)
    }

    /// The steps of an undisturbed run, in order.
    async fn steps(&self) -> Result<Vec<String>, Finding> {
        let told = "undisturbed";
        let finished = self.run(told, |_| {}, &[]).await?;
        finished.check_done(told)?;
        let found = steps(&finished.history);
        if found.is_empty() {
            return Err(finished.finding(told, "there are no steps"));
        }
        Ok(found)
    }

    /// One run in a world of its own, from its start until everything is settled. `expected` must have struck.
    async fn run(
        &self,
        told: &str,
        strike: impl Fn(&Faults),
        expected: &[(&String, Fault)],
    ) -> Result<Finished<S>, Finding> {
        let mut subject = (self.make)().await;
        let faults = subject.faults();
        strike(&faults);
        self.play(&mut subject, told).await?;
        let finished = self.finish(subject, told).await?;
        let struck = faults.struck();
        let missing = expected
            .iter()
            .find(|(name, fault)| !struck.iter().any(|(hit, by)| hit == *name && by == fault));
        match missing {
            Some((name, fault)) => {
                Err(finished.finding(told, &format!("{name} never met {fault:?}")))
            }
            None => Ok(finished),
        }
    }

    /// Plays a subject to its end. Whatever keeps it from that is a finding.
    async fn play(&self, subject: &mut S, told: &str) -> Result<(), Finding> {
        let engine = subject.environment().engine.clone();
        // Half of what the helpers wait: what they would say without knowing what was done is said here.
        let gives_up = gives_up(engine, &self.workflow_id, PATIENCE / 2, ABANDONED_AFTER / 2);
        let played = tokio::select! {
            biased;
            played = AssertUnwindSafe(subject.play()).catch_unwind() => Some(played),
            () = gives_up => None,
        };
        let problem = match played {
            Some(Ok(())) => return Ok(()),
            Some(Err(panic)) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("the play panics: {}", text.unwrap_or("it does not say why"))
            }
            None => {
                let described = subject.environment().engine.describe(&self.workflow_id).await;
                let state = described.map_or("unknown", |described| described.row.state().name());
                format!("the play does not come to its end: the run is {state}")
            }
        };
        Err(self.finding(subject.environment(), told, &problem).await)
    }

    /// Waits until a run has ended and everything is settled.
    async fn finish(&self, mut subject: S, told: &str) -> Result<Finished<S>, Finding> {
        let environment = subject.environment();
        let described = environment.engine.describe(&self.workflow_id).await;
        let Ok(described) = described else {
            return Err(Finding::new(told, &format!("there is no run {}", self.workflow_id), &[]));
        };
        if !described.row.state().is_closed() {
            let problem = format!("the play is over, the run is {}", described.row.state().name());
            return Err(self.finding(environment, told, &problem).await);
        }
        environment.skip(self.settled_after).await;
        let state = environment.row(&self.workflow_id).await.state();
        let history = environment.history(&self.workflow_id).await;
        Ok(Finished { subject, state, history })
    }

    async fn finding(&self, environment: &TestEnvironment, told: &str, problem: &str) -> Finding {
        let is_known = environment.engine.describe(&self.workflow_id).await.is_ok();
        let history =
            if is_known { environment.history(&self.workflow_id).await } else { Vec::new() };
        Finding::new(told, problem, &history)
    }
}

impl<S: Subject> Finished<S> {
    fn finding(&self, told: &str, problem: &str) -> Finding {
        Finding::new(told, problem, &self.history)
    }

    fn check_done(&self, told: &str) -> Result<(), Finding> {
        if self.state != RunState::Completed {
            let problem = format!("the run is {}, not completed", self.state.name());
            return Err(self.finding(told, &problem));
        }
        let judged = self.subject.is_done();
        judged.map_err(|there| self.finding(told, &format!("not all was done, once: {there}")))
    }

    fn check_undone(&self, told: &str) -> Result<(), Finding> {
        if !matches!(self.state, RunState::Failed | RunState::Cancelled) {
            let problem = format!("the run is {}, not failed", self.state.name());
            return Err(self.finding(told, &problem));
        }
        let judged = self.subject.is_undone();
        judged.map_err(|left| self.finding(told, &format!("something is left: {left}")))?;
        let (undone, owed) = (undone(&self.history), owed(&self.history));
        if undone != owed {
            let problem = format!("undone was {undone:?}, which should have been {owed:?}");
            return Err(self.finding(told, &problem));
        }
        Ok(())
    }
}
