//! Everything that svc-cart can answer besides success.

use std::time::Duration;

use souk_mesh::error::{FieldViolation, invalid_argument, request_id_reused, retriable, status};
use souk_mesh::{platform, redis, store};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::Illegal;

/// What went wrong, in the words of the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog does not know the product, or no longer sells it.
    #[error("there is no product {0}")]
    ProductNotFound(Uuid),
    /// The product is sold in another currency than what is in the cart.
    #[error("the product is sold in another currency than the rest of the cart")]
    WrongCurrency,
    /// The change is not possible.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// A service asked without saying for whom.
    #[error("a service has to name the user")]
    UserRequired,
    /// The request id was used with other parameters.
    #[error("the request id was used with other parameters")]
    RequestIdReused,
    /// The catalog could not price the cart.
    #[error("the catalog did not answer: {0}")]
    Catalog(Status),
    /// What the catalog says of a price makes no sense, or the total is beyond counting.
    #[error("the cart cannot be priced: {0}")]
    Price(String),
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The shared store failed.
    #[error(transparent)]
    Redis(#[from] redis::Error),
    /// Others changed the cart again and again meanwhile. Nothing was changed by this edit.
    #[error("the cart is being changed by too many at once")]
    Busy,
}

/// When an edit that met too many others may be tried again.
const RETRY_BUSY_AFTER: Duration = Duration::from_millis(50);

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::ProductNotFound(_) => status(Code::NotFound, "PRODUCT_NOT_FOUND", message),
            Error::WrongCurrency => status(Code::FailedPrecondition, "WRONG_CURRENCY", message),
            Error::Illegal(Illegal::TooManyItems) => {
                status(Code::FailedPrecondition, "TOO_MANY_ITEMS", message)
            }
            Error::Illegal(Illegal::TooManyPieces) => {
                status(Code::FailedPrecondition, "TOO_MANY_PIECES", message)
            }
            Error::Illegal(Illegal::NoSuchItem) => {
                status(Code::NotFound, "ITEM_NOT_FOUND", message)
            }
            Error::UserRequired => {
                invalid_argument("INVALID_FIELDS", vec![FieldViolation::new("user_id", message)])
            }
            Error::RequestIdReused => request_id_reused(),
            Error::Catalog(answer) => answer,
            Error::Price(_) | Error::Platform(_) => {
                tracing::error!(error = message, "a cart operation failed");
                status(Code::Internal, "INTERNAL", "the operation failed")
            }
            Error::Store(error) => error.into(),
            Error::Redis(error) => error.into(),
            Error::Busy => retriable(Code::Aborted, "CART_BUSY", message, RETRY_BUSY_AFTER),
        }
    }
}
