//! How a schedule touches the world: it looks at the calendar (the time zone database changes while schedules live, so
//! what it said goes on record), starts runs, looks after them and ends them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, Problem};
use super::definition::Spec;
use super::due::{Lens, Look};
use super::overlap::Stop;
use crate::engine::attribute::{Attributes, Value};
use crate::engine::peers::Control;
use crate::engine::row::RunState;
use crate::engine::step::{Irreversible, Policy, Step, StepContext, StepError};
use crate::engine::{Error, Failure, Outcome, StartRequest};
use crate::system::Runs;

/// How long one watch lasts: a run that goes on longer is watched anew, so that the watch does not count as one that
/// does not get on.
const WATCH: Duration = Duration::from_secs(600);
/// For how long what the engine refuses for a while is tried again: for ever, about. A node may be down for weeks in the
/// midst of a step, and no firing is lost by that.
const PATIENCE: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// The patience of a step that needs the engine only.
const fn patient() -> Policy {
    Policy { attempts: u32::MAX, total: PATIENCE, ..Policy::step() }
}

/// Looks which firings are due.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LookAtCalendar {
    pub schedule_id: String,
    pub spec: Spec,
    pub catch_up_ms: i64,
    pub cursor_ms: i64,
    pub now_ms: i64,
}

impl Step for LookAtCalendar {
    const NAME: &'static str = "look_at_calendar";
    type Output = Look;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        patient()
    }

    async fn run(&self, _: &StepContext) -> Result<Look, StepError> {
        let calendar = compile(&self.spec)?;
        let lens = Lens {
            schedule_id: &self.schedule_id,
            jitter_ms: self.spec.jitter_ms,
            catch_up_ms: self.catch_up_ms,
        };
        Ok(lens.look(&calendar, self.cursor_ms, self.now_ms))
    }
}

/// Lists the times of a range, for a backfill: those of the calendar, at most `limit` and one more.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ListTimes {
    pub spec: Spec,
    pub from_ms: i64,
    pub to_ms: i64,
    pub limit: usize,
}

impl Step for ListTimes {
    const NAME: &'static str = "list_times";
    type Output = Vec<i64>;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        patient()
    }

    async fn run(&self, _: &StepContext) -> Result<Vec<i64>, StepError> {
        Ok(compile(&self.spec)?.between(self.from_ms, self.to_ms).take(self.limit + 1).collect())
    }
}

fn compile(spec: &Spec) -> Result<Calendar, StepError> {
    Calendar::of(spec).map_err(|problems| {
        let told: Vec<String> = problems
            .iter()
            .map(|Problem { field, description }| format!("{field}: {description}"))
            .collect();
        StepError::permanent("SPEC_UNUSABLE", told.join("; "))
    })
}

/// Starts the run of a firing. Its workflow id is made from the firing's time, so that repetitions join the first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartRun {
    pub workflow_id: String,
    pub schedule_id: String,
    pub nominal_ms: i64,
    pub workflow_type: String,
    pub input: String,
    /// Of a backfill: a run that was there before is that of an earlier firing of this time.
    pub requested_at_ms: Option<i64>,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunStarted {
    /// It runs.
    Started,
    /// It has run for this time before.
    RanBefore,
}

impl Step for StartRun {
    const NAME: &'static str = "start_run";
    type Output = RunStarted;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        patient()
    }

    async fn run(&self, context: &StepContext) -> Result<RunStarted, StepError> {
        let runs = context.resource::<Runs>()?.engine()?.anywhere();
        if let Some(requested_at_ms) = self.requested_at_ms {
            match runs.row(&self.workflow_id).await {
                Ok(row) if row.started_at_ms < requested_at_ms => {
                    return Ok(RunStarted::RanBefore);
                }
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        let request = StartRequest {
            workflow_id: self.workflow_id.clone(),
            workflow_type: self.workflow_type.clone(),
            input: self.input.clone().into(),
            traceparent: context.traceparent().to_owned(),
            attributes: Attributes::from([
                ("schedule".to_owned(), Value::Text(self.schedule_id.clone())),
                ("scheduled_time".to_owned(), Value::TimeMs(self.nominal_ms)),
            ]),
            ..StartRequest::default()
        };
        runs.start(request).await.map_err(|error| refused(&error))?;
        Ok(RunStarted::Started)
    }
}

/// How a run of a schedule has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `completed`, `failed`, `cancelled`, `terminated`; `gone` if nothing is known of it
    /// any more, `not_started` if it never was.
    pub state: String,
    /// Why, if it did not complete.
    #[serde(default)]
    pub failure: Option<Failure>,
}

impl Ended {
    fn gone() -> Ended {
        Ended { state: "gone".to_owned(), failure: None }
    }

    /// It could not be started at all.
    pub(super) fn not_started(failure: Failure) -> Ended {
        Ended { state: "not_started".to_owned(), failure: Some(failure) }
    }

    /// Whether it failed by itself.
    pub fn is_failure(&self) -> bool {
        self.state == RunState::Failed.name()
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Ended {
        Ended { state: outcome.state.name().to_owned(), failure: outcome.failure }
    }
}

/// Looks which of some runs have ended, and how. Answers in their order; `None` for those that go on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LookAtRuns {
    pub workflow_ids: Vec<String>,
}

impl Step for LookAtRuns {
    const NAME: &'static str = "look_at_runs";
    type Output = Vec<Option<Ended>>;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        patient()
    }

    async fn run(&self, context: &StepContext) -> Result<Vec<Option<Ended>>, StepError> {
        let mut found = Vec::with_capacity(self.workflow_ids.len());
        for workflow_id in &self.workflow_ids {
            found.push(end_within(context, workflow_id, Duration::ZERO).await?);
        }
        Ok(found)
    }
}

/// Waits for the end of a run; `None` if it goes on for longer than one watch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WatchRun {
    pub workflow_id: String,
}

impl Step for WatchRun {
    const NAME: &'static str = "watch_run";
    type Output = Option<Ended>;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        Policy { start_to_close: WATCH * 2, ..patient() }
    }

    async fn run(&self, context: &StepContext) -> Result<Option<Ended>, StepError> {
        end_within(context, &self.workflow_id, WATCH).await
    }
}

async fn end_within(
    context: &StepContext,
    workflow_id: &str,
    wait: Duration,
) -> Result<Option<Ended>, StepError> {
    let runs = context.resource::<Runs>()?.engine()?.anywhere();
    match runs.outcome(workflow_id, wait).await {
        Ok(outcome) => Ok(outcome.map(Ended::from)),
        Err(Error::NotFound(_)) => Ok(Some(Ended::gone())),
        Err(error) => Err(refused(&error)),
    }
}

/// Makes a run end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StopRun {
    pub workflow_id: String,
    pub stop: Stop,
    pub reason: String,
}

impl Step for StopRun {
    const NAME: &'static str = "stop_run";
    type Output = ();
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        patient()
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let runs = context.resource::<Runs>()?.engine()?.anywhere();
        let cancel = Control::Cancel { reason: self.reason.clone() };
        let stopped = match self.stop {
            Stop::Cancel => runs.control(&self.workflow_id, cancel).await,
            Stop::Terminate => {
                let reason = self.reason.clone();
                let terminate = Control::Terminate { reason, abandon_undo: false };
                match runs.control(&self.workflow_id, terminate).await {
                    // What it did must be undone: nobody abandons that because of the time of day.
                    Err(Error::OpenUndo { .. }) => runs.control(&self.workflow_id, cancel).await,
                    done => done,
                }
            }
        };
        match stopped {
            Ok(()) | Err(Error::Closed { .. } | Error::NotFound(_)) => Ok(()),
            Err(error) => Err(refused(&error)),
        }
    }
}

/// What a refusal of the engine means for a step.
fn refused(error: &Error) -> StepError {
    let code = match error {
        Error::UnknownType(_) => "WORKFLOW_TYPE_UNKNOWN",
        Error::InvalidInput { .. } => "INPUT_UNFIT",
        Error::TooLarge { .. } => "TOO_LARGE",
        Error::Conflict { .. } => "WORKFLOW_ID_REUSED",
        _ => return StepError::retryable("ENGINE_REFUSED", error.to_string()),
    };
    StepError::permanent(code, error.to_string())
}
