//! A run's place in memory: the run itself, its events that are not in the tables yet, and what may be told of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;

use super::error::Error;
use super::event::Event;
use super::idle::Idle;
use super::ids::RunId;
use super::lineage::Lineage;
use super::row::RunRow;
use super::run::{Run, UpdateOutcome};
use super::tail::Tail;

/// What is durable and may be told to those who wait.
#[derive(Default)]
pub(crate) struct Published {
    pub answer: Option<Bytes>,
    pub closed: Option<Outcome>,
    pub updates: BTreeMap<String, UpdateOutcome>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// A state that is closed.
    pub state: super::row::RunState,
    /// JSON, if it completed.
    pub result: Option<Bytes>,
    /// Why, if it did not.
    pub failure: Option<super::failure::Failure>,
}

impl Outcome {
    /// From the row of a closed run.
    pub(crate) fn of_row(row: &RunRow) -> Option<Outcome> {
        row.state().is_closed().then(|| Outcome {
            state: row.state(),
            result: row.result.clone(),
            failure: row.failure.as_ref().map(Into::into),
        })
    }
}

/// See the module. Locks are taken in the order `run`, `tail`.
pub(crate) struct RunCell {
    pub run_id: RunId,
    pub workflow_id: Arc<str>,
    pub workflow_type: Arc<str>,
    pub fingerprint: Bytes,
    /// Which of the runs under the workflow id it is.
    pub lineage: Option<Arc<Lineage>>,
    /// The run before it under the workflow id, while that is in memory: until it is in the tables, at least.
    pub previous: Weak<RunCell>,
    pub run: Mutex<Option<Box<Run>>>,
    /// Held by whoever loads the run.
    pub load_gate: tokio::sync::Mutex<()>,
    pub tail: Mutex<Tail>,
    /// Events with a smaller sequence number are durable.
    durable: AtomicU64,
    pub published: Mutex<Published>,
    /// Woken whenever more has become durable.
    pub more_durable: Notify,
    /// Woken whenever something was published.
    pub more_published: Notify,
    /// Callers that use the cell now: it stays in memory for them.
    pins: AtomicUsize,
    /// Whether the cell is in the queue of those that may leave memory.
    pub is_queued_idle: AtomicBool,
    /// It might have left but was in use: whoever uses it last puts it into that queue again.
    is_to_be_queued: AtomicBool,
    /// A slot that waits to be drained names the cell already.
    is_to_be_drained: AtomicBool,
    /// Where the run's history ends for this node, once another is to serve it.
    moved_at: AtomicU64,
}

/// [`RunCell::moved_at`] of a run that has not moved.
const NOT_MOVED: u64 = u64::MAX;

impl RunCell {
    /// A cell without its run.
    pub fn new(
        run_id: RunId,
        workflow_id: Arc<str>,
        workflow_type: Arc<str>,
        fingerprint: Bytes,
    ) -> RunCell {
        RunCell {
            run_id,
            workflow_id,
            workflow_type,
            fingerprint,
            lineage: None,
            previous: Weak::new(),
            run: Mutex::new(None),
            load_gate: tokio::sync::Mutex::new(()),
            tail: Mutex::new(Tail::default()),
            durable: AtomicU64::new(0),
            published: Mutex::new(Published::default()),
            more_durable: Notify::new(),
            more_published: Notify::new(),
            pins: AtomicUsize::new(0),
            is_queued_idle: AtomicBool::new(false),
            is_to_be_queued: AtomicBool::new(false),
            is_to_be_drained: AtomicBool::new(false),
            moved_at: AtomicU64::new(NOT_MOVED),
        }
    }

    /// The same, of a run that is not the first under its workflow id.
    pub fn behind(self, lineage: Option<Arc<Lineage>>, previous: Weak<RunCell>) -> RunCell {
        RunCell { lineage, previous, ..self }
    }

    /// A cell for a run that is in the tables.
    pub fn of_row(row: &RunRow) -> RunCell {
        let cell = RunCell::new(
            row.id(),
            row.workflow_id.as_str().into(),
            row.workflow_type.as_str().into(),
            row.input_fingerprint.clone(),
        );
        let cell = cell.behind(row.lineage.clone().map(Arc::new), Weak::new());
        *cell.tail.lock() = Tail::of_row(row.clone());
        cell.durable.store(row.next_sequence, Ordering::Release);
        cell.published.lock().answer.clone_from(&row.answer);
        cell
    }

    /// Events with a smaller sequence number are durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Called by the committer alone, in the order of the log.
    pub fn set_durable(&self, sequence: u64) {
        self.durable.store(sequence, Ordering::Release);
    }

    /// The durable events from `from` on that the tables may not have yet; `None` if the tables have that event.
    pub fn tail_from(&self, from: u64) -> Option<Result<Vec<Bytes>, Error>> {
        self.tail.lock().between(self.run_id, from, self.durable())
    }

    /// Called by the committer when more has become durable: whether the drainer must be told. If not, a slot that it has
    /// not come to yet brings it here.
    pub fn is_news_to_drainer(&self) -> bool {
        !self.is_to_be_drained.swap(true, Ordering::AcqRel)
    }

    /// Called by the drainer before it looks what is durable: what becomes so from now on is news again.
    pub fn begin_draining(&self) {
        // Not a mere store: it must see what the committer did before it found the cell named already.
        self.is_to_be_drained.swap(false, Ordering::AcqRel);
    }

    /// The row as the durable events make it. `None` while nothing is durable.
    pub fn durable_row(&self) -> Result<Option<Arc<RunRow>>, Error> {
        self.row_before(self.durable())
    }

    /// The row as the events before `sequence` make it, be they durable or not.
    pub fn row_before(&self, sequence: u64) -> Result<Option<Arc<RunRow>>, Error> {
        self.tail.lock().row_before(self.run_id, sequence)
    }

    /// Another node is to serve the run: nothing happens to it here any more. Returns the run, if it was loaded.
    pub fn move_away(&self) -> Option<Box<Run>> {
        let mut guard = self.run.lock();
        let end = guard.as_ref().map_or(self.durable(), |run| run.next_sequence);
        self.moved_at.store(end, Ordering::Release);
        guard.take()
    }

    /// Whether another node is to serve the run. Decides what may happen to it only under the run's lock.
    pub fn has_moved(&self) -> bool {
        self.moved_at.load(Ordering::Acquire) != NOT_MOVED
    }

    /// Whether events before `sequence` will never be durable here, since the run has moved before they were made.
    pub fn has_moved_before(&self, sequence: u64) -> bool {
        self.moved_at.load(Ordering::Acquire) < sequence
    }

    pub fn pin(&self) {
        self.pins.fetch_add(1, Ordering::AcqRel);
    }

    pub fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Acquire) > 0
    }

    /// Leaves it to the last user to queue the cell. Returns true if there is none any more, so that the caller must.
    pub fn is_left_in_use(&self) -> bool {
        if !self.is_pinned() {
            return false;
        }
        self.is_to_be_queued.store(true, Ordering::SeqCst);
        self.pins.load(Ordering::SeqCst) == 0 && self.is_to_be_queued.swap(false, Ordering::SeqCst)
    }
}

/// A cell that stays in memory while this lives.
pub(crate) struct Held {
    cell: Arc<RunCell>,
    idle: Arc<Idle>,
}

impl Held {
    /// The cell must have been pinned for it, under the directory's lock.
    pub fn of_pinned(cell: Arc<RunCell>, idle: Arc<Idle>) -> Held {
        Held { cell, idle }
    }
}

impl Held {
    /// Another hold of the same cell.
    pub fn again(&self) -> Held {
        self.cell.pin();
        Held { cell: self.cell.clone(), idle: self.idle.clone() }
    }
}

impl std::ops::Deref for Held {
    type Target = Arc<RunCell>;

    fn deref(&self) -> &Arc<RunCell> {
        &self.cell
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let was_last = self.cell.pins.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.cell.is_to_be_queued.swap(false, Ordering::SeqCst) {
            self.idle.note(&self.cell);
        }
    }
}

/// Reads an event with its length in front.
pub(crate) fn decode(bytes: &Bytes) -> Result<Event, Error> {
    Event::decode_length_delimited(bytes.clone())
        .map_err(|error| Error::Damaged { place: "an event".into(), what: error.to_string() })
}

/// A run whose history cannot be what was written.
pub(crate) fn damaged(run_id: RunId, what: &str) -> Error {
    Error::Damaged { place: format!("the history of run {run_id}"), what: what.to_owned() }
}
