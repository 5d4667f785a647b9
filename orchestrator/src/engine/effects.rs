//! What a commit lets out of the process once it is durable: calls, answers, timers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::call::Call;
use super::cell::{Outcome, RunCell};
use super::core::Core;
use super::drive;
use super::engine::{ChildEnd, tell_until_known};
use super::event::{Body, Event};
use super::row::RunState;
use super::run::{Run, UpdateOutcome};

/// See the module.
#[derive(Default)]
pub(crate) struct Effects {
    launches: Vec<Call>,
    /// Command and time.
    timers: Vec<(u64, i64)>,
    answer: Option<Bytes>,
    closed: Option<Outcome>,
    updates: Vec<(String, UpdateOutcome)>,
    traceparent: Option<Arc<str>>,
    /// The run is a child, and has ended.
    child_end: Option<Box<ChildEnd>>,
}

impl Effects {
    /// The effects of new events of a run.
    pub fn gather(run: &mut Run, events: &[Event]) -> Effects {
        let mut effects = Effects { launches: run.take_launches(), ..Effects::default() };
        if !effects.launches.is_empty() {
            effects.traceparent = Some(run.traceparent.clone());
        }
        for body in events.iter().filter_map(|event| event.body.as_ref()) {
            match body {
                Body::TimerSet(timer) => effects.timers.push((timer.command, timer.fire_at_ms)),
                Body::Answered(answered) => effects.answer = Some(answered.answer.clone()),
                Body::UpdateAnswered(answered) => {
                    if let Some(Some(outcome)) = run.updates.get(&answered.id) {
                        effects.updates.push((answered.id.clone(), outcome.clone()));
                    }
                }
                Body::UndoParked(_) => metrics::counter!("souk_engine_parked_total").increment(1),
                Body::Stuck(_) => metrics::counter!("souk_engine_stuck_total").increment(1),
                Body::Closed(closed) => {
                    metrics::counter!("souk_engine_closed_total", "state" => closed.state().name())
                        .increment(1);
                    effects.closed = Some(Outcome {
                        state: closed.state(),
                        result: closed.result.clone(),
                        failure: closed.failure.as_ref().map(Into::into),
                    });
                }
                Body::Superseded(_) => {
                    effects.closed =
                        Some(Outcome { state: RunState::Continued, result: None, failure: None });
                }
                Body::Terminated(_) => {
                    effects.closed =
                        Some(Outcome { state: RunState::Terminated, result: None, failure: None });
                }
                _ => {}
            }
        }
        effects.child_end = effects.closed.as_ref().and_then(|end| child_end(run, end));
        effects
    }

    /// Lets them out. Everything that they come from is durable. Not under the run's lock: a call may be over at once.
    pub fn release(self, core: &Arc<Core>, cell: &Arc<RunCell>) {
        if self.answer.is_some() || self.closed.is_some() || !self.updates.is_empty() {
            let mut published = cell.published.lock();
            if self.answer.is_some() {
                published.answer = self.answer;
            }
            if self.closed.is_some() {
                published.closed = self.closed;
            }
            published.updates.extend(self.updates);
            drop(published);
            cell.more_published.notify_waiters();
        }
        cell.more_durable.notify_waiters();
        for (command, fire_at_ms) in self.timers {
            core.timers.set(core.now_ms(), fire_at_ms, cell, command);
        }
        if let Some(end) = self.child_end {
            let work = tell_until_known(core.clone(), *end);
            core.seams.spawner.spawn("child-end", Box::pin(work));
        }
        let traceparent = self.traceparent.unwrap_or_else(|| "".into());
        for call in self.launches {
            let name = call.name;
            let launch = || drive::launch(core, cell, call, traceparent.clone());
            // The step's own code runs in it, which must not take the effects of others with it.
            if catch_unwind(AssertUnwindSafe(launch)).is_err() {
                tracing::error!(workflow_id = %cell.workflow_id, step = name,
                    "a call could not be begun for a panic; it is again after a restart");
            }
        }
    }
}

/// What the run's parent is to be told, if it has one. A turn that continues as new is not the end.
fn child_end(run: &Run, outcome: &Outcome) -> Option<Box<ChildEnd>> {
    let parent = run.parent().filter(|_| outcome.state != RunState::Continued)?;
    let workflow_id = run.shared.workflow_id.clone();
    Some(Box::new(ChildEnd { workflow_id, parent, outcome: outcome.clone() }))
}
