//! The state behind [`Cx`](super::Cx): commands, what they wait for, and what was decided since the last event.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use super::children::Child;
use super::message::Acceptor;
use super::{Inheritance, Ledger};
use crate::engine::attribute::Attributes;
use crate::engine::call::Call;
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{
    Body, CommandGivenUp, MessageReceived, Parent, TurnEnding, VersionMarked,
};
use crate::engine::failure::Failure;
use crate::engine::ids::RunId;
use crate::engine::limits::{
    LONG_HISTORY_BYTES, LONG_HISTORY_OBSERVATIONS, MAX_DECISIONS_PER_EVENT,
};

/// What a run and the futures of its workflow share.
pub(crate) struct Shared {
    pub run_id: RunId,
    /// What the workflow knows as the run's id: of a run that was reset, that of the first.
    pub origin: RunId,
    pub workflow_id: Arc<str>,
    /// Set before the workflow is dropped for want of memory or at shutdown: futures that are dropped then give
    /// nothing up.
    pub unloading: AtomicBool,
    pub state: Mutex<State>,
}

/// What a command has come to.
pub(crate) type Outcome = Result<Bytes, Failure>;

/// A command that waits for its outcome, or whose outcome waits to be taken.
#[derive(Default)]
pub(crate) struct Wait {
    pub outcome: Option<Outcome>,
    pub waker: Option<Waker>,
    pub is_timer: bool,
    /// Of a child: it goes on whether anyone waits for it or not.
    pub is_child: bool,
    /// The child was never started.
    pub is_refused: bool,
    /// It has fired, but the run cannot go on now.
    pub has_fired: bool,
}

/// Signals of one name.
pub(crate) type Inbox = VecDeque<(String, Bytes)>;

/// See the module.
#[derive(Default)]
pub(crate) struct State {
    pub now_ms: i64,
    /// What the effect keys, and the ids of children, have behind the occurrence.
    pub effect_mark: String,
    pub random_state: u64,
    pub next_command: u64,
    pub occurrences: BTreeMap<Cow<'static, str>, u32>,
    /// Decisions since the last event, in order.
    pub decisions: Vec<Body>,
    /// Steps and timers.
    pub waits: BTreeMap<u64, Box<Wait>>,
    /// Futures that wait for signals, updates or the cancellation, by a number of their own.
    pub waiters: BTreeMap<u64, Waker>,
    pub next_waiter: u64,
    /// Calls on record without an outcome.
    pub calls: BTreeMap<u64, Arc<Call>>,
    /// Those of them that were decided since the last event.
    pub launches: Vec<u64>,
    pub signals: BTreeMap<String, Inbox>,
    pub updates: BTreeMap<String, Inbox>,
    pub acceptors: BTreeMap<&'static str, Acceptor>,
    pub ledger: Ledger,
    /// Children that have not ended, by command.
    pub children: BTreeMap<u64, Child>,
    /// Steps that ask a child to end: theirs and the child's command.
    pub end_requests: BTreeMap<u64, u64>,
    /// Whose child the run is.
    pub parent: Option<Parent>,
    /// What the run was left by a reset.
    pub inheritance: Inheritance,
    /// What is shown to queries, by name.
    pub views: BTreeMap<&'static str, Bytes>,
    pub answered: bool,
    pub answer: Option<Bytes>,
    /// The input of the next turn, once the workflow wants one.
    pub continue_with: Option<Bytes>,
    /// It is on record that the next turn waits for children.
    pub is_turn_ending: bool,
    /// How many observations the run has taken in.
    pub observations: u64,
    /// How many bytes the bodies of its events have.
    pub history_bytes: u64,
    /// How many signals and updates the workflow has taken.
    pub messages_taken: u64,
    /// Bytes of signals that it has not taken.
    pub unread_bytes: usize,
    /// How many rounds have ended in this turn.
    pub rounds: u64,
    /// Observations and messages taken when the last round ended.
    pub round_end: (u64, u64),
    /// Rounds that ended since then.
    pub idle_rounds: u32,
    /// In replay: behind how many rounds the turn ends with the commit that is being replayed.
    pub turn_ends_behind: Option<u64>,
    pub cancelled: Option<String>,
    /// What the run is found by.
    pub attributes: Attributes,
    /// Versions of changes that this run follows, marked or not.
    pub versions: BTreeMap<String, u32>,
    /// The marks of the history that is being replayed.
    pub marks: BTreeMap<String, u32>,
    /// Changes that were met; a mark is decided once.
    pub marked: BTreeSet<String>,
    pub replaying: bool,
    pub misfit: Option<Misfit>,
}

impl State {
    pub fn take_command(&mut self) -> u64 {
        self.next_command += 1;
        self.next_command
    }

    /// Which step or compensation of this name comes now, from 1.
    pub fn take_occurrence(&mut self, name: &'static str) -> u32 {
        let occurrence = self.occurrences.entry(Cow::Borrowed(name)).or_insert(0);
        *occurrence += 1;
        *occurrence
    }

    /// Takes the undo off the ledger of what was done so far, and tells how many entries. What a reset has left is no part
    /// of that.
    pub fn let_stand(&mut self) -> u64 {
        let State { ledger, inheritance, .. } = self;
        ledger.clear(|command| !inheritance.has(command))
    }

    pub fn emit(&mut self, body: Body) {
        if self.decisions.len() >= MAX_DECISIONS_PER_EVENT {
            self.misfit(
                StuckCode::BoundExceeded,
                format!("more than {MAX_DECISIONS_PER_EVENT} decisions for one event"),
            );
            return;
        }
        self.history_bytes += body.encoded_len() as u64;
        if self.decisions.is_empty() {
            // Most events lead to one decision: a vector that grows by itself begins with more.
            self.decisions.reserve_exact(1);
        }
        self.decisions.push(body);
    }

    /// Whether it is time to continue as new.
    pub fn history_is_long(&self) -> bool {
        let is_long = self.observations >= LONG_HISTORY_OBSERVATIONS
            || self.history_bytes >= LONG_HISTORY_BYTES;
        // Not before anything has happened.
        is_long && self.observations > 1
    }

    /// A round ends. Returns how many did since anything has come or was taken.
    pub fn count_round(&mut self) -> u32 {
        self.rounds += 1;
        let end = (self.observations, self.messages_taken);
        self.idle_rounds = if self.round_end == end { self.idle_rounds + 1 } else { 0 };
        self.round_end = end;
        self.idle_rounds
    }

    /// Whether the turn is to end with the round that has just ended.
    pub fn is_turn_over(&self, max_observations: u64) -> bool {
        if self.replaying {
            return self.turn_ends_behind == Some(self.rounds);
        }
        // An update without an answer would have to be asked for again in the next turn.
        let is_quiet = self.updates.values().all(|inbox| inbox.is_empty());
        let is_long = self.history_is_long()
            || (self.observations >= max_observations && self.observations > 1);
        is_quiet && is_long
    }

    /// A signal is there, and nobody has taken it yet.
    pub fn put_signal(&mut self, signal: &MessageReceived) {
        self.unread_bytes += signal.payload.len();
        let inbox = self.signals.entry(signal.name.clone()).or_default();
        inbox.push_back((signal.id.clone(), signal.payload.clone()));
    }

    /// The next signal of a name.
    pub fn take_signal(&mut self, name: &str) -> Option<Bytes> {
        let (_, payload) = self.signals.get_mut(name)?.pop_front()?;
        self.unread_bytes -= payload.len();
        self.messages_taken += 1;
        Some(payload)
    }

    /// The next update of a name: its id and what it says.
    pub fn take_update(&mut self, name: &str) -> Option<(String, Bytes)> {
        let update = self.updates.get_mut(name)?.pop_front()?;
        self.messages_taken += 1;
        Some(update)
    }

    /// The first misfit stands.
    pub fn misfit(&mut self, code: StuckCode, message: String) {
        self.misfit.get_or_insert(Misfit { code, message });
    }

    pub fn misfit_value(&mut self, what: &str, error: &serde_json::Error) {
        self.misfit(StuckCode::ValueMismatch, format!("{what}: {error}"));
    }

    /// SplitMix64.
    pub fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random_state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn version(&mut self, change: &str, oldest: u32, current: u32) -> u32 {
        let known = self.versions.get(change).or_else(|| self.marks.get(change)).copied();
        let version = known.unwrap_or(if self.replaying { 0 } else { current });
        self.versions.insert(change.to_owned(), version);
        // A run that passed here before the change existed has no mark, and never gets one.
        let has_mark = self.marks.contains_key(change) || (known.is_none() && !self.replaying);
        if has_mark && self.marked.insert(change.to_owned()) {
            self.emit(Body::VersionMarked(VersionMarked { change: change.to_owned(), version }));
        }
        if version < oldest || version > current {
            let message =
                format!("{change} is at {version}; this build knows {oldest} to {current}");
            self.misfit(StuckCode::VersionUnsupported, message);
        }
        version
    }

    /// An outcome has come for a command.
    pub fn resolve(&mut self, command: u64, outcome: Outcome) {
        if let Some(wait) = self.waits.get_mut(&command) {
            wait.outcome = Some(outcome);
            if let Some(waker) = wait.waker.take() {
                waker.wake();
            }
        }
    }

    /// Nobody waits for this command any more.
    pub fn give_up(&mut self, command: u64) {
        let Some(wait) = self.waits.remove(&command) else { return };
        if wait.outcome.is_some() {
            return;
        }
        if wait.is_child {
            self.give_up_child(command);
        } else if wait.is_timer {
            self.emit(Body::TimerGivenUp(CommandGivenUp { command }));
        } else {
            if let Some(call) = self.calls.remove(&command) {
                call.token.cancel();
            }
            self.emit(Body::StepAbandoned(CommandGivenUp { command }));
        }
    }

    pub fn wait_as(&mut self, waiter: &mut Option<u64>, waker: &Waker) {
        let number = *waiter.get_or_insert_with(|| {
            self.next_waiter += 1;
            self.next_waiter
        });
        self.waiters.insert(number, waker.clone());
    }

    pub fn wake_waiters(&mut self) {
        for waker in self.waiters.values() {
            waker.wake_by_ref();
        }
    }

    pub fn cancel(&mut self, reason: String) {
        self.cancelled = Some(reason);
        self.wake_waiters();
        for wait in self.waits.values_mut() {
            if let Some(waker) = wait.waker.take() {
                waker.wake();
            }
        }
    }

    /// Why something that is not shielded must not wait.
    pub fn cancellation(&self, shielded: bool) -> Option<Failure> {
        let reason = self.cancelled.as_ref().filter(|_| !shielded)?;
        Some(Failure::cancelled(reason))
    }

    /// Whether anything can make the workflow go on.
    pub fn is_waiting(&self) -> bool {
        let mut open = self.waits.values().filter(|wait| wait.outcome.is_none());
        !self.waiters.is_empty() || open.any(|wait| !wait.is_child || wait.waker.is_some())
    }

    /// The input of the next turn, if the workflow wants one and nothing stands in the way.
    pub fn take_continuation(&mut self) -> Option<Bytes> {
        if self.are_children_settled() {
            return self.continue_with.take();
        }
        if self.continue_with.is_some() && !self.is_turn_ending {
            self.is_turn_ending = true;
            self.emit(Body::TurnEnding(TurnEnding { rounds: self.rounds }));
        }
        None
    }

    pub fn open_steps(&self) -> usize {
        self.calls.len()
    }

    pub fn open_timers(&self) -> usize {
        self.waits.values().filter(|wait| wait.is_timer && wait.outcome.is_none()).count()
    }
}
