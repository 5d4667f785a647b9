//! `SignalWorkflow`, `UpdateWorkflow`, `QueryWorkflow`: what is said to a run, and asked of it.

use std::time::Duration;

use souk_mesh::error::unavailable;
use souk_proto::workflow::v1::{
    QueryWorkflowRequest, QueryWorkflowResponse, SignalWorkflowRequest, SignalWorkflowResponse,
    UpdateWorkflowRequest, UpdateWorkflowResponse,
};
use tonic::Status;

use super::wrong;
use crate::engine::Engine;
use crate::error::{refusal, refusal_of};
use crate::wire;

/// How long an update's sender waits for its answer; asked again with the same id, it waits on.
pub const UPDATE_WAIT: Duration = Duration::from_secs(4);

/// Gives a run a signal.
pub async fn signal(
    engine: &Engine,
    request: SignalWorkflowRequest,
) -> Result<SignalWorkflowResponse, Status> {
    let SignalWorkflowRequest { request_id, workflow_id, signal, payload } = request;
    let is_new = engine.signal(&workflow_id, &signal, &request_id, payload).await;
    Ok(SignalWorkflowResponse { duplicate: !is_new.map_err(refusal)? })
}

/// Asks a run to do something, and waits for its answer.
pub async fn update(
    engine: &Engine,
    request: UpdateWorkflowRequest,
) -> Result<UpdateWorkflowResponse, Status> {
    let UpdateWorkflowRequest { request_id, workflow_id, update, argument } = request;
    let answered = engine.update(&workflow_id, &update, &request_id, argument, UPDATE_WAIT).await;
    let result = answered.map_err(refusal_of("argument"))?.ok_or_else(pending)?;
    Ok(UpdateWorkflowResponse { result })
}

/// What the sender of an update gets that has waited long enough.
pub fn pending() -> Status {
    let message = "the update is on record and has no answer yet; ask again with the same id";
    unavailable("UPDATE_PENDING", message, UPDATE_WAIT)
}

/// Asks for one of a run's views.
pub async fn query(
    engine: &Engine,
    request: QueryWorkflowRequest,
) -> Result<QueryWorkflowResponse, Status> {
    let QueryWorkflowRequest { workflow_id, query, argument, run_id } = request;
    if !argument.is_empty() {
        return Err(wrong("argument", "the runs' views take no argument"));
    }
    let run = wire::run_ref(&workflow_id, &run_id)?;
    let result = engine.query(run, &query).await.map_err(refusal)?;
    Ok(QueryWorkflowResponse { result })
}
