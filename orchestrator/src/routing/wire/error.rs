//! What is refused. What only concerns the other node's own affairs comes back as [`Error::PeerUnreachable`]: nobody must
//! take another node's end for their own.

use souk_proto::workflow::v1::{PeerError, PeerErrorKind as Kind};

use super::run::closed_state;
use crate::engine::Error;
use crate::engine::partition::Partition;
use crate::engine::row::RunState;
use crate::wire;

pub fn encode(error: Error) -> PeerError {
    let of = |kind: Kind, subject: String, problem: String| PeerError {
        kind: kind.into(),
        subject,
        problem,
        ..PeerError::default()
    };
    let about = |kind: Kind, subject: String| of(kind, subject, String::new());
    match error {
        Error::NotOwner { .. } => about(Kind::NotOwner, String::new()),
        Error::Overloaded(problem) => of(Kind::Overloaded, String::new(), problem.to_owned()),
        Error::UnknownType(name) => about(Kind::UnknownType, name),
        Error::InvalidInput { what, problem } => of(Kind::InvalidInput, what, problem),
        Error::InvalidAttribute(invalid) => {
            of(Kind::InvalidInput, "the attributes".to_owned(), invalid.to_string())
        }
        Error::TooLarge { what, actual, limit } => {
            let problem = format!("{actual}, at most {limit}");
            of(Kind::InvalidInput, what.to_owned(), problem)
        }
        Error::Conflict { workflow_id } => about(Kind::Conflict, workflow_id),
        Error::NotFound(workflow_id) => about(Kind::NotFound, workflow_id),
        Error::Closed { workflow_id, state } => {
            PeerError { state: wire::state(state).into(), ..about(Kind::Closed, workflow_id) }
        }
        Error::OpenUndo { open_undo } => {
            PeerError { number: open_undo, ..about(Kind::OpenUndo, String::new()) }
        }
        Error::NotParked(workflow_id) => about(Kind::NotParked, workflow_id),
        Error::Paused(workflow_id) => about(Kind::Paused, workflow_id),
        Error::Stuck { code, message } => of(Kind::Stuck, code, message),
        Error::CannotReset { sequence, problem } => {
            PeerError { number: sequence, ..of(Kind::CannotReset, String::new(), problem) }
        }
        Error::NoResetPoint(problem) => of(Kind::NoResetPoint, String::new(), problem),
        Error::NotPublished(name) => about(Kind::NotPublished, name),
        other => of(Kind::Unspecified, String::new(), other.to_string()),
    }
}

pub fn decode(error: PeerError, workflow_id: &str) -> Error {
    let (kind, state) = (error.kind(), closed_state(error.state()));
    let PeerError { subject, problem, number, .. } = error;
    match kind {
        Kind::NotOwner => Error::NotOwner { partition: Partition::of(workflow_id), owner: None },
        Kind::Overloaded => Error::Overloaded("the node that serves the run has too much to do"),
        Kind::UnknownType => Error::UnknownType(subject),
        Kind::InvalidInput => Error::InvalidInput { what: subject, problem },
        Kind::Conflict => Error::Conflict { workflow_id: subject },
        Kind::NotFound => Error::NotFound(subject),
        Kind::Closed => {
            Error::Closed { workflow_id: subject, state: state.unwrap_or(RunState::Terminated) }
        }
        Kind::OpenUndo => Error::OpenUndo { open_undo: number },
        Kind::NotParked => Error::NotParked(subject),
        Kind::Paused => Error::Paused(subject),
        Kind::Stuck => Error::Stuck { code: subject, message: problem },
        Kind::CannotReset => Error::CannotReset { sequence: number, problem },
        Kind::NoResetPoint => Error::NoResetPoint(problem),
        Kind::NotPublished => Error::NotPublished(subject),
        Kind::Unspecified => Error::PeerUnreachable(problem),
    }
}
