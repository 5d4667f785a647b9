//! What a step can say about its undo.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::Compensation;
use crate::engine::call::{UndoRunner, undo_runner};

/// What goes on record before a step is tried.
pub enum PlannedUndo {
    /// A compensation of its own.
    Own {
        /// Its name.
        name: &'static str,
        /// Its input, as JSON.
        input: Result<Bytes, serde_json::Error>,
        /// Runs it from what is on record.
        runner: Arc<dyn UndoRunner>,
    },
    /// The compensation of this name, which must be on record already.
    Earlier(&'static str),
    /// None.
    Nothing,
}

/// How a step of type `S` is undone. Implemented by every [`Compensation`] that can be made from `&S`, by [`UndoneBy`]
/// and by [`Irreversible`].
pub trait UndoOf<S> {
    /// What to put on record.
    fn plan(step: &S) -> PlannedUndo;
}

impl<S, C> UndoOf<S> for C
where
    C: Compensation + for<'a> From<&'a S>,
{
    fn plan(step: &S) -> PlannedUndo {
        let compensation = C::from(step);
        PlannedUndo::Own {
            name: C::NAME,
            input: serde_json::to_vec(&compensation).map(Bytes::from),
            runner: undo_runner::<C>(),
        }
    }
}

/// The step is undone by a compensation that an earlier step, or `saga.owe`, has put on record.
pub struct UndoneBy<C>(PhantomData<C>);

impl<S, C: Compensation> UndoOf<S> for UndoneBy<C> {
    fn plan(_: &S) -> PlannedUndo {
        PlannedUndo::Earlier(C::NAME)
    }
}

/// Nothing undoes the step, and that is meant.
pub struct Irreversible;

impl<S> UndoOf<S> for Irreversible {
    fn plan(_: &S) -> PlannedUndo {
        PlannedUndo::Nothing
    }
}
