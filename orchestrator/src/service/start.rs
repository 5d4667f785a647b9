//! `StartWorkflow`: begins a run or joins the one that is there, and waits for an answer.

use std::time::Duration;

use souk_mesh::telemetry;
use souk_proto::time;
use souk_proto::workflow::v1::{StartWorkflowRequest, StartWorkflowResponse, WorkflowIdReuse};
use tonic::Status;

use super::wrong;
use crate::engine::ids::RunId;
use crate::engine::row::RunState;
use crate::engine::{Answer, Engine, StartRequest};
use crate::error::{refusal, refusal_of};
use crate::system;
use crate::wire;

/// Starts or joins.
pub async fn start(
    engine: &Engine,
    request: StartWorkflowRequest,
) -> Result<StartWorkflowResponse, Status> {
    check_not_reserved(&request)?;
    check_request_id(&request)?;
    let wait_ms = request.wait_for_answer.as_ref().map_or(0, time::duration_ms);
    let workflow_id = request.workflow_id.clone();
    let start = StartRequest {
        id_reuse: wire::id_reuse(request.id_reuse()),
        request_id: request.request_id.clone(),
        workflow_id: request.workflow_id,
        workflow_type: request.workflow_type,
        input: request.input,
        traceparent: telemetry::current_traceparent().unwrap_or_default(),
        attributes: wire::attributes(request.attributes),
    };
    let wait = Duration::from_millis(wait_ms.unsigned_abs());
    let (started, answer) =
        engine.start_and_wait(start, wait).await.map_err(refusal_of("input"))?;
    let state = state(engine, &workflow_id, started.run_id).await?;
    let answer = match answer {
        Answer::Answered(answer) => Some(answer),
        Answer::Closed(_) | Answer::Pending => None,
    };
    Ok(StartWorkflowResponse {
        workflow_id,
        run_id: started.run_id.to_string(),
        already_started: !started.is_new,
        answer,
        state: wire::state(state).into(),
    })
}

/// The engine's own workflows are started by calls of their own.
fn check_not_reserved(request: &StartWorkflowRequest) -> Result<(), Status> {
    let reserved =
        [("workflow_type", &request.workflow_type), ("workflow_id", &request.workflow_id)];
    for (field, name) in reserved {
        if system::is_reserved(name) {
            let message =
                format!("names that begin with {:?} are the engine's own", system::PREFIX);
            return Err(wrong(field, &message));
        }
    }
    Ok(())
}

/// A start that may use its workflow id again must be known by an id.
fn check_request_id(request: &StartWorkflowRequest) -> Result<(), Status> {
    if request.request_id.is_empty() && request.id_reuse() != WorkflowIdReuse::Unspecified {
        return Err(wrong("request_id", "it is needed with id_reuse"));
    }
    Ok(())
}

/// Where the run stands that a start began or joined.
async fn state(engine: &Engine, workflow_id: &str, run_id: RunId) -> Result<RunState, Status> {
    let state = engine.describe((workflow_id, run_id)).await.map_err(refusal)?.row.state();
    if state != RunState::Continued {
        return Ok(state);
    }
    // It has gone on meanwhile.
    Ok(engine.describe(workflow_id).await.map_err(refusal)?.row.state())
}
