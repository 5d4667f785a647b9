//! The step that finds the next runs of a batch.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Place, Which};
use crate::engine::ids::RunId;
use crate::engine::row::RunRow;
use crate::engine::step::{Irreversible, Policy, Step, StepContext, StepError};
use crate::engine::{Engine, Error, Filter};
use crate::system::{Runs, is_reserved, retry};

/// Pages without a run that are looked through in one step.
const MAX_EMPTY_PAGES: usize = 10;
/// How soon it is looked again whether the tables know everything from before the batch.
const BEHIND_RETRY: Duration = Duration::from_millis(200);

/// A run as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    pub workflow_id: String,
    pub run_id: Uuid,
    /// How many events it had.
    pub events: u64,
    /// The undo at which it was parked; 0 if it was not.
    pub parked_command: u64,
}

impl Target {
    fn of(row: &RunRow) -> Target {
        Target {
            workflow_id: row.workflow_id.clone(),
            run_id: row.id().0,
            events: row.next_sequence,
            parked_command: row.parked_command,
        }
    }
}

/// The step's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub targets: Vec<Target>,
    /// Ids under which there is no run.
    pub missing: Vec<String>,
    pub place: Place,
}

/// Finds the next runs.
#[derive(Serialize, Deserialize)]
pub(super) struct Find {
    /// Of workflow ids only those from the place on.
    pub which: Which,
    pub place: Place,
    pub began_ms: i64,
    pub limit: usize,
}

impl Step for Find {
    const NAME: &'static str = "souk.batch.find";
    type Output = Found;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        retry()
    }

    async fn run(&self, context: &StepContext) -> Result<Found, StepError> {
        let engine = context.resource::<Runs>()?.engine()?;
        match &self.which {
            Which::Filter(text) => self.listed(&engine, text).await,
            Which::WorkflowIds(ids) => self.named(&engine, ids).await,
        }
    }
}

impl Find {
    async fn listed(&self, engine: &Engine, text: &str) -> Result<Found, StepError> {
        let filter = Filter::parse(text, self.began_ms)
            .map_err(|invalid| StepError::permanent("INVALID_FILTER", invalid.to_string()))?;
        let mut before = match &self.place {
            Place::Behind(run_id) => RunId(*run_id),
            // Runs that are started from now on are not meant.
            _ => RunId::first_at(self.began_ms.saturating_add(1)),
        };
        for _ in 0..MAX_EMPTY_PAGES {
            let listed = engine.list(&filter, Some(before), self.limit).await;
            let page = listed.map_err(|error| StepError::retryable("ENGINE", error.to_string()))?;
            if page.as_of_ms <= self.began_ms {
                let message = "the tables do not know everything from before the batch yet";
                return Err(StepError::retryable("TABLES_BEHIND", message).after(BEHIND_RETRY));
            }
            let others = page.rows.iter().filter(|row| !is_reserved(&row.workflow_type));
            let targets: Vec<Target> = others.map(Target::of).collect();
            let place = page.next.map_or(Place::End, |next| Place::Behind(next.0));
            if !targets.is_empty() || place == Place::End {
                return Ok(Found { targets, missing: Vec::new(), place });
            }
            before = page.next.unwrap_or(before);
        }
        Ok(Found { targets: Vec::new(), missing: Vec::new(), place: Place::Behind(before.0) })
    }

    async fn named(&self, engine: &Engine, ids: &[String]) -> Result<Found, StepError> {
        let (mut targets, mut missing) = (Vec::new(), Vec::new());
        for id in ids.iter().take(self.limit) {
            match engine.anywhere().row(id).await {
                Ok(row) => targets.push(Target::of(&row)),
                Err(Error::NotFound(_)) => missing.push(id.clone()),
                Err(error) => return Err(StepError::retryable("ENGINE", error.to_string())),
            }
        }
        let from = if let Place::At(from) = self.place { from } else { 0 };
        let has_more = ids.len() > self.limit;
        let place = if has_more { Place::At(from + self.limit) } else { Place::End };
        Ok(Found { targets, missing, place })
    }
}
