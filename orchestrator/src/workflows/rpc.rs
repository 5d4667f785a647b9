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
    let calling = method(participants, request);
    let answer = telemetry::in_trace(context.step(), traceparent, calling).await;
    answer.map(Response::into_inner).map_err(|status| step_error(&status))
}

/// A definite refusal will not change by asking again; everything else may, under the same effect key.
///
/// INTERNAL and UNKNOWN count as passing: what happened is not known, and the participant recognizes a repetition.
fn step_error(status: &Status) -> StepError {
    let reason = reason_of(status).unwrap_or_else(|| upper_snake(status.code()));
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

/// `DeadlineExceeded` as `DEADLINE_EXCEEDED`: the reason of an answer that carries none.
fn upper_snake(code: Code) -> String {
    let mut name = String::new();
    for (index, letter) in format!("{code:?}").char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::step::StepErrorKind;

    #[test]
    fn only_a_definite_refusal_is_final() {
        for code in (0..17).map(Code::from_i32) {
            let passing = matches!(
                code,
                Code::Ok
                    | Code::Cancelled
                    | Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::Internal
                    | Code::Unavailable
            );
            let expected =
                if passing { StepErrorKind::Retryable } else { StepErrorKind::Permanent };
            assert_eq!(step_error(&Status::new(code, "told")).kind, expected, "{code:?}");
        }
    }

    #[test]
    fn the_participants_reason_and_pause_are_kept() {
        let pause = Duration::from_millis(300);
        let error = step_error(&souk_mesh::error::unavailable("BUSY", "later", pause));
        assert_eq!((error.code.as_str(), error.retry_after), ("BUSY", Some(pause)));
        assert_eq!(step_error(&Status::deadline_exceeded("")).code, "DEADLINE_EXCEEDED");
    }
}
