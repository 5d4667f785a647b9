//! What can go wrong in the catalog, and what callers are told of it.

use std::time::Duration;

use souk_mesh::{cql, error as wire, platform, store};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::MAX_ON_HAND;

/// When a product that many change at once is worth another try.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What can go wrong in the catalog.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These products are not known.
    #[error("no such product: {}", list(.0))]
    ProductNotFound(Vec<Uuid>),
    /// This category is not known.
    #[error("no such category: {0}")]
    CategoryNotFound(Uuid),
    /// Another product has this article number.
    #[error("the SKU {0} is taken")]
    SkuTaken(String),
    /// Another category has this name in URLs.
    #[error("the slug {0} is taken")]
    SlugTaken(String),
    /// The id that the caller chose is taken.
    #[error("the id {0} is taken")]
    IdTaken(Uuid),
    /// The change is based on another version.
    #[error("the product has changed: its etag is {current}")]
    EtagMismatch {
        /// The etag of the present version.
        current: String,
    },
    /// Too few pieces for a reservation. Nothing of it is held.
    #[error("product {product_id} is sold out: {requested} wanted, {available} available")]
    SoldOut {
        /// Of which product.
        product_id: Uuid,
        /// How many could be had.
        available: i64,
        /// How many were wanted.
        requested: u32,
    },
    /// A correction would leave fewer pieces than are reserved.
    #[error("{reserved} of the {on_hand} pieces on hand are reserved")]
    StockNegative {
        /// Pieces on hand now.
        on_hand: i64,
        /// Pieces reserved now.
        reserved: i64,
    },
    /// More pieces of one product than the shop can count.
    #[error("more than {MAX_ON_HAND} pieces of one product")]
    TooManyOnHand,
    /// Nobody has made this reservation.
    #[error("no such reservation: {0}")]
    ReservationNotFound(Uuid),
    /// The id names a reservation of other lines or for another order.
    #[error("reservation {0} is for something else")]
    ReservationReused(Uuid),
    /// It was undone, so it cannot be done any more.
    #[error("reservation {0} was undone")]
    Undone(Uuid),
    /// It arrived later than its sender allows.
    #[error("the call arrived after its not_after")]
    TooLate,
    /// The hold ran out and the pieces are gone.
    #[error("reservation {id} has expired, and product {product_id} is sold out")]
    ReservationExpired {
        /// Which one.
        id: Uuid,
        /// What could not be had again.
        product_id: Uuid,
        /// How many could be had.
        available: i64,
    },
    /// It is sold: there is nothing to extend.
    #[error("reservation {0} is already committed")]
    ReservationCommitted(Uuid),
    /// The request id was used before with other parameters.
    #[error("this request id was used with other parameters")]
    RequestIdReused,
    /// Fields of a request that the contract's rules cannot judge.
    #[error("{} is not valid", .0.field)]
    InvalidField(wire::FieldViolation),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store on CQL failed.
    #[error(transparent)]
    Cql(#[from] cql::Error),
    /// Other processes changed this product again and again; nothing was done.
    #[error("product {0} is changed by too many at once")]
    Contended(Uuid),
    /// What is stored breaks an invariant.
    #[error("the stored catalog is damaged: {0}")]
    Damaged(String),
    /// The demonstration shop's own data is not well-formed.
    #[error("seed data: {0}")]
    Seed(String),
    /// The data folder could not be had.
    #[error(transparent)]
    Platform(#[from] platform::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Store(error.into())
    }
}

impl Error {
    /// One field of a request is not valid.
    pub fn field(field: &str, description: &str) -> Error {
        Error::InvalidField(wire::FieldViolation::new(field, description))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        use Code::{Aborted, AlreadyExists, FailedPrecondition, NotFound};
        let told = error.to_string();
        match error {
            Error::ProductNotFound(ids) => wire::status_with(
                NotFound,
                "PRODUCT_NOT_FOUND",
                told,
                [("product_ids", list(&ids))],
            ),
            Error::CategoryNotFound(_) => wire::status(NotFound, "CATEGORY_NOT_FOUND", told),
            Error::SkuTaken(_) => wire::status(AlreadyExists, "SKU_TAKEN", told),
            Error::SlugTaken(_) => wire::status(AlreadyExists, "SLUG_TAKEN", told),
            Error::IdTaken(_) => wire::status(AlreadyExists, "ID_TAKEN", told),
            Error::EtagMismatch { current } => {
                wire::status_with(Aborted, "ETAG_MISMATCH", told, [("etag", current)])
            }
            Error::SoldOut { product_id, available, requested } => wire::status_with(
                FailedPrecondition,
                "SOLD_OUT",
                told,
                [
                    ("product_id", product_id.to_string()),
                    ("available", available.to_string()),
                    ("requested", requested.to_string()),
                ],
            ),
            Error::StockNegative { on_hand, reserved } => wire::status_with(
                FailedPrecondition,
                "STOCK_NEGATIVE",
                told,
                [("on_hand", on_hand.to_string()), ("reserved", reserved.to_string())],
            ),
            Error::TooManyOnHand => wire::status(FailedPrecondition, "STOCK_TOO_LARGE", told),
            Error::ReservationNotFound(_) => wire::status(NotFound, "RESERVATION_NOT_FOUND", told),
            Error::ReservationReused(_) => wire::invalid_argument(
                "RESERVATION_ID_REUSED",
                vec![wire::FieldViolation::new(
                    "reservation_id",
                    "was used before for other lines or another order",
                )],
            ),
            Error::Undone(_) => wire::status(FailedPrecondition, "UNDONE", told),
            Error::TooLate => wire::status(FailedPrecondition, "TOO_LATE", told),
            Error::ReservationExpired { product_id, available, .. } => wire::status_with(
                FailedPrecondition,
                "RESERVATION_EXPIRED",
                told,
                [("product_id", product_id.to_string()), ("available", available.to_string())],
            ),
            Error::ReservationCommitted(_) => {
                wire::status(FailedPrecondition, "RESERVATION_COMMITTED", told)
            }
            Error::RequestIdReused => wire::request_id_reused(),
            Error::InvalidField(violation) => {
                wire::invalid_argument("INVALID_FIELDS", vec![violation])
            }
            Error::Store(error) => error.into(),
            Error::Cql(error) => error.into(),
            Error::Contended(_) => wire::unavailable("CONTENDED", told, RETRY_AFTER),
            Error::Damaged(_) | Error::Seed(_) | Error::Platform(_) => internal(&told),
        }
    }
}

/// What went wrong inside is for the log, not for the caller.
fn internal(cause: &str) -> Status {
    tracing::error!(cause, "the catalog failed");
    wire::status(Code::Internal, "INTERNAL", "the catalog failed")
}

fn list(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",")
}
