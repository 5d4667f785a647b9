//! What a step is told when it is run.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Heartbeat, StepError};
use crate::engine::call::Call;
use crate::engine::core::Core;

/// The name space of ids that are made from effect keys (random, fixed for ever).
const EFFECT_NAMESPACE: Uuid = Uuid::from_u128(0x8d0e_3c52_51f4_4a0e_9f6f_3b1d_7c2a_90e4);

/// The context of one attempt.
#[derive(Clone)]
pub struct StepContext {
    pub(crate) workflow_id: Arc<str>,
    pub(crate) call: Arc<Call>,
    pub(crate) attempt: u32,
    pub(crate) traceparent: Arc<str>,
    pub(crate) deadline_ms: i64,
    pub(crate) give_up_at_ms: i64,
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// Shared by all calls of the engine, and copied as seldom as possible: it has the resources and the clock.
    pub(crate) core: Arc<Core>,
}

impl StepContext {
    /// The workflow's id.
    pub fn workflow_id(&self) -> &str {
        &self.workflow_id
    }

    /// The step's name, or the undo's: what the effect key says between workflow id and occurrence.
    pub fn step(&self) -> &str {
        let key = self.effect_key();
        let of_run = key.strip_prefix(&*self.workflow_id).unwrap_or(key).trim_start_matches('/');
        of_run.rsplit_once('/').map_or(of_run, |(step, _)| step)
    }

    /// Workflow id, step name and occurrence: the same in every attempt, after every crash. Hand it to whoever can
    /// recognise a repetition by it.
    pub fn effect_key(&self) -> &str {
        &self.call.effect_key
    }

    /// The effect key as a UUID (version 5), for those who take nothing else.
    pub fn effect_id(&self) -> Uuid {
        effect_id(self.effect_key())
    }

    /// In a compensation: the effect key of the step that it undoes. In an undo that was owed without a step, and in
    /// a step: its own.
    pub fn undone_key(&self) -> &str {
        self.call.undone_key.as_deref().unwrap_or(self.effect_key())
    }

    /// [`StepContext::undone_key`] as a UUID: what [`StepContext::effect_id`] was in the step that is undone.
    pub fn undone_id(&self) -> Uuid {
        effect_id(self.undone_key())
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The W3C trace context in which the run was started; empty if there was none.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// When this attempt is given up, in unix milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }

    /// When no further attempt is made, in unix milliseconds: what a do carries as `not_after`.
    pub fn give_up_at_ms(&self) -> i64 {
        self.give_up_at_ms
    }

    /// Cancelled when nobody waits for the step any more. The attempt's future is dropped then, too.
    pub fn cancellation(&self) -> &CancellationToken {
        self.call.token.get()
    }

    /// The same, with signs of life that the engine does not hear.
    pub(crate) fn unheard(&self) -> StepContext {
        StepContext {
            heartbeat: Arc::new(self.heartbeat.unheard(self.core.now_ms())),
            ..self.clone()
        }
    }

    /// A resource that the engine was opened with.
    ///
    /// # Errors
    /// Retryable `RESOURCE_MISSING` if there is none of this type: the node is wired wrongly, the run is not to blame.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<&T, StepError> {
        self.core.resources.get().ok_or_else(|| {
            let name = std::any::type_name::<T>();
            StepError::retryable(
                "RESOURCE_MISSING",
                format!("the engine was opened without {name}"),
            )
        })
    }
}

/// The UUID of an effect key.
pub fn effect_id(effect_key: &str) -> Uuid {
    Uuid::new_v5(&EFFECT_NAMESPACE, effect_key.as_bytes())
}

/// The effect key of an occurrence (from 1) of a step in a workflow. `mark` tells the generations under one workflow id
/// apart.
pub(crate) fn effect_key(workflow_id: &str, step: &str, occurrence: u32, mark: &str) -> Arc<str> {
    // Every step has one: without the detour through a formatter.
    [workflow_id, "/", step, "/", &occurrence.to_string(), mark].concat().into()
}
