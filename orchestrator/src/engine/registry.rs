//! The workflows that an engine can run, by the name under which histories know them.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::cx::{Cx, from_json};
use super::failure::Failure;

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
            match serde_json::to_vec(&output) {
                Ok(json) => Ok(Bytes::from(json)),
                Err(error) => {
                    cx.shared.state.lock().misfit_value("the result of the workflow", &error);
                    futures::future::pending().await
                }
            }
        }))
    }
}

/// All workflows of an engine.
#[derive(Clone, Default)]
pub struct Registry {
    workflows: BTreeMap<&'static str, Arc<dyn Definition>>,
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

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn Definition>> {
        self.workflows.get(name)
    }

    /// The names of all workflows, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.workflows.keys().copied()
    }
}
