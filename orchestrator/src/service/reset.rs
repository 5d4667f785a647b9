//! `ResetWorkflow`: a run begins again from an event of its history.

use souk_proto::workflow::v1::{ResetWorkflowRequest, ResetWorkflowResponse};
use tonic::Status;

use crate::engine::Engine;
use crate::engine::reset::ResetRequest;
use crate::error::refusal;

/// Resets a run, for a reason that says who wants it.
pub async fn reset(
    engine: &Engine,
    request: ResetWorkflowRequest,
    reason: String,
) -> Result<ResetWorkflowResponse, Status> {
    let wanted = ResetRequest {
        // Callers count from 1.
        sequence: request.sequence.unsigned_abs().saturating_sub(1),
        reason,
        drops_messages: request.drop_messages,
        owed_is_done_again: request.owed_is_done_again,
    };
    let done = engine.reset(&request.workflow_id, wanted).await.map_err(refusal)?;
    let kept = i64::try_from(done.kept).unwrap_or(i64::MAX);
    Ok(ResetWorkflowResponse { run_id: done.run_id.to_string(), kept })
}
