//! The step that acts on a few runs, and can be repeated.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::Operation;
use super::find::Target;
use crate::engine::event::Body;
use crate::engine::ids::RunId;
use crate::engine::peers::Control;
use crate::engine::reset::ResetRequest;
use crate::engine::row::{RunRow, RunState};
use crate::engine::step::{Irreversible, Policy, Step, StepContext, StepError};
use crate::engine::{Anywhere, Error, Filter};
use crate::system::{Runs, is_reserved, retry};

/// Runs that are acted on side by side.
const CONCURRENCY: usize = 10;

/// What has become of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done, now or in an attempt whose end was lost.
    Done,
    /// Nothing was done: why.
    Skipped(String),
    /// The run refuses it: why.
    Failed(String),
}

/// Acts on runs. The outcomes are in their order.
#[derive(Serialize, Deserialize)]
pub(super) struct Act {
    pub operation: Operation,
    /// What each run must still be; empty for anything.
    pub filter: String,
    pub began_ms: i64,
    pub reason: String,
    pub targets: Vec<Target>,
}

impl Step for Act {
    const NAME: &'static str = "souk.batch.act";
    type Output = Vec<Outcome>;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        retry()
    }

    async fn run(&self, context: &StepContext) -> Result<Vec<Outcome>, StepError> {
        let runs = context.resource::<Runs>()?.engine()?.anywhere();
        let filter = Filter::parse(&self.filter, self.began_ms)
            .map_err(|invalid| StepError::permanent("INVALID_FILTER", invalid.to_string()))?;
        // The same in every attempt, in no other batch, and on the record of each run.
        let mark = context.workflow_id();
        let actor = Actor {
            runs: &runs,
            operation: &self.operation,
            filter: &filter,
            reason: format!("{} [{mark}]", self.reason),
            mark,
        };
        let acts: Vec<_> = self.targets.iter().map(|target| actor.act(target).boxed()).collect();
        stream::iter(acts)
            .buffered(CONCURRENCY)
            .try_collect()
            .await
            .map_err(|error| StepError::retryable("ENGINE", error.to_string()))
    }
}

struct Actor<'a> {
    runs: &'a Anywhere,
    operation: &'a Operation,
    filter: &'a Filter,
    reason: String,
    mark: &'a str,
}

fn skipped(why: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Skipped(why.into()))
}

impl Actor<'_> {
    /// Fails only with what may be otherwise the next time.
    async fn act(&self, target: &Target) -> Result<Outcome, Error> {
        let row = match self.runs.row(&target.workflow_id).await {
            Ok(row) => row,
            Err(Error::NotFound(_)) => return skipped("it is gone"),
            Err(error) => return Err(error),
        };
        if is_reserved(&row.workflow_type) {
            return skipped("it is one of the engine's own");
        }
        if row.id().0 != target.run_id {
            let may_be_its_successor = matches!(self.operation, Operation::Reset { .. });
            if may_be_its_successor && self.was_reset(target, row.id()).await? {
                return Ok(Outcome::Done);
            }
            return skipped("another run, or another turn of it, has its id now");
        }
        if row.next_sequence != target.events && self.is_done(target).await? {
            return Ok(Outcome::Done);
        }
        if let Some(why) = self.is_moot(&row) {
            return skipped(why);
        }
        match self.operate(target).await {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::NotFound(_)) => skipped("it is gone"),
            Err(Error::NotParked(_)) => skipped("it is no longer parked where it was"),
            Err(error @ (Error::Closed { .. } | Error::Paused(_))) => skipped(error.to_string()),
            Err(
                error @ (Error::Overloaded(_)
                | Error::Fenced
                | Error::ShuttingDown
                | Error::NotOwner { .. }
                | Error::PeerUnreachable(_)
                | Error::Log(_)
                | Error::Tables(_)),
            ) => Err(error),
            Err(error) => Ok(Outcome::Failed(error.to_string())),
        }
    }

    /// Why there is nothing to do to a run that stands like this.
    fn is_moot(&self, row: &RunRow) -> Option<&'static str> {
        let may_be_closed = matches!(self.operation, Operation::Reset { .. });
        if row.state().is_closed() && !may_be_closed {
            return Some("it has ended");
        }
        if !self.filter.matches(row) {
            return Some("the filter does not mean it any more");
        }
        match (self.operation, row.state()) {
            (Operation::Cancel, RunState::Compensating | RunState::Parked) => {
                Some("it is being undone already")
            }
            (Operation::Cancel, _) if row.cancel_requested => Some("it is cancelled already"),
            (Operation::Pause, RunState::Paused) => Some("it is paused already"),
            (Operation::Resume, state) if state != RunState::Paused => Some("it is not paused"),
            (Operation::RetryStep | Operation::SkipStep, _) if row.parked_command == 0 => {
                Some("it is not parked")
            }
            _ => None,
        }
    }

    async fn operate(&self, target: &Target) -> Result<(), Error> {
        let (runs, id, at) = (self.runs, &target.workflow_id, target.parked_command);
        let reason = self.reason.clone();
        let control = match self.operation {
            Operation::Cancel => Control::Cancel { reason },
            Operation::Terminate { abandon_undo } => {
                Control::Terminate { reason, abandon_undo: *abandon_undo }
            }
            Operation::Pause => Control::Pause { reason },
            Operation::Resume => Control::Resume { reason },
            Operation::RetryStep => Control::RetryStep { at },
            Operation::SkipStep => Control::SkipStep { at, reason },
            Operation::Signal { name, payload } => {
                let payload = payload.to_string().into_bytes().into();
                return runs.signal(id, name, self.mark, payload).await.map(drop);
            }
            Operation::Reset { to } => {
                let sequence = runs.reset_point(id, to).await?;
                let request = ResetRequest { sequence, reason, ..ResetRequest::default() };
                return runs.reset(id, request).await.map(drop);
            }
        };
        runs.control(id, control).await
    }

    /// Whether the run that has the id now is there because this batch has reset the one that was found.
    async fn was_reset(&self, target: &Target, newest: RunId) -> Result<bool, Error> {
        let history = self.runs.history(&target.workflow_id, newest, 0);
        let mut history = std::pin::pin!(history);
        while let Some(event) = history.next().await {
            if let Some(Body::Reset(reset)) = event?.event.body
                && reset.reason == self.reason
                && *reset.run_id == *target.run_id.as_bytes()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether this batch has done it already: it is in what has happened to the run since it was found.
    async fn is_done(&self, target: &Target) -> Result<bool, Error> {
        let own = RunId(target.run_id);
        let history = self.runs.history(&target.workflow_id, own, target.events);
        let mut history = std::pin::pin!(history);
        while let Some(event) = history.next().await {
            if event?.event.body.is_some_and(|body| self.is_own(&body, target)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_own(&self, body: &Body, target: &Target) -> bool {
        match body {
            Body::CancelRequested(event) => event.reason == self.reason,
            Body::Terminated(event) => event.reason == self.reason,
            Body::Paused(event) => event.reason == self.reason,
            Body::Unpaused(event) => event.reason == self.reason,
            Body::UndoSkipped(event) => event.reason == self.reason,
            Body::SignalReceived(event) => event.id == self.mark,
            // It bears no name: whoever did it, the undo that was parked has had its retry.
            Body::UndoRetried(event) => {
                *self.operation == Operation::RetryStep && event.command == target.parked_command
            }
            _ => false,
        }
    }
}
