//! What a caller is told when the store fails: whether it may try again, and nothing of the store's inside.

use std::time::Duration;

use tonic::{Code, Status};

use super::Error;
use crate::error::{retriable, status, unavailable};

/// When a refused write may be tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded => {
                let message = "too many writes wait already";
                retriable(Code::ResourceExhausted, "OVERLOADED", message, RETRY_AFTER)
            }
            // Nothing was written, or it is not known: with the same request id a retry is safe either way.
            Error::RolledBack(_) | Error::CommitFailed(_) | Error::Closed => {
                tracing::warn!(%error, "a write was not confirmed");
                unavailable("STORE_UNAVAILABLE", "the write was not confirmed", RETRY_AFTER)
            }
            Error::Open { .. }
            | Error::NoWal { .. }
            | Error::Thread(_)
            | Error::Newer { .. }
            | Error::MigrationOrder { .. }
            | Error::Migration { .. }
            | Error::Sqlite(_)
            | Error::Panicked(_) => {
                tracing::error!(%error, "the store failed");
                status(Code::Internal, "INTERNAL", "the store failed")
            }
        }
    }
}
