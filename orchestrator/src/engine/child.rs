//! What a run's decisions about its children do: start them, signal them, have them end.
//!
//! Each is a call like any other: it is tried until it has worked, begun again after a crash, and does the same when it is
//! done twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::call::{Callable, UndoRunner};
use super::core::Core;
use super::engine::{Engine, StartRequest};
use super::error::Error;
use super::event::{END_CHILD, Parent, ParentClose};
use super::failure::{CHILD_CONFLICT, CHILD_ENDED, CHILD_REFUSED, CHILD_TOO_DEEP, Failure};
use super::ids::RunId;
use super::limits::MAX_CHILD_DEPTH;
use super::step::{Policy, StepContext, StepError};

/// The engine is at hand: it is tried soon and often, and no one is asked for help before a day has passed.
const PATIENT: Policy = Policy {
    initial: Duration::from_millis(100),
    factor: 2.0,
    maximum: Duration::from_secs(60),
    attempts: 2_000,
    start_to_close: Duration::from_secs(60),
    total: Duration::from_secs(24 * 3600),
    heartbeat: None,
    non_retryable: &[],
};
/// A start is never given up: nobody could say whether the child is there.
const ENDLESS: Policy =
    Policy { attempts: u32::MAX, total: Duration::from_secs(100 * 365 * 24 * 3600), ..PATIENT };

/// Starts a child.
pub(crate) struct StartChild {
    request: StartRequest,
    parent: Parent,
}

impl StartChild {
    pub fn new(workflow_id: &str, workflow_type: &str, input: Bytes, parent: Parent) -> StartChild {
        let request = StartRequest {
            workflow_id: workflow_id.to_owned(),
            workflow_type: workflow_type.to_owned(),
            input,
            ..StartRequest::default()
        };
        StartChild { request, parent }
    }
}

impl Callable for StartChild {
    fn policy(&self) -> Policy {
        ENDLESS
    }

    fn attempt(
        self: Arc<Self>,
        core: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>> {
        let runs = Engine::of(core.clone()).anywhere();
        Box::pin(async move {
            if self.parent.depth > MAX_CHILD_DEPTH {
                let message = format!("children are nested {MAX_CHILD_DEPTH} deep at most");
                return Err(StepError::refused(CHILD_TOO_DEEP, message));
            }
            let traceparent = context.traceparent().to_owned();
            let request = StartRequest { traceparent, ..self.request.clone() };
            match runs.start_for(request, Some(self.parent.clone())).await {
                Ok(started) => Ok(Bytes::copy_from_slice(started.run_id.as_bytes())),
                Err(Error::Conflict { workflow_id }) => {
                    let message = format!("{workflow_id:?} belongs to another run");
                    Err(StepError::refused(CHILD_CONFLICT, message))
                }
                Err(
                    error @ (Error::UnknownType(_)
                    | Error::InvalidInput { .. }
                    | Error::TooLarge { .. }),
                ) => Err(StepError::refused(CHILD_REFUSED, error.to_string())),
                Err(error) => Err(again(&error)),
            }
        })
    }
}

/// Has a child end: what a run does before it ends itself, or because it has given the child up.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EndChild {
    workflow_id: String,
    /// The command that has started it.
    run_id: uuid::Uuid,
    command: u64,
    how: ParentClose,
}

impl EndChild {
    pub fn of(workflow_id: &str, origin: &Parent, how: ParentClose) -> EndChild {
        let run_id = RunId::from_slice(&origin.run_id).map_or(uuid::Uuid::nil(), |id| id.0);
        EndChild { workflow_id: workflow_id.to_owned(), run_id, command: origin.command, how }
    }

    /// What goes on record.
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers can be written").into()
    }
}

impl Callable for EndChild {
    fn policy(&self) -> Policy {
        PATIENT
    }

    fn attempt(
        self: Arc<Self>,
        core: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>> {
        let runs = Engine::of(core.clone()).anywhere();
        Box::pin(async move {
            let parent = Parent {
                workflow_id: context.workflow_id().to_owned(),
                run_id: Bytes::copy_from_slice(self.run_id.as_bytes()),
                command: self.command,
                depth: 0,
            };
            let ended = runs.end_child(&self.workflow_id, parent, self.how).await;
            ended.map(|()| Bytes::from_static(b"null")).map_err(|error| again(&error))
        })
    }
}

struct EndRunner;

/// Runs [`EndChild`] from the ledger.
pub(crate) fn end_runner() -> Arc<dyn UndoRunner> {
    Arc::new(EndRunner)
}

impl UndoRunner for EndRunner {
    fn name(&self) -> &'static str {
        END_CHILD
    }

    #[allow(private_interfaces)]
    fn call(&self, input: &Bytes, _: &Failure) -> Result<Arc<dyn Callable>, serde_json::Error> {
        Ok(Arc::new(serde_json::from_slice::<EndChild>(input)?))
    }
}

/// Signals a child.
#[derive(Clone, Serialize)]
pub(crate) struct SignalChild {
    workflow_id: String,
    signal: &'static str,
    payload: serde_json::Value,
}

impl SignalChild {
    pub fn new(workflow_id: &str, signal: &'static str, payload: serde_json::Value) -> SignalChild {
        SignalChild { workflow_id: workflow_id.to_owned(), signal, payload }
    }

    /// What goes on record.
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("what was JSON can be written again").into()
    }
}

impl Callable for SignalChild {
    fn policy(&self) -> Policy {
        PATIENT
    }

    fn attempt(
        self: Arc<Self>,
        core: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>> {
        let runs = Engine::of(core.clone()).anywhere();
        Box::pin(async move {
            let payload = self.payload.to_string().into();
            // The child recognises a repetition by the effect key.
            let id = context.effect_id().to_string();
            match runs.signal(&self.workflow_id, self.signal, &id, payload).await {
                Ok(_) => Ok(Bytes::from_static(b"null")),
                Err(error @ (Error::Closed { .. } | Error::NotFound(_))) => {
                    Err(StepError::permanent(CHILD_ENDED, error.to_string()))
                }
                Err(error @ (Error::InvalidInput { .. } | Error::TooLarge { .. })) => {
                    Err(StepError::permanent("SIGNAL_REFUSED", error.to_string()))
                }
                Err(error) => Err(again(&error)),
            }
        })
    }
}

fn again(error: &Error) -> StepError {
    StepError::retryable("ENGINE_BUSY", error.to_string())
}
