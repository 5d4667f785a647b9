//! How a step calls a participant, and what the participant's refusal means to the step.

use std::future::Future;
use std::time::Duration;

use souk_mesh::error::{reason_of, retry_after_of};
use souk_mesh::telemetry;
use tonic::{Code, Request, Response, Status};

use super::participants::Participants;
use crate::engine::step::{StepContext, StepError};

/// How long one call may take. Shorter than an attempt, so that what is told is the participant's failure.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Calls a participant within the attempt's deadline and in the run's trace.
pub async fn call<Q, A, F>(
    context: &StepContext,
    request: Q,
    method: impl FnOnce(Participants, Request<Q>) -> F,
) -> Result<A, StepError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let participants = context.resource::<Participants>()?.clone();
    let mut request = Request::new(request);
    request.set_timeout(CALL_LIMIT);
    let traceparent = Some(context.traceparent()).filter(|text| !text.is_empty());
    let answer = telemetry::in_trace("step", traceparent, method(participants, request)).await;
    answer.map(Response::into_inner).map_err(|status| step_error(&status))
}

/// A definite refusal will not change by asking again; everything else may, under the same effect key.
///
/// INTERNAL and UNKNOWN count as passing: what happened is not known, and the participant recognizes a repetition.
fn step_error(status: &Status) -> StepError {
    let reason = reason_of(status).unwrap_or_else(|| format!("{:?}", status.code()));
    let message = status.message();
    match status.code() {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => {
            let again = StepError::retryable(reason, message);
            let pause = retry_after_of(status).unwrap_or(Duration::ZERO);
            again.after(pause)
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => StepError::permanent(reason, message),
    }
}
