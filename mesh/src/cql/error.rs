//! What can go wrong, and what is then known of a write.

use std::fmt::Display;
use std::time::Duration;

use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use tonic::{Code, Status};

use super::Kind;
use crate::error::{retriable, status, unavailable};

/// When a call that was not confirmed may be made again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// What can go wrong with a store that speaks CQL.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No answer could be had, and nothing was written. Worth trying again.
    #[error("the CQL store is away: {0}")]
    Unavailable(String),
    /// A write was sent, and what became of it is not known.
    #[error("the outcome of a write is unknown: {0}")]
    Unknown(String),
    /// Too many statements are under way; nothing was sent.
    #[error("too much waits for the CQL store already")]
    Overloaded,
    /// The server refuses the statement: it does not fit the tables, or the user may not run it.
    #[error("the CQL store refused a statement: {0}")]
    Refused(String),
    /// An answer has another form than the statement gives.
    #[error("an answer of the CQL store has another form than expected: {0}")]
    Form(String),
    /// The keyspace was written by a newer build.
    #[error(
        "the keyspace {keyspace} holds version {found} of the {component} tables, this build knows {known}: run the newer build"
    )]
    Newer {
        /// Which keyspace.
        keyspace: String,
        /// Whose tables.
        component: &'static str,
        /// The version in the keyspace.
        found: u32,
        /// The newest version of this build.
        known: u32,
    },
    /// A migration failed; it is tried again at the next start, from its beginning.
    #[error("migration {version} ({name}) of the {component} tables failed: {source}")]
    Migration {
        /// Whose tables.
        component: &'static str,
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        source: Box<Error>,
    },
    /// Another process has been changing the tables for too long.
    #[error("another process has been migrating the keyspace {0} for too long")]
    MigrationStuck(String),
}

impl Error {
    /// [`Error::Form`] of what the driver says; also for stores whose rows hold what they never wrote.
    pub fn form(error: impl Display) -> Error {
        Error::Form(error.to_string())
    }

    /// Whether nodes did not answer, where nothing was written but what may be written twice.
    pub(super) fn is_away(&self) -> bool {
        match self {
            Error::Unavailable(_) => true,
            Error::Migration { source, .. } => source.is_away(),
            _ => false,
        }
    }
}

pub(super) fn of_prepare(error: PrepareError) -> Error {
    match &error {
        PrepareError::AllAttemptsFailed { first_attempt: RequestAttemptError::DbError(why, _) }
            if is_refusal(why) =>
        {
            Error::Refused(error.to_string())
        }
        _ => Error::Unavailable(error.to_string()),
    }
}

pub(super) fn of_execution(kind: Kind, error: ExecutionError) -> Error {
    let text = error.to_string();
    match error {
        // Before anything was sent.
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => {
            Error::Unavailable(text)
        }
        ExecutionError::PrepareError(error) => of_prepare(error),
        ExecutionError::BadQuery(_) => Error::Refused(text),
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(why, _))
            if is_refusal(&why) =>
        {
            Error::Refused(text)
        }
        ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_),
        ) => Error::Refused(text),
        ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId) => {
            Error::Overloaded
        }
        // Even "unavailable" may be said of a conditional write that was decided and not yet kept by a quorum.
        _ if matches!(kind, Kind::Read | Kind::SettledRead) => Error::Unavailable(text),
        _ => Error::Unknown(text),
    }
}

/// Whether sending it again can never help.
fn is_refusal(why: &DbError) -> bool {
    matches!(
        why,
        DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::ProtocolError
    )
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded => {
                let message = "too many calls wait already";
                retriable(Code::ResourceExhausted, "OVERLOADED", message, RETRY_AFTER)
            }
            // With the same request id a retry is safe either way.
            Error::Unavailable(_) | Error::Unknown(_) => {
                tracing::warn!(%error, "a call to the CQL store was not confirmed");
                unavailable("STORE_UNAVAILABLE", "the store is away", RETRY_AFTER)
            }
            Error::Refused(_)
            | Error::Form(_)
            | Error::Newer { .. }
            | Error::Migration { .. }
            | Error::MigrationStuck(_) => {
                tracing::error!(%error, "the CQL store failed");
                status(Code::Internal, "INTERNAL", "the store failed")
            }
        }
    }
}
