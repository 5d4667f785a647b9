//! Everything that svc-user can answer besides success.

use souk_mesh::error::{FieldViolation, invalid_argument, request_id_reused, retriable, status};
use souk_mesh::{platform, redis, store};
use tonic::{Code, Status};

/// How long a caller waits before it tries again, when the password pool is full.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(500);

/// What went wrong, in the words of the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has an account under this address already.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// Wrong e-mail address or wrong password; which one is not told.
    #[error("e-mail address or password is wrong")]
    BadCredentials,
    /// A refresh token that is none, has expired, was ended or used; which of them is not told.
    #[error("the refresh token does not work, or no longer; log in again")]
    BadRefreshToken,
    /// No such user.
    #[error("there is no such user")]
    UserNotFound,
    /// No such address, or somebody else's.
    #[error("there is no such address")]
    AddressNotFound,
    /// The address book is full.
    #[error("an address book holds at most {} addresses", crate::domain::MAX_ADDRESSES)]
    TooManyAddresses,
    /// The address has changed since the caller read it.
    #[error("the address has changed since it was read; read it again")]
    EtagMismatch,
    /// The update mask names a field that cannot be changed.
    #[error("{0:?} cannot be changed")]
    UnknownMaskPath(String),
    /// The update mask names the address, and the request has none.
    #[error("the update mask names it, so it must be set")]
    PostalRequired,
    /// The request id was used with other parameters.
    #[error("the request id was used with other parameters")]
    RequestIdReused,
    /// Too many logins wait already.
    #[error("too many logins at once; try again shortly")]
    Busy,
    /// The address book was changed by others again and again.
    #[error("the address book is being changed by others; try again shortly")]
    Contended,
    /// Hashing failed.
    #[error("password hashing failed: {0}")]
    PasswordHash(String),
    /// A token could not be signed.
    #[error("signing a token failed: {0}")]
    Token(String),
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store on CQL failed.
    #[error(transparent)]
    Cql(#[from] souk_mesh::cql::Error),
    /// The shared store of sessions failed.
    #[error(transparent)]
    Redis(#[from] redis::Error),
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
            Error::EmailTaken => status(Code::AlreadyExists, "EMAIL_TAKEN", message),
            Error::BadCredentials => status(Code::Unauthenticated, "BAD_CREDENTIALS", message),
            Error::BadRefreshToken => status(Code::Unauthenticated, "BAD_REFRESH_TOKEN", message),
            Error::UserNotFound => status(Code::NotFound, "USER_NOT_FOUND", message),
            Error::AddressNotFound => status(Code::NotFound, "ADDRESS_NOT_FOUND", message),
            Error::TooManyAddresses => {
                status(Code::FailedPrecondition, "TOO_MANY_ADDRESSES", message)
            }
            Error::EtagMismatch => status(Code::Aborted, "ETAG_MISMATCH", message),
            Error::UnknownMaskPath(_) => invalid_argument(
                "INVALID_FIELDS",
                vec![FieldViolation::new("update_mask", message)],
            ),
            Error::PostalRequired => {
                invalid_argument("INVALID_FIELDS", vec![FieldViolation::new("postal", message)])
            }
            Error::RequestIdReused => request_id_reused(),
            Error::Busy => retriable(Code::ResourceExhausted, "OVERLOADED", message, RETRY_AFTER),
            Error::Contended => retriable(Code::Aborted, "CONCURRENT_CHANGE", message, RETRY_AFTER),
            Error::PasswordHash(_) | Error::Token(_) | Error::Platform(_) => {
                tracing::error!(error = message, "an account operation failed");
                status(Code::Internal, "INTERNAL", "the operation failed")
            }
            Error::Store(error) => error.into(),
            Error::Cql(error) => error.into(),
            Error::Redis(error) => error.into(),
        }
    }
}
