//! The workflows that an engine can run, by the name under which histories know them.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::call::{UndoRunner, undo_runner};
use super::cx::{Cx, from_json, write_json};
use super::failure::Failure;
use super::limits::LONG_HISTORY_OBSERVATIONS;
use super::rounds::{Round, Rounds};
use super::step::Compensation;

/// A workflow's function: `async fn(&Cx, Input) -> Result<Output, Failure>`.
pub trait WorkflowFn<'a, I, O>: Send + Sync {
    /// Calls it.
    fn call(&'a self, cx: &'a Cx, input: I) -> BoxFuture<'a, Result<O, Failure>>;
}

impl<'a, I, O, F, Fut> WorkflowFn<'a, I, O> for F
where
    F: Fn(&'a Cx, I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<O, Failure>> + Send + 'a,
{
    fn call(&'a self, cx: &'a Cx, input: I) -> BoxFuture<'a, Result<O, Failure>> {
        self(cx, input).boxed()
    }
}

/// A running workflow: its result is JSON.
pub(crate) type Running = BoxFuture<'static, Result<Bytes, Failure>>;

/// A workflow with its types erased.
pub(crate) trait Definition: Send + Sync {
    /// The workflow's future.
    fn begin(&self, cx: Cx, input: &[u8]) -> Result<Running, serde_json::Error>;
}

struct Typed<F, I, O> {
    function: Arc<F>,
    types: PhantomData<fn(I) -> O>,
}

impl<F, I, O> Definition for Typed<F, I, O>
where
    F: for<'a> WorkflowFn<'a, I, O> + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    fn begin(&self, cx: Cx, input: &[u8]) -> Result<Running, serde_json::Error> {
        let input: I = from_json(input)?;
        let function = self.function.clone();
        Ok(Box::pin(async move {
            let output = function.call(&cx, input).await?;
            returned(&cx, output).await
        }))
    }
}

/// What a workflow returned, as JSON.
pub(crate) async fn returned<O: Serialize>(cx: &Cx, output: O) -> Result<Bytes, Failure> {
    let json = write_json(&output);
    drop(output);
    match json {
        Ok(json) => Ok(json),
        Err(error) => {
            cx.shared.state.lock().misfit_value("the result of the workflow", &error);
            futures::future::pending().await
        }
    }
}
/// Compensations by name, for undo that no step of the run brings with it any more.
pub(crate) type Compensations = Arc<BTreeMap<&'static str, Arc<dyn UndoRunner>>>;

/// All workflows of an engine.
#[derive(Clone, Default)]
pub struct Registry {
    workflows: BTreeMap<&'static str, Arc<dyn Definition>>,
    compensations: Compensations,
}

impl Registry {
    /// None yet.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a workflow. Its name is in every history: never change it while runs are open.
    #[must_use]
    pub fn workflow<F, I, O>(mut self, name: &'static str, function: F) -> Registry
    where
        F: for<'a> WorkflowFn<'a, I, O> + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
    {
        let definition = Typed { function: Arc::new(function), types: PhantomData };
        self.workflows.insert(name, Arc::new(definition));
        self
    }

    /// Adds a workflow in rounds: `async fn(&Cx, State) -> Result<Round<State, Output>, Failure>`, called again with the
    /// state that it returned for as long as it returns one. Between two rounds the engine continues as new by itself, as
    /// often as the history has become long: such a run may go on for ever. It is started with its first state.
    ///
    /// A round that has ended stands, like a workflow that has returned `Ok`. A round that fails ends the run, and what was
    /// done in that round is undone.
    #[must_use]
    pub fn rounds<F, S, O>(self, name: &'static str, function: F) -> Registry
    where
        F: for<'a> WorkflowFn<'a, S, Round<S, O>> + 'static,
        S: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
    {
        self.rounds_in_turns_of(LONG_HISTORY_OBSERVATIONS, name, function)
    }

    /// Like [`Registry::rounds`], with turns that end with the first round behind so many observations (results, signals,
    /// timers …), if that is less: shorter turns come back from disk faster. May be changed while runs are open.
    #[must_use]
    pub fn rounds_in_turns_of<F, S, O>(
        mut self,
        max_observations: u64,
        name: &'static str,
        function: F,
    ) -> Registry
    where
        F: for<'a> WorkflowFn<'a, S, Round<S, O>> + 'static,
        S: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
    {
        self.workflows.insert(name, Arc::new(Rounds::new(function, max_observations)));
        self
    }

    /// Adds a compensation by its name. A run that is reset may no longer do the step that it undoes: then this is how the
    /// undo on record is found. A reset that would need one that is not here is refused.
    #[must_use]
    pub fn compensation<C: Compensation>(mut self) -> Registry {
        Arc::make_mut(&mut self.compensations).insert(C::NAME, undo_runner::<C>());
        self
    }

    /// Whether an undo of this name can be run without its step: what resets need of all undo that is on record.
    #[must_use]
    pub fn has_compensation(&self, name: &str) -> bool {
        self.compensations.contains_key(name)
    }

    pub(crate) fn compensations(&self) -> Compensations {
        self.compensations.clone()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn Definition>> {
        self.workflows.get(name)
    }

    /// The names of all workflows, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.workflows.keys().copied()
    }
}
