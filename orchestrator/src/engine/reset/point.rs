//! Where a reset goes back to, said by what happened there rather than by a number: the same words mean the right event in
//! each of many runs.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::engine::event::Body;
use crate::engine::{Engine, Error};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetPoint {
    /// Where the last step of this name was decided.
    LastStep(String),
    /// Where the step was decided that failed last.
    BeforeFailure,
}

impl Engine {
    /// The event of the newest run under a workflow id that a reset to this point goes to, from 0.
    ///
    /// # Errors
    /// [`Error::NoResetPoint`]; those of [`Engine::history`].
    pub async fn reset_point(&self, workflow_id: &str, point: &ResetPoint) -> Result<u64, Error> {
        let mut history = std::pin::pin!(self.history(workflow_id, 0, false).await?);
        // Of steps without an outcome: no more than may be under way at once.
        let mut decided = BTreeMap::new();
        let mut found = None;
        while let Some(event) = history.next().await {
            let event = event?;
            match (event.event.body, point) {
                (Some(Body::StepScheduled(step)), ResetPoint::LastStep(name))
                    if step.name == *name =>
                {
                    found = Some(event.sequence);
                }
                (Some(Body::StepScheduled(step)), ResetPoint::BeforeFailure) => {
                    decided.insert(step.command, event.sequence);
                }
                (Some(Body::StepCompleted(step)), _) => drop(decided.remove(&step.command)),
                (Some(Body::StepAbandoned(step)), _) => drop(decided.remove(&step.command)),
                (Some(Body::StepFailed(step)), ResetPoint::BeforeFailure) => {
                    found = decided.remove(&step.command).or(found);
                }
                _ => {}
            }
        }
        found.ok_or_else(|| {
            Error::NoResetPoint(match point {
                ResetPoint::LastStep(name) => format!("it has never done a step {name:?}"),
                ResetPoint::BeforeFailure => "no step of it has failed".to_owned(),
            })
        })
    }
}
