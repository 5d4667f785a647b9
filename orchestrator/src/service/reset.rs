//! `ResetWorkflow`: a run begins again from an event of its history.

use souk_proto::workflow::v1::{ResetPoint, ResetWorkflowRequest, ResetWorkflowResponse};
use tonic::Status;

use super::wrong;
use crate::engine::Engine;
use crate::engine::reset::{self, ResetRequest};
use crate::error::refusal;

/// Where a reset goes back to.
pub(super) fn point(to: ResetPoint) -> Result<reset::ResetPoint, Status> {
    match (to.last_step, to.before_failure) {
        (name, false) if !name.is_empty() => Ok(reset::ResetPoint::LastStep(name)),
        (name, true) if name.is_empty() => Ok(reset::ResetPoint::BeforeFailure),
        _ => Err(wrong("reset_to", "either names a last_step, or is before_failure")),
    }
}

/// Resets a run, for a reason that says who wants it.
pub async fn reset(
    engine: &Engine,
    request: ResetWorkflowRequest,
    reason: String,
) -> Result<ResetWorkflowResponse, Status> {
    let sequence = match (request.sequence.unsigned_abs(), request.reset_to) {
        // Callers count from 1.
        (sequence @ 1.., None) => sequence - 1,
        (0, Some(to)) => {
            let point = point(to)?;
            engine.reset_point(&request.workflow_id, &point).await.map_err(refusal)?
        }
        _ => return Err(wrong("sequence", "either this or reset_to says where to go back to")),
    };
    let wanted = ResetRequest {
        sequence,
        reason,
        drops_messages: request.drop_messages,
        owed_is_done_again: request.owed_is_done_again,
    };
    let done = engine.reset(&request.workflow_id, wanted).await.map_err(refusal)?;
    let kept = i64::try_from(done.kept).unwrap_or(i64::MAX);
    Ok(ResetWorkflowResponse { run_id: done.run_id.to_string(), kept })
}
