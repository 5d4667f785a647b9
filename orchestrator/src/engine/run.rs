//! One run in memory: the workflow's future, and what drives it from event to event.
//!
//! [`Run::observe`] is the live way: it takes an observation, polls the workflow and returns the events to commit.
//! [`replay`](replay::replay) is the other: it takes a history and holds the workflow against it. Both go through the
//! same `apply` and `advance`.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

mod apply;
mod describe;
mod pause;
mod replay;
mod reset;
mod turn;
mod undo;

use super::call::Call;
use super::cx::{Cx, Shared, State};
use super::error::{Misfit, StuckCode};
use super::event::{Body, Closed, Event, Started, Stuck, UpdateAnswered};
use super::failure::Failure;
use super::ids::RunId;
use super::limits::MAX_POLLS_PER_EVENT;
use super::lineage::effect_mark;
use super::registry::{Compensations, Definition, Running};
use super::row::RunState;
pub use describe::PendingCall;
pub(crate) use describe::outcome_of;
pub(crate) use replay::{Kind, Replay, Replayed, kind, replay};
use reset::Ending;
pub(crate) use turn::Turn;

/// Where a run stands, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The workflow's function goes on.
    Running,
    /// Undo under way: the compensation's command and the command that it undoes; none between two of them.
    Compensating(Option<Undoing>),
    /// A compensation has exhausted its retries.
    Parked(Undoing),
    /// The code does not fit.
    Stuck(Misfit),
    /// Over.
    Closed(RunState),
}

/// A compensation that is under way or parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undoing {
    pub command: u64,
    pub undoes: u64,
    pub name: &'static str,
}

/// The answer to an update: JSON, or why there is none.
pub(crate) type UpdateOutcome = Result<Bytes, Failure>;

/// See the module.
pub(crate) struct Run {
    pub shared: Arc<Shared>,
    workflow: Option<Running>,
    flag: Arc<WakeFlag>,
    pub phase: Phase,
    cause: Option<Failure>,
    /// The workflow has returned this, and its children are asked to end.
    ending: Option<Bytes>,
    /// How the run ends once what it has not done again since a reset is undone.
    leftovers: Option<Ending>,
    /// Those that a reset may need.
    pub compensations: Compensations,
    /// While the run is paused: what was observed meanwhile.
    paused: Option<Vec<Body>>,
    pub next_sequence: u64,
    last_time_ms: i64,
    /// Ids of signals, with the order in which they came.
    signal_ids: BTreeMap<String, u64>,
    /// The run has ended its turn, and nobody has begun the next one yet.
    pub next_turn: Option<Box<Turn>>,
    /// Updates by id, with their answers.
    pub updates: BTreeMap<String, Option<UpdateOutcome>>,
    /// The last answers, in the order in which they were given.
    answered: VecDeque<UpdateAnswered>,
    pub traceparent: Arc<str>,
}

/// Remembers whether something in the workflow wants to be polled again.
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Run {
    /// A run as it is started, before anything has happened.
    pub fn of(run_id: RunId, started: &Started) -> Run {
        let origin = RunId::from_slice(&started.origin).unwrap_or(run_id);
        let workflow_id = started.workflow_id.as_str().into();
        let mut run = Run::with_origin(run_id, origin, workflow_id, &started.traceparent);
        run.shared.state.lock().effect_mark = effect_mark(started.lineage.as_ref());
        run.carry(started);
        run
    }

    fn empty(run_id: RunId, workflow_id: Arc<str>) -> Run {
        Run::with_origin(run_id, run_id, workflow_id, "")
    }

    fn with_origin(run_id: RunId, origin: RunId, workflow_id: Arc<str>, traceparent: &str) -> Run {
        let (high, low) = origin.0.as_u64_pair();
        let state = State { random_state: high ^ low, ..State::default() };
        let shared = Shared {
            run_id,
            origin,
            workflow_id,
            unloading: AtomicBool::new(false),
            state: parking_lot::Mutex::new(state),
        };
        Run {
            shared: Arc::new(shared),
            workflow: None,
            flag: Arc::new(WakeFlag(AtomicBool::new(false))),
            phase: Phase::Running,
            cause: None,
            ending: None,
            leftovers: None,
            compensations: Compensations::default(),
            paused: None,
            next_sequence: 0,
            last_time_ms: i64::MIN,
            signal_ids: BTreeMap::new(),
            next_turn: None,
            updates: BTreeMap::new(),
            answered: VecDeque::new(),
            traceparent: traceparent.into(),
        }
    }

    /// A new run. Nothing happens before it observes [`Body::Started`].
    pub fn prepare(
        definition: &dyn Definition,
        run_id: RunId,
        started: &Started,
    ) -> Result<Run, serde_json::Error> {
        let mut run = Run::of(run_id, started);
        run.begin(definition, &started.input)?;
        Ok(run)
    }

    pub fn begin(
        &mut self,
        definition: &dyn Definition,
        input: &Bytes,
    ) -> Result<(), serde_json::Error> {
        self.workflow = Some(definition.begin(Cx::new(self.shared.clone()), input)?);
        Ok(())
    }

    /// Takes an observation, lets the workflow go on, and returns the events of both, to be committed together.
    pub fn observe(&mut self, body: Body, now_ms: i64) -> Vec<Event> {
        let time_ms = now_ms.max(self.last_time_ms);
        let is_note = matches!(body, Body::AttemptFailed(_) | Body::Progressed(_));
        let decisions = if is_note || matches!(self.phase, Phase::Stuck(_)) {
            self.note(&body);
            Vec::new()
        } else {
            match self.take(&body, time_ms) {
                Ok(decisions) => decisions,
                Err(misfit) => vec![self.become_stuck(misfit)],
            }
        };
        let mut events = Vec::with_capacity(1 + decisions.len());
        self.record(&mut events, std::iter::once(body).chain(decisions), time_ms);
        events
    }

    fn record(
        &mut self,
        events: &mut Vec<Event>,
        bodies: impl IntoIterator<Item = Body>,
        time_ms: i64,
    ) {
        self.last_time_ms = time_ms;
        let before = events.len();
        events.extend(bodies.into_iter().map(|body| Event { time_ms, body: Some(body) }));
        self.next_sequence += (events.len() - before) as u64;
    }

    /// What was decided since the last event is void; what was on record before goes on.
    fn become_stuck(&mut self, misfit: Misfit) -> Body {
        let mut state = self.shared.state.lock();
        state.decisions.clear();
        let launches = std::mem::take(&mut state.launches);
        for command in launches {
            state.calls.remove(&command);
        }
        drop(state);
        let body = Stuck { code: misfit.code.code().into(), message: misfit.message.clone() };
        tracing::error!(workflow_id = %self.shared.workflow_id, code = %misfit.code,
            message = misfit.message, "a workflow's code does not fit its run");
        self.unload();
        self.phase = Phase::Stuck(misfit);
        Body::Stuck(body)
    }

    /// Lets everything go on that can.
    fn advance(&mut self) -> Result<(), Misfit> {
        if self.phase == Phase::Running {
            match self.poll_workflow()? {
                None => {
                    let continue_with = self.shared.state.lock().take_continuation();
                    if let Some(input) = continue_with {
                        self.end_as(Ending::Turn(input))?;
                    }
                }
                Some(Ok(result)) => {
                    self.workflow = None;
                    self.end_as(Ending::Completed(result))?;
                }
                Some(Err(failure)) => {
                    self.workflow = None;
                    self.begin_compensation(failure);
                }
            }
        }
        if self.phase == Phase::Compensating(None) {
            self.undo_next()?;
        }
        match self.shared.state.lock().misfit.take() {
            Some(misfit) => Err(misfit),
            None => Ok(()),
        }
    }

    fn poll_workflow(&mut self) -> Result<Option<Result<Bytes, Failure>>, Misfit> {
        let Some(workflow) = self.workflow.as_mut() else { return Ok(None) };
        let waker = Waker::from(self.flag.clone());
        let mut task = Context::from_waker(&waker);
        for _ in 0..MAX_POLLS_PER_EVENT {
            self.flag.0.store(false, Ordering::Relaxed);
            let polled = catch_unwind(AssertUnwindSafe(|| workflow.as_mut().poll(&mut task)))
                .map_err(|panic| Misfit::new(StuckCode::Panicked, panic_message(&*panic)))?;
            let mut state = self.shared.state.lock();
            if let Some(misfit) = state.misfit.take() {
                return Err(misfit);
            }
            match polled {
                Poll::Ready(result) => return Ok(Some(result)),
                Poll::Pending if self.flag.0.load(Ordering::Relaxed) => {}
                Poll::Pending if state.continue_with.is_some() => return Ok(None),
                Poll::Pending if state.is_waiting() => return Ok(None),
                Poll::Pending => {
                    let message = "the workflow waits, but for nothing that it got from `cx`";
                    return Err(Misfit::new(StuckCode::ForeignWait, message));
                }
            }
        }
        let message = format!("the workflow was polled {MAX_POLLS_PER_EVENT} times and wants more");
        Err(Misfit::new(StuckCode::BoundExceeded, message))
    }

    fn close(&mut self, state: RunState, result: Option<Bytes>, failure: Option<&Failure>) {
        let failure = failure.map(Into::into);
        let closed = Closed { state: state.into(), result, failure, next: None };
        let mut shared = self.shared.state.lock();
        shared.emit(Body::Closed(closed));
        for call in std::mem::take(&mut shared.calls).into_values() {
            call.token.cancel();
        }
        drop(shared);
        self.phase = Phase::Closed(state);
    }

    /// The calls that were decided since the last time, to be started once their commit is durable.
    pub fn take_launches(&mut self) -> Vec<Arc<Call>> {
        let mut state = self.shared.state.lock();
        let State { launches, calls, .. } = &mut *state;
        launches.drain(..).filter_map(|command| calls.get(&command).cloned()).collect()
    }

    /// Whether the run waits for nothing that must be in memory.
    pub fn is_idle(&self) -> bool {
        !matches!(self.phase, Phase::Stuck(_)) && self.shared.state.lock().calls.is_empty()
    }

    /// Ends the calls under way: another node makes them again.
    pub fn give_calls_up(&self) {
        for call in self.shared.state.lock().calls.values() {
            call.token.cancel();
        }
    }

    /// Drops the workflow without giving anything up.
    pub fn unload(&mut self) {
        self.shared.unloading.store(true, Ordering::Relaxed);
        self.workflow = None;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.unload();
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
