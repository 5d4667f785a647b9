//! Everything that svc-search can answer besides success.

use std::path::PathBuf;
use std::time::Duration;

use souk_mesh::error::{FieldViolation, invalid_argument, status, unavailable};
use souk_mesh::{bus, money, platform};
use tantivy::TantivyError;
use tonic::{Code, Status};

use crate::domain::Malformed;

/// When a caller may try again after the index could not be written.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What went wrong, in the words of the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A price filter is no amount of money.
    #[error("{field} is no price: {source}")]
    Price {
        /// The field of the request.
        field: &'static str,
        /// Why.
        source: money::Error,
    },
    /// The index's folder cannot be used.
    #[error("the index folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index failed.
    #[error("the index: {0}")]
    Index(#[from] TantivyError),
    /// An indexed product cannot be read back.
    #[error("an indexed product cannot be read: {0}")]
    Record(#[from] prost::DecodeError),
    /// An indexed product makes no sense.
    #[error("an indexed product makes no sense: {0}")]
    Malformed(#[from] Malformed),
    /// News could not be put into the index; nothing of its batch is there.
    #[error("not indexed: {0}")]
    NotIndexed(String),
    /// The process drains: nothing is indexed any more.
    #[error("the indexer has stopped")]
    Stopped,
    /// Work on the index ended before its time.
    #[error("work on the index was cut short: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The catalog could not say what it sells.
    #[error("the catalog did not answer: {0}")]
    Catalog(Status),
    /// The catalog goes on giving pages.
    #[error("the catalog gave more than {0} pages")]
    EndlessCatalog(usize),
    /// The bus refused the queue.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// The data folder cannot be used.
    #[error(transparent)]
    Platform(#[from] platform::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Price { field, source } => invalid_argument(
                "INVALID_FIELDS",
                vec![FieldViolation::new(field, source.to_string())],
            ),
            Error::Catalog(answer) => answer,
            Error::Stopped | Error::NotIndexed(_) => {
                tracing::warn!(%error, "the index was not written");
                unavailable("INDEX_UNAVAILABLE", "the index was not written", RETRY_AFTER)
            }
            Error::Folder { .. }
            | Error::Index(_)
            | Error::Record(_)
            | Error::Malformed(_)
            | Error::Interrupted(_)
            | Error::EndlessCatalog(_)
            | Error::Bus(_)
            | Error::Platform(_) => {
                tracing::error!(%error, "the search failed");
                status(Code::Internal, "INTERNAL", "the search failed")
            }
        }
    }
}
