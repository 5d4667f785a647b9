//! Errors on the wire: a gRPC code, and `google.rpc` details that a program can act on.
//!
//! Every error carries `ErrorInfo` (an UPPER_SNAKE reason in the domain `souk`); a malformed request also carries
//! `BadRequest` per field, and an error that waiting helps carries `RetryInfo`.
//! Shapes: <https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo` that this shop sends.
pub const DOMAIN: &str = "souk";

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request, for example `lines[0].quantity`.
    pub field: String,
    /// What the field must be, in words for a person.
    pub description: String,
}

impl FieldViolation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// An error with a machine-readable reason.
pub fn status(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    status_with(code, reason, message, [])
}

/// An error with a reason and facts that a program can read, such as the new price.
pub fn status_with<const N: usize>(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    Status::with_error_details(code, message, details(reason, metadata))
}

/// A request that cannot be served as it is, naming each field that is wrong.
pub fn invalid_argument(reason: &'static str, violations: Vec<FieldViolation>) -> Status {
    let message = match violations.as_slice() {
        [] => String::from("the request is not valid"),
        [one] => format!("{}: {}", one.field, one.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
    };
    let mut details = details(reason, []);
    for violation in violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A passing failure: the same call may be tried again after `retry_after`.
pub fn unavailable(
    reason: &'static str,
    message: impl Into<String>,
    retry_after: Duration,
) -> Status {
    retriable(Code::Unavailable, reason, message, retry_after)
}

/// Any passing failure with its own code: the same call may be tried again after `retry_after`.
pub fn retriable(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    retry_after: Duration,
) -> Status {
    let mut details = details(reason, []);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(code, message, details)
}

/// The answer to a `request_id` that was used before with other parameters.
pub fn request_id_reused() -> Status {
    invalid_argument(
        "REQUEST_ID_REUSED",
        vec![FieldViolation::new("request_id", "was used before with other parameters")],
    )
}

/// The reason in an error's `ErrorInfo`, if it has one.
#[must_use]
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// One of the facts in an error's `ErrorInfo`.
#[must_use]
pub fn metadata_of(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info().and_then(|mut info| info.metadata.remove(key))
}

/// The fields that an error complains about.
#[must_use]
pub fn violations_of(status: &Status) -> Vec<FieldViolation> {
    status.get_details_bad_request().map_or_else(Vec::new, |bad| {
        bad.field_violations
            .into_iter()
            .map(|violation| FieldViolation::new(violation.field, violation.description))
            .collect()
    })
}

/// How long an error asks to wait before the next try.
#[must_use]
pub fn retry_after_of(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

fn details<const N: usize>(reason: &str, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_its_reason_and_facts() {
        let error = status_with(
            Code::FailedPrecondition,
            "PRICE_CHANGED",
            "the total is now EUR 12.00",
            [("total", String::from("EUR 12.00"))],
        );
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(reason_of(&error).as_deref(), Some("PRICE_CHANGED"));
        assert_eq!(metadata_of(&error, "total").as_deref(), Some("EUR 12.00"));
        assert_eq!(error.get_details_error_info().map(|info| info.domain).as_deref(), Some("souk"));
        assert_eq!(retry_after_of(&error), None);
    }

    #[test]
    fn an_invalid_request_names_every_field() {
        let violations = vec![
            FieldViolation::new("lines[0].quantity", "must be at least 1"),
            FieldViolation::new("currency", "must be an ISO 4217 code"),
        ];
        let error = invalid_argument("INVALID_FIELDS", violations.clone());
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(violations_of(&error), violations);
        assert_eq!(error.message(), "lines[0].quantity: must be at least 1 (and 1 more)");
    }

    #[test]
    fn a_passing_failure_says_when_to_try_again() {
        let error = unavailable("PROVIDER_AWAY", "try later", Duration::from_millis(250));
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(retry_after_of(&error), Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_error_of_others_has_no_reason() {
        assert_eq!(reason_of(&Status::internal("bare")), None);
    }
}
