//! What all parts of an engine share, and the one way by which something happens to a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::cell::{Published, RunCell};
use super::cluster::Joined;
use super::committer::{Commit, Committer};
use super::directory::Directory;
use super::drainer::Drainer;
use super::effects::Effects;
use super::error::Error;
use super::event::{Body, Event, Started};
use super::idle::Idle;
use super::ids::{LogId, RunId};
use super::limits::{
    MAX_LOADED_RUNS, MAX_PAYLOAD_BYTES, MAX_UNDRAINED_BYTES, MAX_UNDRAINED_RUNS,
    MAX_WAITING_COMMITS, RETENTION_DAYS,
};
use super::log::Log;
use super::ownership::Ownership;
use super::registry::Registry;
use super::resources::Resources;
use super::row::RunState;
use super::run::{Phase, Run, Turn, outcome_of};
use super::seams::Seams;
use super::tables::Tables;
use super::tail::Chunk;
use super::timers::Timers;

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long events stay in the log before they are drained into the tables. Runs that close within it leave one
    /// record.
    pub drain_delay: Duration,
    /// How long a run that waits for signals or timers only stays in memory.
    pub idle_after: Duration,
    /// How many such runs stay in memory at most.
    pub max_idle_runs: usize,
    /// How long closed runs are kept; `None` keeps them for ever.
    pub retention: Option<Duration>,
    /// Commits that may wait for the log before new work is refused.
    pub max_waiting_commits: usize,
    /// Bytes of the log that may be missing in the tables before new work is refused.
    pub max_undrained_bytes: u64,
    /// Runs with events that are missing in the tables, before new starts are refused.
    pub max_undrained_runs: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            drain_delay: Duration::from_millis(500),
            idle_after: Duration::from_secs(60),
            max_idle_runs: 10_000,
            retention: Some(Duration::from_secs(RETENTION_DAYS * 24 * 3600)),
            max_waiting_commits: MAX_WAITING_COMMITS,
            max_undrained_bytes: MAX_UNDRAINED_BYTES,
            max_undrained_runs: MAX_UNDRAINED_RUNS,
        }
    }
}

/// See the module.
pub(crate) struct Core {
    pub options: Options,
    pub log: Arc<dyn Log>,
    pub log_id: LogId,
    /// Makes the slots of this engine its own.
    pub writer: [u8; 16],
    pub tables: Arc<dyn Tables>,
    pub seams: Seams,
    pub registry: Registry,
    pub resources: Arc<Resources>,
    pub directory: Directory,
    pub committer: Committer,
    pub drainer: Drainer,
    pub timers: Timers,
    pub idle: Arc<Idle>,
    /// An attempt has failed, or a run is stuck.
    pub trouble: Notify,
    /// Which partitions are this node's.
    pub ownership: Arc<Ownership>,
    /// The other nodes, if there may be some.
    pub cluster: Option<Joined>,
    pub accepting: AtomicBool,
    /// The log belongs to someone else.
    pub fenced: CancellationToken,
    /// Calls, timers and eviction end.
    pub stop: CancellationToken,
    /// The committer ends.
    pub log_stop: CancellationToken,
    /// The drainer drains what is left, and ends.
    pub drain_stop: CancellationToken,
    /// It has ended.
    pub drained: CancellationToken,
    /// Nothing becomes durable any more: fenced, or drained. One token, since everybody who waits waits for it, too.
    pub over: CancellationToken,
}

impl Core {
    pub fn now_ms(&self) -> i64 {
        self.seams.clock.now_ms()
    }

    /// A new run id, ordered by time.
    pub fn new_run_id(&self) -> RunId {
        let ms = u64::try_from(self.now_ms()).unwrap_or(0);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.seams.random.next_u64().to_le_bytes());
        random[8..].copy_from_slice(&self.seams.random.next_u64().to_le_bytes()[..2]);
        RunId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// The same, behind another run in that order, even if the clock was set back.
    pub fn new_run_id_behind(&self, other: RunId) -> RunId {
        let found = self.new_run_id();
        if found > other {
            return found;
        }
        let ms = (other.0.as_u128() >> 80) as u64 + 1;
        let mut random = [0; 10];
        random.copy_from_slice(&found.as_bytes()[6..]);
        RunId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// This node has lost its log: nothing of what it does may be seen any more.
    pub fn fence(&self) {
        self.stop_serving();
        self.fenced.cancel();
        self.over.cancel();
        self.stop.cancel();
        self.drain_stop.cancel();
    }

    /// Nobody is answered from memory any more: others may serve the runs of this node from here on.
    pub fn stop_serving(&self) {
        if let Some(shared) = self.ownership.as_shared() {
            shared.end();
        }
    }

    /// Whether work that is not needed to finish other work may come in.
    pub fn admit(&self) -> Result<(), Error> {
        self.check_open()?;
        if self.committer.is_full(self.options.max_waiting_commits) {
            return Err(Error::Overloaded("too many commits wait for the log"));
        }
        if self.drainer.lag_bytes() >= self.options.max_undrained_bytes {
            return Err(Error::Overloaded("the tables are too far behind the log"));
        }
        Ok(())
    }

    /// Like [`Core::admit`], for work that takes memory until it is done.
    pub fn admit_start(&self) -> Result<(), Error> {
        self.admit()?;
        if self.drainer.lag_runs() >= self.options.max_undrained_runs {
            return Err(Error::Overloaded("too many runs are not in the tables yet"));
        }
        if self.directory.len() >= MAX_LOADED_RUNS {
            return Err(Error::Overloaded("too many runs are in memory"));
        }
        Ok(())
    }

    pub fn check_open(&self) -> Result<(), Error> {
        if self.fenced.is_cancelled() {
            return Err(Error::Fenced);
        }
        if !self.accepting.load(Ordering::Relaxed) {
            return Err(Error::ShuttingDown);
        }
        Ok(())
    }

    /// Lets something happen to a run that is in memory: `make` looks at it and says what, if anything, under its lock.
    /// Returns the sequence number that must be durable before anyone may be told of what was found or done.
    pub fn deliver(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        make: impl FnOnce(&mut Run) -> Result<Option<Body>, Error>,
    ) -> Result<u64, Error> {
        let mut guard = cell.run.lock();
        let Some(run) = guard.as_mut() else { return Err(self.gone(cell)) };
        let Some(body) = make(run)? else { return Ok(run.next_sequence) };
        let events = run.observe(body, self.now_ms());
        self.commit(cell, run, &events);
        let sequence = run.next_sequence;
        if run.is_closed() {
            // Nothing can happen to it any more; its events are all that is needed.
            run.unload();
        }
        Ok(sequence)
    }

    /// Why nothing can happen to a run that is not in its cell.
    fn gone(&self, cell: &RunCell) -> Error {
        match cell.has_moved() {
            true => self.ownership.refusal(&cell.workflow_id),
            false => Error::NotFound(cell.workflow_id.to_string()),
        }
    }

    /// Like [`Core::deliver`], for outcomes that nobody waits for.
    pub fn deliver_quietly(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        make: impl FnOnce(&mut Run) -> Option<Body>,
    ) {
        // A run that is gone or closed needs no outcome any more.
        let _ = self.deliver(cell, |run| Ok(make(run)));
    }

    /// Puts new events into the queue for the log. Called under the run's lock.
    pub fn commit(self: &Arc<Self>, cell: &Arc<RunCell>, run: &mut Run, events: &[Event]) {
        self.commit_with(cell, run, events, None);
    }

    /// Like [`Core::commit`], with another run's commit in the same slot.
    pub fn commit_with(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        run: &mut Run,
        events: &[Event],
        other: Option<Box<Commit>>,
    ) {
        let mut commit = self.prepare(cell, run, events);
        commit.and_then = commit.and_then.or(other);
        self.committer.push(commit);
    }

    /// New events on their way into that queue, or behind another run's.
    pub fn prepare(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        run: &mut Run,
        events: &[Event],
    ) -> Commit {
        run.note_answers(events);
        let is_trouble = |event: &Event| {
            matches!(
                event.body,
                Some(Body::AttemptFailed(_) | Body::UndoParked(_) | Body::Stuck(_))
            )
        };
        if events.iter().any(is_trouble) {
            self.trouble.notify_one();
        }
        let effects = Effects::gather(run, events);
        let first_sequence = run.next_sequence - events.len() as u64;
        let chunk = Chunk::encode(events);
        cell.tail.lock().push(cell.run_id, events, chunk.clone());
        let next = run.next_turn.take();
        let and_then = next.map(|turn| Box::new(self.begin_turn(cell, run, *turn)));
        let cell = cell.clone();
        Commit { cell, first_sequence, chunk, effects, and_then }
    }

    /// Lets the next turn of a run begin, in the place of the one that has ended and under its lock.
    fn begin_turn(self: &Arc<Self>, ended: &Arc<RunCell>, run: &Run, turn: Turn) -> Commit {
        let started = Started {
            workflow_id: ended.workflow_id.to_string(),
            workflow_type: ended.workflow_type.to_string(),
            input: turn.input,
            // Those who start the run again mean all its turns.
            fingerprint: ended.fingerprint.clone(),
            traceparent: run.traceparent.to_string(),
            carried: Some(Box::new(turn.carried)),
            lineage: ended.lineage.as_deref().cloned(),
            parent: run.parent(),
            ..Started::default()
        };
        let answer = started.carried.as_ref().and_then(|carried| carried.answer.clone());
        let cell = RunCell::new(
            turn.run_id,
            ended.workflow_id.clone(),
            ended.workflow_type.clone(),
            ended.fingerprint.clone(),
        );
        let cell = Arc::new(cell.behind(ended.lineage.clone(), Arc::downgrade(ended)));
        {
            let mut published = cell.published.lock();
            published.answer = answer;
            let answered = started.carried.iter().flat_map(|carried| &carried.answered);
            let known = answered.map(|answered| (answered.id.clone(), outcome_of(answered)));
            published.updates.extend(known);
        }
        let definition = self.registry.get(&ended.workflow_type).map(|definition| &**definition);
        // Before the cell can be seen: who finds it waits for the lock, and finds the run.
        let mut guard = cell.run.lock();
        let (mut next, events) = Run::begin_turn(definition, turn.run_id, started, self.now_ms());
        self.directory.replace(&cell);
        let effects = Effects::gather(&mut next, &events);
        let chunk = Chunk::encode(&events);
        cell.tail.lock().push(cell.run_id, &events, chunk.clone());
        if next.is_closed() {
            next.unload();
        }
        *guard = Some(Box::new(next));
        drop(guard);
        Commit { cell, first_sequence: 0, chunk, effects, and_then: None }
    }

    /// Waits until a run's events before `sequence` are durable.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if these are events that are made elsewhere, since the run has moved.
    pub async fn wait_durable(&self, cell: &RunCell, sequence: u64) -> Result<(), Error> {
        let look = || match cell.durable() >= sequence {
            true => Some(Ok(())),
            false => cell.has_moved_before(sequence).then(|| Err(self.gone(cell))),
        };
        self.wait_for(&cell.more_durable, look).await?
    }

    /// Waits until `look` finds something in what is published of a run.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if it does not, and the run has moved.
    pub async fn wait_published<T>(
        &self,
        cell: &RunCell,
        look: impl Fn(&Published) -> Option<T>,
    ) -> Result<T, Error> {
        let look = || {
            let found = look(&cell.published.lock()).map(Ok);
            found.or_else(|| cell.has_moved().then(|| Err(self.gone(cell))))
        };
        self.wait_for(&cell.more_published, look).await?
    }

    /// Waits until `look` finds something, looking again whenever `change` tells of one.
    pub async fn wait_for<T>(
        &self,
        change: &Notify,
        look: impl Fn() -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            let changed = change.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look() {
                return Ok(found);
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.over.cancelled() => {
                    let is_fenced = self.fenced.is_cancelled();
                    return Err(if is_fenced { Error::Fenced } else { Error::ShuttingDown });
                }
            }
        }
    }
}

/// What a run that has ended answers to whoever wants something of it.
pub(crate) fn closed_error(cell: &RunCell, run: &Run) -> Option<Error> {
    match run.phase {
        Phase::Closed(state) => Some(closed(&cell.workflow_id, state)),
        _ => None,
    }
}

pub(crate) fn closed(workflow_id: &str, state: RunState) -> Error {
    Error::Closed { workflow_id: workflow_id.to_owned(), state }
}

/// Holds a payload or an id against its bound.
pub(crate) fn check_size(what: &'static str, actual: usize, limit: usize) -> Result<(), Error> {
    if actual > limit {
        return Err(Error::TooLarge { what, actual, limit });
    }
    Ok(())
}

/// Holds a payload against its bound, and against JSON.
pub(crate) fn check_payload(what: &str, payload: &[u8]) -> Result<(), Error> {
    check_size("the payload's bytes", payload.len(), MAX_PAYLOAD_BYTES)?;
    if payload.is_empty() {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(payload)
        .map(|_| ())
        .map_err(|error| Error::InvalidInput { what: what.to_owned(), problem: error.to_string() })
}
