//! What a test tells runs and asks of them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::environment::{Promise, TestEnvironment};
use super::look::PATIENCE;
use crate::engine::cx::{Signal, Update, View};
use crate::engine::{Error, StartRequest, Started};

impl TestEnvironment {
    /// Starts a run; the same start again joins it.
    ///
    /// # Errors
    /// Those of [`Engine::start`](crate::engine::Engine::start).
    pub async fn start<I: Serialize>(
        &self,
        workflow_id: &str,
        workflow_type: &str,
        input: &I,
    ) -> Result<Started, Error> {
        let request = StartRequest::new(workflow_id, workflow_type, input);
        self.start_by(request.expect("the input is JSON")).await
    }

    /// Starts a run by a request that the test has made.
    ///
    /// # Errors
    /// Those of [`Engine::start`](crate::engine::Engine::start).
    pub async fn start_by(&self, request: StartRequest) -> Result<Started, Error> {
        let workflow_id = request.workflow_id.clone();
        let started = self.engine.start(request).await?;
        self.promises.lock().push(Promise::Started { workflow_id });
        Ok(started)
    }

    /// Tells a run something. Whether it was new to the run: a repetition under the same id is not.
    ///
    /// # Errors
    /// Those of [`Engine::signal`](crate::engine::Engine::signal).
    pub async fn signal<S: Signal + Serialize>(
        &self,
        workflow_id: &str,
        signal_id: &str,
        signal: &S,
    ) -> Result<bool, Error> {
        self.signal_json(workflow_id, S::NAME, signal_id, json(signal)).await
    }

    /// Tells a run something that has no type here.
    ///
    /// # Errors
    /// Those of [`Engine::signal`](crate::engine::Engine::signal).
    pub async fn signal_json(
        &self,
        workflow_id: &str,
        name: &str,
        signal_id: &str,
        payload: impl Into<Bytes>,
    ) -> Result<bool, Error> {
        let payload = payload.into();
        let is_new = self.engine.signal(workflow_id, name, signal_id, payload.clone()).await?;
        let (workflow_id, name, signal_id) = (workflow_id.into(), name.into(), signal_id.into());
        self.promises.lock().push(Promise::Signalled { workflow_id, name, signal_id, payload });
        Ok(is_new)
    }

    /// Asks a run to do something, and waits for its answer.
    ///
    /// # Errors
    /// Those of [`Engine::update`](crate::engine::Engine::update).
    ///
    /// # Panics
    /// If there is no answer within [`PATIENCE`], or if it does not fit its type.
    pub async fn update<U>(
        &self,
        workflow_id: &str,
        update_id: &str,
        update: &U,
    ) -> Result<U::Answer, Error>
    where
        U: Update + Serialize,
        U::Answer: DeserializeOwned,
    {
        let payload = json(update);
        let asked = self.engine.update(workflow_id, U::NAME, update_id, payload, PATIENCE);
        match asked.await? {
            Some(answer) => Ok(read(&answer, "the answer")),
            None => panic!("{workflow_id} gives no answer:\n{}", self.timeline(workflow_id).await),
        }
    }

    /// The view of type `V` that a run shows of itself.
    ///
    /// # Errors
    /// Those of [`Engine::query`](crate::engine::Engine::query).
    pub async fn query<V: View + DeserializeOwned>(&self, workflow_id: &str) -> Result<V, Error> {
        let view = self.engine.query(workflow_id, V::NAME).await?;
        Ok(read(&view, "the view"))
    }

    /// Looks whether all that this test was promised so far, by helpers of this environment, is still there: runs that were
    /// started, signals that were taken. Meant for the moment after a crash.
    ///
    /// # Errors
    /// What was lost.
    pub async fn check_promises(&self) -> Result<(), String> {
        let promises = self.promises.lock().clone();
        for promise in &promises {
            self.check_promise(promise).await?;
        }
        Ok(())
    }

    async fn check_promise(&self, promise: &Promise) -> Result<(), String> {
        match promise {
            Promise::Started { workflow_id } => {
                let described = self.engine.describe(workflow_id).await;
                described.map_err(|error| format!("the run {workflow_id} is lost: {error}"))?;
            }
            Promise::Signalled { workflow_id, name, signal_id, payload } => {
                // Only a run that does not know it takes it again.
                let again = self.engine.signal(workflow_id, name, signal_id, payload.clone()).await;
                if let Ok(true) = again {
                    return Err(format!("the signal {name} ({signal_id}) is lost"));
                }
            }
        }
        Ok(())
    }
}

fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("what is told or asked is JSON").into()
}

/// Reads a value that a run has given.
pub(super) fn read<T: DeserializeOwned>(json: &[u8], what: &str) -> T {
    serde_json::from_slice(json).unwrap_or_else(|error| {
        panic!("{what} does not fit: {error}: {}", String::from_utf8_lossy(json))
    })
}
