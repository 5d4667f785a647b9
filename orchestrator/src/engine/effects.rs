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

/// See the module. Most commits let out a call and nothing else: what is rarer lies apart, so that queues stay small.
#[derive(Default)]
pub(crate) struct Effects {
    launches: Vec<Arc<Call>>,
    traceparent: Option<Arc<str>>,
    others: Option<Box<Others>>,
}

/// Whatever is no call.
#[derive(Default)]
struct Others {
    /// Command and time.
    timers: Vec<(u64, i64)>,
    answer: Option<Bytes>,
    closed: Option<Outcome>,
    updates: Vec<(String, UpdateOutcome)>,
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
                Body::TimerSet(timer) => {
                    effects.others().timers.push((timer.command, timer.fire_at_ms))
                }
                Body::Answered(answered) => effects.others().answer = Some(answered.answer.clone()),
                Body::UpdateAnswered(answered) => {
                    if let Some(Some(outcome)) = run.updates.get(&answered.id) {
                        effects.others().updates.push((answered.id.clone(), outcome.clone()));
                    }
                }
                Body::UndoParked(_) => metrics::counter!("souk_engine_parked_total").increment(1),
                Body::Stuck(_) => metrics::counter!("souk_engine_stuck_total").increment(1),
                Body::Closed(closed) => {
                    metrics::counter!("souk_engine_closed_total", "state" => closed.state().name())
                        .increment(1);
                    effects.others().closed = Some(Outcome {
                        state: closed.state(),
                        result: closed.result.clone(),
                        failure: closed.failure.as_ref().map(Into::into),
                    });
                }
                Body::Superseded(_) => {
                    effects.others().closed =
                        Some(Outcome { state: RunState::Continued, result: None, failure: None });
                }
                Body::Terminated(_) => {
                    effects.others().closed =
                        Some(Outcome { state: RunState::Terminated, result: None, failure: None });
                }
                _ => {}
            }
        }
        if let Some(others) = &mut effects.others {
            others.child_end = others.closed.as_ref().and_then(|end| child_end(run, end));
        }
        effects
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    /// Lets them out. Everything that they come from is durable. Not under the run's lock: a call may be over at once.
    pub fn release(self, core: &Arc<Core>, cell: &Arc<RunCell>) {
        if let Some(others) = self.others {
            others.release(core, cell);
        }
        cell.more_durable.notify_waiters();
        // Where the run is served now, its calls are begun again.
        if self.launches.is_empty() || cell.has_moved() {
            return;
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

impl Others {
    fn release(self, core: &Arc<Core>, cell: &Arc<RunCell>) {
        let Others { timers, answer, closed, updates, child_end } = self;
        if answer.is_some() || closed.is_some() || !updates.is_empty() {
            let mut published = cell.published.lock();
            if answer.is_some() {
                published.answer = answer;
            }
            if closed.is_some() {
                published.closed = closed;
            }
            published.updates.extend(updates);
            drop(published);
            cell.more_published.notify_waiters();
        }
        for (command, fire_at_ms) in timers {
            core.timers.set(core.now_ms(), fire_at_ms, cell, command);
        }
        if let Some(end) = child_end {
            let work = tell_until_known(core.clone(), *end);
            core.seams.spawner.spawn("child-end", Box::pin(work));
        }
    }
}

/// What the run's parent is to be told, if it has one. A turn that continues as new is not the end.
fn child_end(run: &Run, outcome: &Outcome) -> Option<Box<ChildEnd>> {
    let parent = run.parent().filter(|_| outcome.state != RunState::Continued)?;
    let workflow_id = run.shared.workflow_id.clone();
    Some(Box::new(ChildEnd { workflow_id, parent, outcome: outcome.clone() }))
}
