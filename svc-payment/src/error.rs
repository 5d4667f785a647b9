//! What can go wrong with a payment, and how callers are told.

use std::time::Duration;

use souk_mesh::error::{
    FieldViolation, invalid_argument, request_id_reused, retriable, status, status_with,
    unavailable,
};
use souk_mesh::money::Money;
use souk_mesh::store;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::{Illegal, Misfit, State};
use crate::provider;

/// When to ask again after an answer of the provider was lost: the retry finds it done.
const RETRY_LOST_ANSWER: Duration = Duration::from_millis(100);
/// When to ask again while others work on the same payment.
const RETRY_BUSY: Duration = Duration::from_millis(50);

/// The provider's codes of an unknown token.
const TOKEN_CODES: [&str; 2] = ["token_invalid", "resource_missing"];

/// Why a call was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No payment has this id.
    #[error("there is no payment {0}")]
    NotFound(Uuid),
    /// The payment was undone, perhaps before it was made.
    #[error("the payment {0} was undone")]
    Undone(Uuid),
    /// The call came after its `not_after`.
    #[error("the call arrived later than its not_after")]
    TooLate,
    /// The payment's state does not allow it.
    #[error("not possible while the payment is {0}")]
    IllegalState(State),
    /// The request id, or the payment id, was used with other parameters.
    #[error("the request id was used with other parameters")]
    RequestIdReused,
    /// The provider does not make payments like this.
    #[error("the provider did not make the payment: {code}")]
    NotMade {
        /// The provider's code.
        code: String,
    },
    /// More than what is left was to be given back.
    #[error("only {left} can be given back")]
    RefundExceedsCapture {
        /// What is left.
        left: Money,
    },
    /// The amount is in another currency than the payment.
    #[error("the payment is in {0}")]
    WrongCurrency(souk_mesh::money::Currency),
    /// A field's value cannot be used.
    #[error("{}: {}", .0.field, .0.description)]
    Field(FieldViolation),
    /// Too many calls wait for the same payment, or work at the same time.
    #[error("too many calls at the same time")]
    Busy,
    /// Another process changed the payment at the same time.
    #[error("the payment was changed by someone else meanwhile")]
    Stale,
    /// The process is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The provider's answer is unknown, or it refused.
    #[error(transparent)]
    Provider(#[from] provider::Error),
    /// The provider says what cannot be.
    #[error("the provider contradicts the books: {0}")]
    Contradiction(#[from] Misfit),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store on CQL failed.
    #[error(transparent)]
    Cql(#[from] souk_mesh::cql::Error),
    /// The store holds what this build cannot read.
    #[error("the store cannot be read: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The store holds an answer that cannot be read.
    #[error("the store holds an answer that cannot be read: {0}")]
    Unreadable(String),
    /// The data folder cannot be had.
    #[error(transparent)]
    Platform(#[from] souk_mesh::platform::Error),
    /// The HTTP client cannot be built.
    #[error("the provider's client cannot be built: {0}")]
    Client(#[from] reqwest::Error),
}

impl From<Illegal> for Error {
    fn from(illegal: Illegal) -> Error {
        Error::Contradiction(Misfit::Illegal(illegal))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let text = error.to_string();
        let precondition = |reason| status(Code::FailedPrecondition, reason, text.clone());
        match error {
            Error::NotFound(_) => status(Code::NotFound, "PAYMENT_NOT_FOUND", text),
            Error::Undone(_) => precondition("UNDONE"),
            Error::TooLate => precondition("TOO_LATE"),
            Error::IllegalState(_) => precondition("ILLEGAL_STATE"),
            Error::RequestIdReused => request_id_reused(),
            Error::NotMade { code } => not_made(&code),
            Error::RefundExceedsCapture { left } => status_with(
                Code::FailedPrecondition,
                "REFUND_EXCEEDS_CAPTURE",
                text,
                [("refundable", left.to_string())],
            ),
            Error::WrongCurrency(currency) => {
                field("WRONG_CURRENCY", "amount", format!("must be in {currency}"))
            }
            Error::Field(violation) => invalid_argument("INVALID_FIELDS", vec![violation]),
            Error::Busy => retriable(Code::ResourceExhausted, "OVERLOADED", text, RETRY_BUSY),
            Error::Stale => retriable(Code::Aborted, "CONCURRENT_CHANGE", text, RETRY_BUSY),
            Error::Stopping => unavailable("STOPPING", text, RETRY_BUSY),
            Error::Provider(provider::Error::Unknown(_)) => {
                unavailable("PROVIDER_UNKNOWN_OUTCOME", text, RETRY_LOST_ANSWER)
            }
            Error::Provider(provider::Error::Refused { code, .. }) => status_with(
                Code::FailedPrecondition,
                "PROVIDER_REFUSED",
                text,
                [("provider_code", code)],
            ),
            Error::Contradiction(_) => broken("PROVIDER_CONTRADICTION", &text),
            Error::Store(error) => Status::from(error),
            Error::Cql(error) => Status::from(error),
            Error::Sql(_) | Error::Unreadable(_) => broken("STORE_FAILED", &text),
            Error::Platform(_) | Error::Client(_) => broken("NOT_STARTED", &text),
        }
    }
}

fn field(reason: &'static str, name: &'static str, problem: String) -> Status {
    invalid_argument(reason, vec![FieldViolation::new(name, problem)])
}

fn not_made(code: &str) -> Status {
    if TOKEN_CODES.contains(&code) {
        let problem = "is not known to the payment provider".to_owned();
        return field("UNKNOWN_PAYMENT_TOKEN", "payment_token", problem);
    }
    status_with(
        Code::FailedPrecondition,
        "PROVIDER_REFUSED",
        format!("the payment provider did not make the payment: {code}"),
        [("provider_code", code.to_owned())],
    )
}

/// Our own fault: told in the log, where those who can mend it read it, and not to the caller.
fn broken(reason: &'static str, error: &str) -> Status {
    tracing::error!(reason, error, "a payment call failed");
    status(Code::Internal, reason, "the payment service failed")
}
