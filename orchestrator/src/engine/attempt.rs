//! The seam around the attempts of steps and undos: where a test lets something go wrong between the engine and whatever a
//! step reaches. A production engine has none.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::call::Callable;
use super::core::Core;
use super::step::{StepContext, StepError};

/// What stands around every attempt.
pub trait Attempts: Send + Sync + 'static {
    /// Makes the attempt, or does something else in its place.
    fn make(&self, attempt: Attempt) -> BoxFuture<'static, Result<Bytes, StepError>>;
}

/// One attempt at a step or an undo that is about to be made. Clones are the same attempt.
#[derive(Clone)]
pub struct Attempt {
    pub(super) name: &'static str,
    pub(super) context: StepContext,
    pub(super) callable: Arc<dyn Callable>,
    pub(super) core: Arc<Core>,
}

impl Attempt {
    /// The name of the step or undo.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the step or undo is told.
    pub fn context(&self) -> &StepContext {
        &self.context
    }

    /// Runs the step or undo, from its beginning; the output is JSON. Each call is a repetition under the same effect key.
    pub fn run(&self) -> BoxFuture<'static, Result<Bytes, StepError>> {
        self.callable.clone().attempt(&self.core, self.context.clone())
    }

    /// Like [`Attempt::run`], with signs of life that nobody hears.
    pub fn run_unheard(&self) -> BoxFuture<'static, Result<Bytes, StepError>> {
        self.callable.clone().attempt(&self.core, self.context.unheard())
    }
}
