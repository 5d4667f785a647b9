//! Replay: a history is fed to the workflow's function, and what it decides is held against what it decided then.

use std::collections::VecDeque;
use std::sync::Arc;

mod difference;

use self::difference::{difference, told};
use super::{Phase, Run};
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{Body, Closed, Event, Resumed, Stuck};
use crate::engine::ids::RunId;
use crate::engine::registry::Registry;

/// A run that was replayed.
pub(crate) struct Replayed {
    pub run: Run,
    /// Events that the replay brings with it: the run was stuck and fits now, or is found stuck.
    pub events: Vec<Event>,
    /// The event at which the replay ended: the one that does not fit, or the place behind the last.
    pub at: u64,
}

/// What kind of event it is; see `event`.
pub(crate) enum Kind {
    Observation,
    Note,
    Decision,
}

pub(crate) fn kind(body: &Body) -> Kind {
    match body {
        Body::AttemptFailed(_) | Body::Progressed(_) | Body::Stuck(_) | Body::Resumed(_) => {
            Kind::Note
        }
        Body::Started(_)
        | Body::StepCompleted(_)
        | Body::StepFailed(_)
        | Body::TimerFired(_)
        | Body::SignalReceived(_)
        | Body::UpdateAccepted(_)
        | Body::CancelRequested(_)
        | Body::UndoSucceeded(_)
        | Body::UndoParked(_)
        | Body::UndoRetried(_)
        | Body::UndoSkipped(_)
        | Body::Paused(_)
        | Body::Unpaused(_)
        | Body::Reset(_)
        | Body::Superseded(_)
        | Body::Terminated(_)
        | Body::ChildStarted(_)
        | Body::ChildClosed(_) => Kind::Observation,
        Body::StepScheduled(_)
        | Body::StepAbandoned(_)
        | Body::TimerSet(_)
        | Body::TimerGivenUp(_)
        | Body::UndoOwed(_)
        | Body::Answered(_)
        | Body::VersionMarked(_)
        | Body::UpdateAnswered(_)
        | Body::CompensationBegan(_)
        | Body::UndoScheduled(_)
        | Body::AttributesSet(_)
        | Body::RoundEnded(_)
        | Body::LeftoversBegan(_)
        | Body::Closed(_)
        | Body::ChildScheduled(_)
        | Body::ChildGivenUp(_)
        | Body::EndingBegan(_)
        | Body::TurnEnding(_) => Kind::Decision,
    }
}

/// A replay under way. Events are fed in order, and none is kept: a history of any length takes no more memory than the
/// run that it makes.
pub(crate) struct Replay<'a> {
    registry: &'a Registry,
    run: Run,
    /// The newest observation or note with the decisions behind it, until another one shows that these are all: the
    /// versions marked among them, and whether the turn ends, must be known before the code is asked.
    commit: Vec<Event>,
    /// How many events were taken from such commits.
    taken: u64,
    last_time_ms: i64,
    /// What the code has decided and the history has not shown yet.
    decided: VecDeque<Body>,
    /// Observations since the run became stuck: they wait for the build that fits.
    deferred: Option<Vec<Body>>,
    /// The mark under which the history leaves the run stuck.
    was_stuck: Option<Stuck>,
    misfit: Option<Misfit>,
    /// The event that is being replayed.
    at: u64,
}

/// Replays a history that is in memory.
pub(crate) fn replay(
    registry: &Registry,
    run_id: RunId,
    workflow_id: Arc<str>,
    history: &[Event],
    now_ms: i64,
) -> Replayed {
    let mut replay = Replay::new(registry, run_id, workflow_id);
    for event in history {
        replay.feed(event.clone());
    }
    replay.finish(now_ms)
}

fn begin(
    run: &mut Run,
    registry: &Registry,
    name: &str,
    input: &bytes::Bytes,
) -> Result<(), Misfit> {
    let definition = registry.get(name).ok_or_else(|| {
        let message = format!("no workflow {name} is registered in this build");
        Misfit::new(StuckCode::TypeMissing, message)
    })?;
    run.begin(&**definition, input).map_err(|error| {
        Misfit::new(StuckCode::ValueMismatch, format!("the input of {name}: {error}"))
    })
}

impl<'a> Replay<'a> {
    pub fn new(registry: &'a Registry, run_id: RunId, workflow_id: Arc<str>) -> Replay<'a> {
        Replay {
            registry,
            run: Run::empty(run_id, workflow_id),
            commit: Vec::new(),
            taken: 0,
            last_time_ms: i64::MIN,
            decided: VecDeque::new(),
            deferred: None,
            was_stuck: None,
            misfit: None,
            at: 0,
        }
    }

    /// How many events were fed.
    pub fn fed(&self) -> u64 {
        self.taken + self.commit.len() as u64
    }

    /// Takes the next event of the history. A workflow that does not fit is not an error: the run is
    /// [`Phase::Stuck`] in the end.
    pub fn feed(&mut self, event: Event) {
        let is_decision =
            event.body.as_ref().is_some_and(|body| matches!(kind(body), Kind::Decision));
        if !is_decision {
            self.take_commit();
        }
        self.commit.push(event);
    }

    fn take_commit(&mut self) {
        let commit = std::mem::take(&mut self.commit);
        for event in &commit {
            self.last_time_ms = event.time_ms;
            match &event.body {
                Some(Body::Stuck(stuck)) => self.was_stuck = Some(stuck.clone()),
                Some(Body::Resumed(_)) => self.was_stuck = None,
                _ => {}
            }
        }
        if self.misfit.is_none() {
            self.misfit = self.replay_commit(&commit).err();
        }
        self.taken += commit.len() as u64;
    }

    fn replay_commit(&mut self, commit: &[Event]) -> Result<(), Misfit> {
        if self.taken == 0
            && let Some(first) = commit.first()
        {
            self.begin(first)?;
        }
        for body in commit.iter().filter_map(|event| event.body.as_ref()) {
            let mut state = self.run.shared.state.lock();
            match body {
                Body::VersionMarked(mark) => {
                    state.marks.insert(mark.change.clone(), mark.version);
                }
                Body::Closed(Closed { next: Some(next), .. }) => {
                    state.turn_ends_behind = Some(next.rounds);
                }
                Body::TurnEnding(turn) => state.turn_ends_behind = Some(turn.rounds),
                _ => {}
            }
        }
        for (sequence, event) in (self.taken..).zip(commit) {
            self.at = sequence;
            let body = event.body.as_ref().ok_or_else(|| {
                let message =
                    format!("event {sequence} is of a kind that this build does not know");
                Misfit::new(StuckCode::Nondeterminism, message)
            })?;
            self.event(sequence, body, event.time_ms)?;
        }
        Ok(())
    }

    fn begin(&mut self, first: &Event) -> Result<(), Misfit> {
        let Some(Body::Started(started)) = &first.body else {
            let message = "the history does not begin with Started";
            return Err(Misfit::new(StuckCode::Nondeterminism, message));
        };
        self.run = Run::of(self.run.shared.run_id, started);
        self.run.compensations = self.registry.compensations();
        self.run.shared.state.lock().replaying = true;
        begin(&mut self.run, self.registry, &started.workflow_type, &started.input)
    }

    fn event(&mut self, sequence: u64, body: &Body, time_ms: i64) -> Result<(), Misfit> {
        match (kind(body), &mut self.deferred) {
            (Kind::Note, _) => match body {
                Body::Stuck(_) => self.deferred = Some(Vec::new()),
                Body::Resumed(_) => self.observe_deferred(time_ms)?,
                _ => self.run.note(body),
            },
            (Kind::Observation, Some(deferred)) => deferred.push(body.clone()),
            (Kind::Observation, None) => {
                if let Some(decided) = self.decided.front() {
                    return Err(Misfit::new(
                        StuckCode::Nondeterminism,
                        format!(
                            "event {sequence}: this build {}, which the run did not",
                            told(decided)
                        ),
                    ));
                }
                self.observe(body, time_ms)?;
            }
            (Kind::Decision, _) => self.decision(sequence, body)?,
        }
        Ok(())
    }

    fn observe(&mut self, body: &Body, time_ms: i64) -> Result<(), Misfit> {
        self.decided.extend(self.run.take(body, time_ms)?);
        Ok(())
    }

    /// As if it had come when the run is resumed: so no step begins with its time over.
    fn observe_deferred(&mut self, time_ms: i64) -> Result<(), Misfit> {
        for body in self.deferred.take().into_iter().flatten() {
            self.observe(&body, time_ms)?;
        }
        Ok(())
    }

    fn decision(&mut self, sequence: u64, recorded: &Body) -> Result<(), Misfit> {
        let misfit = |decided: Option<&Body>| {
            let message = format!("event {sequence}: {}", difference(recorded, decided));
            Misfit::new(StuckCode::Nondeterminism, message)
        };
        let decided = self.decided.pop_front().ok_or_else(|| misfit(None))?;
        if !fits(recorded, &decided) {
            return Err(misfit(Some(&decided)));
        }
        match recorded {
            Body::CompensationBegan(began) => {
                self.run.cause = began.cause.as_ref().map(Into::into);
            }
            Body::UpdateAnswered(answered) => self.run.note_answer(answered),
            _ => {}
        }
        Ok(())
    }

    /// The history is at its end.
    fn check_end(&mut self, time_ms: i64) -> Result<(), Misfit> {
        if let Some(misfit) = self.misfit.take() {
            return Err(misfit);
        }
        self.at = self.taken;
        if self.taken == 0 {
            return Err(Misfit::new(StuckCode::Nondeterminism, "the history is empty"));
        }
        if let Some(decided) = self.decided.front()
            && self.deferred.is_none()
        {
            let message = format!("this build {} where the history ends", told(decided));
            return Err(Misfit::new(StuckCode::Nondeterminism, message));
        }
        self.run.shared.state.lock().replaying = false;
        self.observe_deferred(time_ms)
    }

    /// The run as the history leaves it.
    pub fn finish(mut self, now_ms: i64) -> Replayed {
        self.take_commit();
        self.run.next_sequence = self.taken;
        self.run.last_time_ms = self.last_time_ms;
        let time_ms = now_ms.max(self.last_time_ms);
        let bodies = match (self.check_end(time_ms), self.was_stuck) {
            (Ok(()), None) => Vec::new(),
            (Ok(()), Some(_)) => {
                tracing::info!(workflow_id = %self.run.shared.workflow_id, "a stuck run fits again");
                let mut bodies = vec![Body::Resumed(Resumed {})];
                bodies.extend(self.decided);
                bodies
            }
            (Err(misfit), Some(known)) if known.code == misfit.code.code() => {
                self.run.become_stuck(misfit);
                Vec::new()
            }
            (Err(misfit), _) => vec![self.run.become_stuck(misfit)],
        };
        if matches!(self.run.phase, Phase::Stuck(_)) {
            // Which calls are on record is not known of a run that could not be replayed to its end.
            self.run.shared.state.lock().calls.clear();
        } else {
            let mut state = self.run.shared.state.lock();
            state.launches = state.calls.keys().copied().collect();
        }
        let mut events = Vec::new();
        self.run.record(&mut events, bodies, time_ms);
        Replayed { run: self.run, events, at: self.at }
    }
}

/// Whether a decision is the recorded one. A failure is known by its code: its wording may be improved while runs are open.
fn fits(recorded: &Body, decided: &Body) -> bool {
    let code = |failure: &Option<crate::engine::row::FailureRecord>| {
        failure.as_ref().map(|failure| failure.code.clone())
    };
    match (recorded, decided) {
        (Body::CompensationBegan(recorded), Body::CompensationBegan(decided)) => {
            code(&recorded.cause) == code(&decided.cause)
        }
        (Body::Closed(recorded), Body::Closed(decided)) => {
            recorded.state == decided.state
                && recorded.result == decided.result
                && recorded.next == decided.next
                && code(&recorded.failure) == code(&decided.failure)
        }
        _ => recorded == decided,
    }
}
