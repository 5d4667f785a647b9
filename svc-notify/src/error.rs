//! Everything that svc-notify can answer besides success.

use std::path::PathBuf;

use souk_mesh::error::{FieldViolation, invalid_argument, request_id_reused, status};
use souk_mesh::{bus, platform, store};
use tonic::{Code, Status};

/// What went wrong, in the words of the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured sender is not a mailbox.
    #[error("the sender {0:?} is not a mailbox such as \"Souk <orders@souk.example>\"")]
    BadSender(String),
    /// The recipient is not an address that mail can be written to.
    #[error("{0:?} is not an e-mail address")]
    BadRecipient(String),
    /// The mail could not be put together.
    #[error("the mail cannot be written: {0}")]
    Compose(#[from] lettre::error::Error),
    /// The mailbox folder cannot be used.
    #[error("cannot write {path}: {source}")]
    Mailbox {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The user service could not say where to write to.
    #[error("the user service did not answer: {0}")]
    Users(Status),
    /// The request id was used with other parameters.
    #[error("the request id was used with other parameters")]
    RequestIdReused,
    /// The bus refused the queue.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::BadRecipient(_) => {
                invalid_argument("INVALID_FIELDS", vec![FieldViolation::new("recipient", message)])
            }
            Error::RequestIdReused => request_id_reused(),
            Error::Users(answer) => answer,
            Error::Store(error) => error.into(),
            Error::BadSender(_)
            | Error::Compose(_)
            | Error::Mailbox { .. }
            | Error::Bus(_)
            | Error::Platform(_) => {
                tracing::error!(error = message, "a notification failed");
                status(Code::Internal, "INTERNAL", "the operation failed")
            }
        }
    }
}
