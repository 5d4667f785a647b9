//! Having a run begin again from an event of its history. The rules are those of `engine::reset`.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use prost::Message;

use super::{Engine, HistoryEvent};
use crate::engine::cell::{Held, Published, RunCell, damaged, decode};
use crate::engine::committer::Commit;
use crate::engine::core::{Core, check_size};
use crate::engine::directory::Found;
use crate::engine::effects::Effects;
use crate::engine::error::Error;
use crate::engine::event::{Body, Event, Started, Superseded};
use crate::engine::ids::RunId;
use crate::engine::limits::{MAX_RESET_BYTES, MAX_RESET_TRIES};
use crate::engine::projection;
use crate::engine::reset::{Plan, ResetRequest, plan};
use crate::engine::run::{Phase, Replay, Replayed, Run};
use crate::engine::tail::Chunk;

/// A run that was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasReset {
    /// The run that goes on in its place.
    pub run_id: RunId,
    /// How many events of the old run it has kept.
    pub kept: u64,
}

/// A run that is to take another's place.
struct Next {
    run: Run,
    cell: Arc<RunCell>,
    kept: u64,
    /// All of it.
    events: Vec<Event>,
    effects: Effects,
    /// Command and time, in unix milliseconds, of timers of the part that was kept.
    timers: Vec<(u64, i64)>,
}

impl Engine {
    /// Has a run, open or closed, begin again from an event of its history: as another run under the same workflow id, whose
    /// history begins with the old one's. An open run ends for it as continued, in the same commit, and callers are led on.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`Error::CannotReset`]; [`Error::Stuck`]: this build does not fit the part that would be kept, or what follows from it;
    /// [`Error::NotFound`], [`Error::TooLarge`]; [`Error::Overloaded`]: try again.
    pub async fn reset(&self, workflow_id: &str, request: ResetRequest) -> Result<WasReset, Error> {
        for _ in 0..MAX_RESET_TRIES {
            self.core.admit_start()?;
            let done = match self.core.hold(workflow_id).await {
                Ok(held) => self.reset_here(held, &request).await?,
                Err(Error::Closed { .. }) => self.reset_closed(workflow_id, &request).await?,
                Err(error) => return Err(error),
            };
            if let Some((next, done)) = done {
                self.core.wait_durable(&next, 1).await?;
                return Ok(done);
            }
        }
        Err(Error::Overloaded("the run goes on too quickly to be reset"))
    }

    /// Resets a run that is in memory. `None` if another has taken its place meanwhile.
    async fn reset_here(
        &self,
        held: Held,
        request: &ResetRequest,
    ) -> Result<Option<(Arc<RunCell>, WasReset)>, Error> {
        self.core.wait_durable(&held, 1).await?;
        let mut history = self.whole(Some(&held), held.run_id).await?;
        let mut guard = held.run.lock();
        let Some(run) = guard.as_mut() else { return Ok(None) };
        if !add_newest(&held, &mut history)? {
            return Ok(None);
        }
        let mut next = make(&self.core, held.run_id, Arc::downgrade(&held), &history, request)?;
        let reason = request.reason.clone();
        let run_id = Bytes::copy_from_slice(next.cell.run_id.as_bytes());
        // Before the cell can be seen: who finds it waits for the lock, and finds the run.
        let cell = next.cell.clone();
        let place = cell.run.lock();
        if !self.core.directory.replace_if(&held, &cell) {
            return Ok(None);
        }
        let done = WasReset { run_id: cell.run_id, kept: next.kept };
        let timers = std::mem::take(&mut next.timers);
        let commit = settle(next, place);
        if run.is_closed() {
            self.core.committer.push(commit);
        } else {
            let superseded = Body::Superseded(Superseded { run_id, reason });
            let events = run.observe(superseded, self.core.now_ms());
            self.core.commit_with(&held, run, &events, Some(Box::new(commit)));
            run.unload();
        }
        self.set_timers(&cell, timers);
        Ok(Some((cell, done)))
    }

    /// Resets a run that has ended and is in the tables only. `None` if something has changed meanwhile.
    async fn reset_closed(
        &self,
        workflow_id: &str,
        request: &ResetRequest,
    ) -> Result<Option<(Arc<RunCell>, WasReset)>, Error> {
        let Found::Absent(departures) = self.core.directory.find(workflow_id)? else {
            return Ok(None);
        };
        let row = self.core.tables.run_by_workflow_id(workflow_id).await?;
        let Some(row) = row.filter(|row| row.state().is_closed()) else { return Ok(None) };
        let history = self.whole(None, row.id()).await?;
        let mut next = make(&self.core, row.id(), Weak::new(), &history, request)?;
        let cell = next.cell.clone();
        let place = cell.run.lock();
        match self.core.directory.insert(cell.clone(), departures) {
            Some(held) if Arc::ptr_eq(&held, &cell) => {
                let done = WasReset { run_id: cell.run_id, kept: next.kept };
                let timers = std::mem::take(&mut next.timers);
                self.core.committer.push(settle(next, place));
                self.set_timers(&cell, timers);
                Ok(Some((cell, done)))
            }
            _ => Ok(None),
        }
    }

    fn set_timers(&self, cell: &RunCell, timers: Vec<(u64, i64)>) {
        for (command, fire_at_ms) in timers {
            self.core.timers.set(self.core.now_ms(), fire_at_ms, cell, command);
        }
    }

    async fn whole(&self, held: Option<&Held>, run_id: RunId) -> Result<Vec<Event>, Error> {
        let held = held.map(|held| held.again());
        let mut bytes = 0;
        let mut history = Vec::new();
        let mut events = self.events(held, run_id, 0, false).boxed();
        while let Some(HistoryEvent { event, .. }) = events.try_next().await? {
            bytes += event.encoded_len();
            check_size("the bytes of a history that is reset", bytes, MAX_RESET_BYTES)?;
            history.push(event);
        }
        Ok(history)
    }
}

/// Adds the events that are not durable yet. `false` if some of those in between have gone into the tables meanwhile.
fn add_newest(cell: &RunCell, history: &mut Vec<Event>) -> Result<bool, Error> {
    let newest = cell.tail.lock().between(cell.run_id, history.len() as u64, u64::MAX);
    let Some(newest) = newest else { return Ok(false) };
    for bytes in newest? {
        history.push(decode(&bytes)?);
    }
    Ok(true)
}

/// Puts the run into its cell, and gives what is to be committed.
fn settle(next: Next, mut place: parking_lot::MutexGuard<'_, Option<Box<Run>>>) -> Commit {
    let Next { mut run, cell, events, effects, .. } = next;
    let chunk = Chunk::encode(&events);
    cell.tail.lock().push(cell.run_id, &events, chunk.clone());
    if run.is_closed() {
        run.unload();
    }
    *place = Some(Box::new(run));
    Commit { cell: cell.clone(), first_sequence: 0, chunk, effects, and_then: None }
}

/// Makes the run that is to take the place of the one with this history. Nothing of it is seen by anyone.
fn make(
    core: &Arc<Core>,
    old: RunId,
    previous: Weak<RunCell>,
    history: &[Event],
    request: &ResetRequest,
) -> Result<Next, Error> {
    let mut plan = plan(history, request)?;
    let Some(Body::Started(started)) = history.first().and_then(|event| event.body.clone()) else {
        return Err(damaged(old, "it does not begin with Started"));
    };
    let is_closed = history
        .last()
        .is_some_and(|event| matches!(event.body, Some(Body::Closed(_) | Body::Terminated(_))));
    if is_closed && let Some(parent) = &started.parent {
        let problem = format!("its parent {:?} has been told how it ended", parent.workflow_id);
        return Err(Error::CannotReset { sequence: request.sequence, problem });
    }
    let missing = plan
        .reset
        .inherited
        .iter()
        .flat_map(|inherited| &inherited.undo)
        .find(|undo| !core.registry.compensations().contains_key(undo.name.as_str()));
    if let Some(undo) = missing {
        let problem = format!(
            "its undo {} may be left over, and this build has not registered it (Registry::compensation)",
            undo.name
        );
        return Err(Error::CannotReset { sequence: request.sequence, problem });
    }
    let mut started = started;
    if started.origin.is_empty() {
        started.origin = Bytes::copy_from_slice(old.as_bytes());
    }
    started.is_held |= plan.kept == 0;
    plan.reset.run_id = Bytes::copy_from_slice(old.as_bytes());
    let run_id = core.new_run_id_behind(old);
    let (mut run, mut events) = keep(core, run_id, &started, history, &plan)?;
    let kept_events = events.len();
    for (command, inherited) in (run.next_command()..).zip(&mut plan.reset.inherited) {
        inherited.command = command;
    }
    let now_ms = core.now_ms();
    let again = std::iter::once(Body::Reset(plan.reset)).chain(plan.observation);
    for body in again.chain(plan.messages) {
        if run.is_closed() {
            break;
        }
        events.extend(run.observe(body, now_ms));
        if let Phase::Stuck(misfit) = &run.phase {
            return Err(Error::stuck(misfit));
        }
    }
    let cell = RunCell::new(
        run_id,
        started.workflow_id.as_str().into(),
        started.workflow_type.as_str().into(),
        started.fingerprint.clone(),
    );
    let cell = Arc::new(cell.behind(started.lineage.map(Arc::new), previous));
    finish(run, cell, plan.kept, events, kept_events)
}

/// The run as the part that is kept leaves it, with the events of that part.
fn keep(
    core: &Arc<Core>,
    run_id: RunId,
    started: &Started,
    history: &[Event],
    plan: &Plan,
) -> Result<(Run, Vec<Event>), Error> {
    if plan.kept == 0 {
        let definition = core.registry.get(&started.workflow_type);
        let definition =
            definition.ok_or_else(|| Error::UnknownType(started.workflow_type.clone()))?;
        let mut run = Run::of(run_id, started);
        run.compensations = core.registry.compensations();
        run.begin(&**definition, &started.input).map_err(|error| Error::InvalidInput {
            what: started.workflow_type.clone(),
            problem: error.to_string(),
        })?;
        let events = run.observe(Body::Started(Box::new(started.clone())), core.now_ms());
        return Ok((run, events));
    }
    let mut events = history[..plan.kept as usize].to_vec();
    events[0].body = Some(Body::Started(Box::new(started.clone())));
    let workflow_id = started.workflow_id.as_str().into();
    let mut replay = Replay::new(&core.registry, run_id, workflow_id);
    for event in &events {
        replay.feed(event.clone());
    }
    let Replayed { run, .. } = replay.finish(core.now_ms());
    match &run.phase {
        Phase::Stuck(misfit) => Err(Error::stuck(misfit)),
        _ => Ok((run, events)),
    }
}

fn finish(
    mut run: Run,
    cell: Arc<RunCell>,
    kept: u64,
    events: Vec<Event>,
    kept_events: usize,
) -> Result<Next, Error> {
    run.note_answers(&events[kept_events..]);
    let effects = Effects::gather(&mut run, &events[kept_events..]);
    let mut row = None;
    for event in &events[..kept_events] {
        let applied = projection::apply(row.take(), cell.run_id, event, event.encoded_len());
        row = Some(applied.map_err(|illegal| damaged(cell.run_id, &illegal.to_string()))?);
    }
    let timers = row.map(|row| row.open_timers).unwrap_or_default();
    *cell.published.lock() =
        Published { answer: run.answer(), closed: None, updates: run.answered() };
    let timers = timers.iter().map(|timer| (timer.command, timer.fire_at_ms)).collect();
    Ok(Next { run, cell, kept, events, effects, timers })
}
