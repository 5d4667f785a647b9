//! Replay: a history is fed to the workflow's function, and what it decides is held against what it decided then.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Phase, Run};
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{Body, Event, Resumed, Stuck};
use crate::engine::ids::RunId;
use crate::engine::registry::Registry;

/// A run that was replayed.
pub(crate) struct Replayed {
    pub run: Run,
    /// Events that the replay brings with it: the run was stuck and fits now, or is found stuck.
    pub events: Vec<Event>,
}

/// What kind of event it is; see `event`.
enum Kind {
    Observation,
    Note,
    Decision,
}

fn kind(body: &Body) -> Kind {
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
        | Body::Terminated(_) => Kind::Observation,
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
        | Body::Closed(_) => Kind::Decision,
    }
}

/// A replay under way.
struct Replay {
    run: Run,
    /// What the code has decided and the history has not shown yet.
    decided: VecDeque<Body>,
    /// Observations since the run became stuck: they wait for the build that fits.
    deferred: Option<Vec<Body>>,
}

/// Replays a history. A workflow that does not fit is not an error: the run is [`Phase::Stuck`] then.
pub(crate) fn replay(
    registry: &Registry,
    run_id: RunId,
    workflow_id: Arc<str>,
    history: &[Event],
    now_ms: i64,
) -> Replayed {
    let started = match history.first().and_then(|event| event.body.as_ref()) {
        Some(Body::Started(started)) => Some(started),
        _ => None,
    };
    let traceparent = started.map_or("", |started| started.traceparent.as_str());
    let run = Run::empty(run_id, workflow_id, traceparent);
    let mut run = run;
    if let Some(started) = started {
        run.carry(started);
    }
    run.shared.state.lock().replaying = true;
    let mut replay = Replay { run, decided: VecDeque::new(), deferred: None };
    let result = match started {
        Some(started) => begin(&mut replay.run, registry, &started.workflow_type, &started.input),
        None => {
            Err(Misfit::new(StuckCode::Nondeterminism, "the history does not begin with Started"))
        }
    };
    let result = result.and_then(|()| replay.feed(history));
    replay.finish(result, history, now_ms)
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

impl Replay {
    fn feed(&mut self, history: &[Event]) -> Result<(), Misfit> {
        let bodies = history.iter().map(|event| event.body.as_ref());
        for body in bodies {
            if let Some(Body::VersionMarked(mark)) = body {
                let mut state = self.run.shared.state.lock();
                state.marks.insert(mark.change.clone(), mark.version);
            }
        }
        for (sequence, event) in history.iter().enumerate() {
            let body = event.body.as_ref().ok_or_else(|| {
                let message =
                    format!("event {sequence} is of a kind that this build does not know");
                Misfit::new(StuckCode::Nondeterminism, message)
            })?;
            self.event(sequence, body, event.time_ms)?;
        }
        match self.decided.front() {
            Some(decided) if self.deferred.is_none() => Err(Misfit::new(
                StuckCode::Nondeterminism,
                format!("the code decides {decided:?} where the history ends"),
            )),
            _ => Ok(()),
        }
    }

    fn event(&mut self, sequence: usize, body: &Body, time_ms: i64) -> Result<(), Misfit> {
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
                            "at event {sequence} the code decides {decided:?}, which the history has not"
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

    fn decision(&mut self, sequence: usize, recorded: &Body) -> Result<(), Misfit> {
        let misfit = |decided: Option<&Body>| {
            let decided = decided.map_or_else(|| "nothing".to_owned(), |body| format!("{body:?}"));
            let message =
                format!("event {sequence} is {recorded:?}, but the code decides {decided}");
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

    fn finish(mut self, result: Result<(), Misfit>, history: &[Event], now_ms: i64) -> Replayed {
        self.run.next_sequence = history.len() as u64;
        self.run.last_time_ms = history.last().map_or(i64::MIN, |event| event.time_ms);
        let was_stuck = stuck_in(history);
        let time_ms = now_ms.max(self.run.last_time_ms);
        let result = result.and_then(|()| {
            self.run.shared.state.lock().replaying = false;
            self.observe_deferred(time_ms)
        });
        let bodies = match (result, was_stuck) {
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
        let events = self.run.record(bodies, time_ms);
        Replayed { run: self.run, events }
    }
}

/// The mark under which the history leaves the run stuck.
fn stuck_in(history: &[Event]) -> Option<&Stuck> {
    history.iter().rev().find_map(|event| match &event.body {
        Some(Body::Stuck(stuck)) => Some(Some(stuck)),
        Some(Body::Resumed(_)) => Some(None),
        _ => None,
    })?
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
