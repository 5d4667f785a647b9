//! What a workflow sees of the world: steps, timers, signals, updates, time and chance, all of which replay alike.
//!
//! A workflow awaits only what comes from here. Any combination of these futures may be joined, selected or raced; a
//! future that is dropped before it is done gives its step or timer up.
//!
//! When a run is cancelled, everything that waits here fails with [`Failure::cancelled`], so that an ordinary `?` ends the
//! workflow and what it did is undone. [`Cx::shielded`] gives a view that is not disturbed.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

mod attribute;
mod child;
mod children;
mod inheritance;
mod ledger;
mod message;
mod saga;
mod state;
mod step;
mod turn;
mod view;
mod wait;

use super::event::{Answered, Body};
use super::failure::Failure;
use super::ids::RunId;
pub use child::{ChildFuture, ChildHandle, ChildOutcome, ChildStart, ChildWorkflow, Told};
pub(crate) use children::ToEnd;
pub(crate) use inheritance::{Inheritance, fingerprint};
pub(crate) use ledger::{Entry, Ledger, Part};
pub(crate) use message::{Acceptor, Refusal};
pub use message::{NextSignal, NextUpdate, Received, Signal, Update, Updates};
pub use saga::Saga;
pub(crate) use state::{Inbox, Shared, State};
pub use step::StepFuture;
pub(crate) use step::launch;
pub use view::View;
pub use wait::{Cancelled, Timer};

use super::limits::MAX_KEPT_WRITING_BYTES;
use super::step::Step;

/// A workflow's view of the world. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shielded: bool,
}

impl Cx {
    pub(crate) fn new(shared: Arc<Shared>) -> Cx {
        Cx { shared, shielded: false }
    }

    /// The workflow's id.
    pub fn workflow_id(&self) -> &str {
        &self.shared.workflow_id
    }

    /// The run's id; of a run that was reset, the id of the first.
    #[allow(clippy::misnamed_getters)]
    pub fn run_id(&self) -> RunId {
        self.shared.origin
    }

    /// The same, but what waits through it is not disturbed by a cancellation of the run.
    pub fn shielded(&self) -> Cx {
        Cx { shared: self.shared.clone(), shielded: true }
    }

    /// The saga of this run: steps with their undo.
    pub fn saga(&self) -> Saga {
        Saga::new(self.clone())
    }

    /// Does a step. Its undo, if it has one, is on record before it is tried.
    ///
    /// # Errors
    /// The future fails with the step's failure once it has failed for good.
    pub fn step<S: Step>(&self, step: S) -> StepFuture<S> {
        StepFuture::new(self.clone(), step)
    }

    /// Resolves after `duration`, in the workflow's time. It survives restarts, and may be years away.
    pub fn sleep(&self, duration: Duration) -> Timer {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.timer_at(self.now_ms().saturating_add(ms))
    }

    /// Resolves at a time, in unix milliseconds.
    pub fn timer_at(&self, fire_at_ms: i64) -> Timer {
        Timer::new(self.clone(), fire_at_ms)
    }

    /// The time of the event that the workflow is dealing with, in unix milliseconds. It never goes backwards.
    pub fn now_ms(&self) -> i64 {
        self.shared.state.lock().now_ms
    }

    /// The next number of the run's own random sequence. Not for secrets.
    pub fn random(&self) -> u64 {
        self.shared.state.lock().random()
    }

    /// A UUID (version 4 in form) from the run's own random sequence.
    pub fn uuid(&self) -> Uuid {
        let mut state = self.shared.state.lock();
        Uuid::from_u64_pair(state.random(), state.random()).into_version_4()
    }

    /// Waits for the next signal of a type. Signals that come before anyone waits are kept, in order.
    pub fn signal<S: Signal>(&self) -> NextSignal<S> {
        NextSignal::new(self.clone())
    }

    /// Takes the next signal of a type if one is there.
    pub fn try_signal<S: Signal>(&self) -> Option<S> {
        message::take_signal(&self.shared)
    }

    /// Takes updates of a type from now on, until the answer is dropped. `validate` refuses an update before it is
    /// recorded; it must neither block nor change anything.
    pub fn updates<U: Update>(
        &self,
        validate: impl Fn(&U) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Updates<U> {
        Updates::new(self.clone(), validate)
    }

    /// Answers those who started the run and wait for an answer. The first answer stands; returns whether this is it.
    pub fn answer<T: Serialize>(&self, answer: &T) -> bool {
        let json = write_json(answer);
        let mut state = self.shared.state.lock();
        match json {
            Ok(json) if !state.answered => {
                state.answered = true;
                state.answer = Some(json.clone());
                state.emit(Body::Answered(Answered { answer: json }));
                true
            }
            Ok(_) => false,
            Err(error) => {
                state.misfit_value("the answer", &error);
                false
            }
        }
    }

    /// Which version of a change of this workflow's code the run follows: `current` for runs that come here first with
    /// this build, 0 for those that passed here before the change existed, and what was marked for all others. A build
    /// that knows only `oldest..=current` leaves runs of other versions stuck (SOUK-0007).
    pub fn version(&self, change: &str, oldest: u32, current: u32) -> u32 {
        self.shared.state.lock().version(change, oldest, current)
    }

    /// Resolves when the run is cancelled, with the reason. Never fails.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::new(self.clone())
    }
}

/// Uuid helpers that the `uuid` crate leaves to its builder.
trait IntoVersion4 {
    fn into_version_4(self) -> Uuid;
}

impl IntoVersion4 for Uuid {
    fn into_version_4(self) -> Uuid {
        uuid::Builder::from_random_bytes(*self.as_bytes()).into_uuid()
    }
}

/// Reads a payload.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    // An empty payload stands for `null`: callers need not send a body for signals without content.
    if json.is_empty() { serde_json::from_slice(b"null") } else { serde_json::from_slice(json) }
}

/// Writes a payload. Into memory that is used again, so that it is as large as it must be and written once.
pub(crate) fn write_json<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    thread_local! {
        static WRITTEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken, not borrowed: what writes a value may come here again.
    let mut written = WRITTEN.take();
    written.clear();
    let json =
        serde_json::to_writer(&mut written, value).map(|()| Bytes::copy_from_slice(&written));
    if written.capacity() <= MAX_KEPT_WRITING_BYTES {
        WRITTEN.set(written);
    }
    json
}

/// Marks a type parameter that is only ever produced.
type Produces<T> = PhantomData<fn() -> T>;
