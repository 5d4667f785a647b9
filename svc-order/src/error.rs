//! What can go wrong with orders, and how each of it looks on the wire.

use std::time::Duration;

use souk_mesh::error::{self as wire, FieldViolation};
use souk_mesh::money::Currency;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::Illegal;
use crate::pricing::Refusal;

/// How long a caller is asked to wait before it repeats a call that failed in passing.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// An order's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such order.
    #[error("there is no order {0}")]
    OrderNotFound(Uuid),
    /// The order's state does not allow the change.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// A change that says until when it may be made arrived later.
    #[error("the change arrived after its not_after")]
    TooLate,
    /// The order is not at the version that the change is based on.
    #[error("the order is at version {found}, not {expected}")]
    VersionMismatch {
        /// The version that the change is based on.
        expected: u64,
        /// The version found.
        found: u64,
    },
    /// The wish cannot be priced into an order.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The order's currency is not that of the total that comes with it.
    #[error("the order is in {order}, its expected total in {total}")]
    CurrencyMismatch {
        /// The currency asked for.
        order: Currency,
        /// The currency of the expected total.
        total: Currency,
    },
    /// The request id was used before with other parameters.
    #[error("the request id was used before with other parameters")]
    RequestIdReused,
    /// The cart is no longer at the version that the customer ordered.
    #[error("the cart has changed: it is at version {found}, not {asked}")]
    CartChanged {
        /// The version asked for.
        asked: i64,
        /// The version found.
        found: i64,
    },
    /// The caller's address book has no such entry.
    #[error("there is no address {0} in your address book")]
    AddressNotFound(Uuid),
    /// The order cannot leave before its payment is captured.
    #[error("the payment of order {0} is not captured yet")]
    NotPaid(Uuid),
    /// A field that only the handler can judge.
    #[error("{}: {}", .0.field, .0.description)]
    Field(FieldViolation),
    /// Too many different orders are being placed by this process.
    #[error("too many orders are being placed at once")]
    Overloaded,
    /// The process is draining.
    #[error("the service is stopping")]
    Stopping,
    /// Another service refused or failed; its answer is passed on.
    #[error("{}", .0.message())]
    Upstream(Box<Status>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] souk_mesh::store::Error),
    /// The store on CQL failed.
    #[error(transparent)]
    Cql(#[from] souk_mesh::cql::Error),
    /// A stored row or another service's answer cannot be read.
    #[error("unreadable {what}: {problem}")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The configuration cannot work.
    #[error("order configuration: {0}")]
    Config(&'static str),
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] souk_mesh::platform::Error),
}

impl Error {
    /// A field that only the handler can judge.
    pub fn field(field: &str, description: impl Into<String>) -> Error {
        Error::Field(FieldViolation { field: field.into(), description: description.into() })
    }

    /// Something that was stored or received cannot be read.
    pub fn corrupt(what: &'static str, problem: impl std::fmt::Display) -> Error {
        Error::Corrupt { what, problem: problem.to_string() }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error::Store(error.into())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error::Upstream(Box::new(status))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let message = error.to_string();
        let precondition = |reason| wire::status(Code::FailedPrecondition, reason, message.clone());
        match error {
            Error::OrderNotFound(_) => wire::status(Code::NotFound, "ORDER_NOT_FOUND", message),
            Error::Illegal(illegal) => precondition(illegal.reason()),
            Error::TooLate => precondition("TOO_LATE"),
            Error::VersionMismatch { .. } => {
                wire::status(Code::Aborted, "VERSION_MISMATCH", message)
            }
            Error::Refused(refusal) => refused(&refusal, message),
            Error::CurrencyMismatch { .. } => wrong_currency(message),
            Error::RequestIdReused => wire::request_id_reused(),
            Error::CartChanged { .. } => precondition("CART_CHANGED"),
            Error::AddressNotFound(_) => wire::status(Code::NotFound, "ADDRESS_NOT_FOUND", message),
            Error::NotPaid(_) => {
                wire::retriable(Code::FailedPrecondition, "ORDER_NOT_PAID", message, RETRY_AFTER)
            }
            Error::Field(violation) => wire::invalid_argument("INVALID_FIELDS", vec![violation]),
            Error::Overloaded => wire::unavailable("OVERLOADED", message, RETRY_AFTER),
            Error::Stopping => wire::unavailable("STOPPING", message, RETRY_AFTER),
            Error::Upstream(status) => *status,
            Error::Store(error) => error.into(),
            Error::Cql(error) => error.into(),
            Error::Corrupt { .. } | Error::Config(_) | Error::Platform(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "order not handled");
                wire::status(Code::Internal, "INTERNAL", "the order could not be handled")
            }
        }
    }
}

/// A refusal to price, with the facts that a client acts on in the error's metadata.
fn refused(refusal: &Refusal, message: String) -> Status {
    let precondition = Code::FailedPrecondition;
    match refusal {
        Refusal::CartEmpty => wire::status(precondition, "CART_EMPTY", message),
        Refusal::TooManyLines(_) => field("lines", message),
        Refusal::Quantity(_) => field("lines.quantity", message),
        Refusal::TooLarge => field("lines", message),
        Refusal::ProductNotFound(ids) => wire::status_with(
            Code::NotFound,
            "PRODUCT_NOT_FOUND",
            message,
            [("product_ids", crate::pricing::join(ids))],
        ),
        Refusal::SoldOut(ids) => wire::status_with(
            precondition,
            "SOLD_OUT",
            message,
            [("product_ids", crate::pricing::join(ids))],
        ),
        Refusal::PriceChanged { total, .. } => wire::status_with(
            precondition,
            "PRICE_CHANGED",
            message,
            [
                ("total_minor", total.minor.to_string()),
                ("currency", total.currency.to_string()),
                ("total", total.to_string()),
            ],
        ),
        Refusal::WrongCurrency { .. } => wrong_currency(message),
    }
}

fn wrong_currency(description: String) -> Status {
    let violation = FieldViolation { field: "currency".into(), description };
    wire::invalid_argument("WRONG_CURRENCY", vec![violation])
}

fn field(name: &str, description: String) -> Status {
    let violation = FieldViolation { field: name.into(), description };
    wire::invalid_argument("INVALID_FIELDS", vec![violation])
}
