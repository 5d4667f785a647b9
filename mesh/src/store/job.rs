//! One waiting write: a closure, what it answered, and the caller to tell.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Error;
use crate::panic;

/// What became of the group that a write was part of.
pub(super) enum Fate<'a> {
    /// Durable: every write of the group gets its own answer.
    Committed,
    /// Nothing of the group was written, and it is certain.
    RolledBack(&'a str),
    /// COMMIT itself failed: nobody knows, and nothing may be answered as done.
    Unknown(&'a str),
}

/// A write in the queue, its types erased.
pub(super) trait Job: Send {
    /// Nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Runs the closure; `true` when its effects are to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// The closure was never run, or its savepoint could not be closed.
    fn fail(&mut self, error: Error);
    /// Tells the caller.
    fn answer(self: Box<Self>, fate: &Fate<'_>);
}

/// The one implementation of [`Job`].
pub(super) struct Write<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Write<T, E, F> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (caller, answer) = oneshot::channel();
        (Write { work: Some(work), result: None, caller }, answer)
    }
}

impl<T, E, F> Job for Write<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = run_caught(work, connection);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn fail(&mut self, error: Error) {
        self.result = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>, fate: &Fate<'_>) {
        let lost = match fate {
            Fate::Committed => None,
            Fate::RolledBack(cause) => Some(Error::RolledBack((*cause).to_owned())),
            Fate::Unknown(cause) => Some(Error::CommitFailed((*cause).to_owned())),
        };
        // A refusal may rest on a neighbour's effects, so when those are lost it is not given either.
        let result = match (lost, self.result) {
            (Some(error), _) => Err(error.into()),
            (None, Some(result)) => result,
            (None, None) => Err(Error::Closed.into()),
        };
        // The caller may have gone; its write stands all the same.
        let _ = self.caller.send(result);
    }
}

/// Runs a closure of a caller; a panic becomes an error.
pub(super) fn run_caught<T, E: From<Error>>(
    work: impl FnOnce(&Connection) -> Result<T, E>,
    connection: &Connection,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(|| work(connection)))
        .unwrap_or_else(|panic| Err(Error::Panicked(panic::message(&*panic).to_owned()).into()))
}
