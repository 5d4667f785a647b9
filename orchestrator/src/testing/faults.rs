//! What goes wrong between a step and whatever it reaches.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::engine::attempt::{Attempt, Attempts};
use crate::engine::step::StepError;

/// What happens to one attempt at a step or an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and nothing ever will be: [`StepError::refused`]. True of a step's first attempt only.
    Refuse,
    /// Nothing is done, and trying again is no use; nobody says whether anything was done: [`StepError::permanent`].
    Break,
    /// The call does not arrive.
    Away,
    /// The work is done, the reply is lost.
    LoseReply,
    /// The work is done, and nobody ever answers.
    Hang,
    /// The work is done, but neither its signs of life nor its reply arrive: a step with a heartbeat is given up for its
    /// silence, others hang.
    Silent,
    /// The work is done, and the step panics.
    Panic,
    /// The call arrives twice.
    Twice,
    /// The caller is told that nobody is there; the call arrives this much later all the same, in milliseconds, whatever
    /// has become of the engine by then.
    Late(u64),
}

/// How a caller learns that something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Certainly nothing was done, or ever will be.
    Refused,
    /// It will not work.
    Broken,
    /// Nobody answers.
    Away,
}

impl From<Trouble> for StepError {
    fn from(trouble: Trouble) -> StepError {
        match trouble {
            Trouble::Refused => StepError::refused("REFUSED", "told to refuse"),
            Trouble::Broken => StepError::permanent("BROKEN", "told to be broken"),
            Trouble::Away => StepError::retryable("UNAVAILABLE", "told to be away"),
        }
    }
}

/// Faults by the name of the step or undo that they strike. Clones are the same.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    plans: BTreeMap<String, Plan>,
    struck: Vec<(String, Fault)>,
}

/// What is to become of the attempts at one step or undo.
#[derive(Default)]
struct Plan {
    always: Option<Fault>,
    /// By the number of the attempt, from 1.
    single: BTreeMap<u32, Fault>,
    /// Attempts so far, of all runs.
    attempts: u32,
}

impl Faults {
    /// Every attempt at `name` is struck, until [`Faults::repair`].
    pub fn always(&self, name: &str, fault: Fault) {
        self.plan(name, |plan| plan.always = Some(fault));
    }

    /// The next attempt at `name` is struck.
    pub fn once(&self, name: &str, fault: Fault) {
        self.nth(name, 1, fault);
    }

    /// One attempt at `name` is struck: the `nth` from here on, from 1, of whatever run. It goes before what is always so.
    pub fn nth(&self, name: &str, nth: u32, fault: Fault) {
        self.plan(name, |plan| {
            plan.single.insert(plan.attempts + nth.max(1), fault);
        });
    }

    /// `name` works again.
    pub fn repair(&self, name: &str) {
        self.plan(name, |plan| {
            plan.always = None;
            plan.single.clear();
        });
    }

    /// Everything works again.
    pub fn calm(&self) {
        for plan in self.state.lock().plans.values_mut() {
            *plan = Plan { attempts: plan.attempts, ..Plan::default() };
        }
    }

    /// How many attempts at `name` were begun.
    pub fn attempts(&self, name: &str) -> u32 {
        self.state.lock().plans.get(name).map_or(0, |plan| plan.attempts)
    }

    /// What has struck so far, in order.
    pub fn struck(&self) -> Vec<(String, Fault)> {
        self.state.lock().struck.clone()
    }

    /// Does `work` of `name` as the faults have it. For participants of a test's own, which then fail behind whatever is
    /// between them and the step (a server, a queue); the engine's steps need nothing of the kind. `fail` says how the
    /// participant tells of trouble.
    ///
    /// # Errors
    /// Those of `work`, and of `fail`.
    pub async fn around<T, E, W, F>(
        &self,
        name: &str,
        work: W,
        fail: impl Fn(Trouble) -> E,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        W: Fn() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        // Others get their turn, as they do while a real call is under way.
        tokio::task::yield_now().await;
        strike(self.next(name), work, fail).await
    }

    fn plan(&self, name: &str, change: impl FnOnce(&mut Plan)) {
        change(self.state.lock().plans.entry(name.to_owned()).or_default());
    }

    /// Counts an attempt and returns what is to happen to it.
    fn next(&self, name: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        let plan = state.plans.entry(name.to_owned()).or_default();
        plan.attempts += 1;
        let fault = plan.single.remove(&plan.attempts).or(plan.always)?;
        state.struck.push((name.to_owned(), fault));
        Some(fault)
    }
}

impl Attempts for Faults {
    fn make(&self, attempt: Attempt) -> BoxFuture<'static, Result<Bytes, StepError>> {
        match self.next(attempt.name()) {
            None => attempt.run(),
            Some(Fault::Silent) => {
                Box::pin(strike(Some(Fault::Hang), move || attempt.run_unheard(), StepError::from))
            }
            fault => Box::pin(strike(fault, move || attempt.run(), StepError::from)),
        }
    }
}

async fn strike<T, E, W, F>(
    fault: Option<Fault>,
    work: W,
    fail: impl Fn(Trouble) -> E,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
    W: Fn() -> F + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    // What the work itself says is lost with its reply.
    match fault {
        None => work().await,
        Some(Fault::Refuse) => Err(fail(Trouble::Refused)),
        Some(Fault::Break) => Err(fail(Trouble::Broken)),
        Some(Fault::Away) => Err(fail(Trouble::Away)),
        Some(Fault::LoseReply) => {
            let _ = work().await;
            Err(fail(Trouble::Away))
        }
        Some(Fault::Hang | Fault::Silent) => {
            let _ = work().await;
            std::future::pending().await
        }
        Some(Fault::Panic) => {
            let _ = work().await;
            panic!("told to panic")
        }
        Some(Fault::Twice) => {
            let _ = work().await;
            work().await
        }
        Some(Fault::Late(ms)) => {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _ = work().await;
            });
            Err(fail(Trouble::Away))
        }
    }
}
