//! Everything that the orchestrator can answer besides success.

use std::time::Duration;

use souk_mesh::error::{
    FieldViolation, invalid_argument, retriable, status, status_with, unavailable,
};
use souk_mesh::{bus, platform};
use tonic::{Code, Status};

use crate::engine;
use crate::engine::limits::OVERLOAD_RETRY_MS;
use crate::engine::log::fjall::StorageError;

/// When a node that ends may be asked again: somewhere else, or after its restart.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The reason of a node that does not serve a run: nothing was done.
pub(crate) const NOT_OWNER: &str = "NOT_OWNER";
/// When the owner of a partition that moves may be asked for again.
const OWNER_RETRY_AFTER: Duration = Duration::from_millis(200);

/// Why the orchestrator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The CQL store cannot be opened.
    #[error(transparent)]
    Cql(#[from] souk_mesh::cql::Error),
    /// What is on record cannot be recovered.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The bus refused the queue.
    #[error(transparent)]
    Bus(#[from] bus::Error),
}

/// What a caller is told of an engine's refusal.
pub(crate) fn refusal(error: engine::Error) -> Status {
    refused(error, "payload")
}

/// The same, where the JSON that may be at fault came in the field `payload`.
pub(crate) fn refusal_of(payload: &'static str) -> impl Fn(engine::Error) -> Status {
    move |error| refused(error, payload)
}

fn refused(error: engine::Error, payload: &'static str) -> Status {
    use engine::Error as E;
    let message = error.to_string();
    let field = |field: &str, message: String| {
        invalid_argument("INVALID_FIELDS", vec![FieldViolation::new(field, message)])
    };
    match error {
        E::UnknownType(_) => field("workflow_type", message),
        E::InvalidInput { .. } => field(payload, message),
        E::InvalidAttribute(_) => field("attributes", message),
        E::TooLarge { .. } => {
            invalid_argument("TOO_LARGE", vec![FieldViolation::new(payload, message)])
        }
        E::Conflict { .. } => status(Code::AlreadyExists, "WORKFLOW_ID_REUSED", message),
        E::NotFound(_) => status(Code::NotFound, "WORKFLOW_NOT_FOUND", message),
        E::Closed { .. } => status(Code::FailedPrecondition, "WORKFLOW_CLOSED", message),
        E::UpdateRefused(failure) => {
            let reason = ("code", failure.code.clone());
            status_with(Code::FailedPrecondition, "UPDATE_REFUSED", message, [reason])
        }
        E::NotAccepting(_) => status(Code::FailedPrecondition, "UPDATE_NOT_ACCEPTED", message),
        E::NotPublished(_) => status(Code::FailedPrecondition, "NOT_PUBLISHED", message),
        E::CannotReset { .. } | E::NoResetPoint(_) => {
            status(Code::FailedPrecondition, "CANNOT_RESET", message)
        }
        E::OpenUndo { .. } => status(Code::FailedPrecondition, "UNDO_OPEN", message),
        E::NotParked(_) => status(Code::FailedPrecondition, "NOT_PARKED", message),
        E::Paused(_) => status(Code::FailedPrecondition, "WORKFLOW_PAUSED", message),
        E::Stuck { code, .. } => {
            status_with(Code::FailedPrecondition, "WORKFLOW_STUCK", message, [("code", code)])
        }
        E::Overloaded(_) => {
            let pause = Duration::from_millis(OVERLOAD_RETRY_MS);
            retriable(Code::ResourceExhausted, "OVERLOADED", message, pause)
        }
        E::Fenced | E::ShuttingDown => unavailable("NODE_ENDING", message, RETRY_AFTER),
        E::NotOwner { .. } => unavailable(NOT_OWNER, message, OWNER_RETRY_AFTER),
        E::PeerUnreachable(_) => unavailable("PEER_UNREACHABLE", message, RETRY_AFTER),
        E::Log(_) | E::Tables(_) | E::Membership(_) => {
            tracing::error!(error = message, "the engine's store failed");
            unavailable("STORE_UNAVAILABLE", "the workflow store does not answer", RETRY_AFTER)
        }
        E::Damaged { .. } => {
            tracing::error!(error = message, "the engine's store is damaged");
            status(Code::DataLoss, "STORE_DAMAGED", message)
        }
    }
}
