//! A world for one test: a simulated disk, a paused clock, a bank that outlives every crash, and an engine on top.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use souk_orchestrator::engine::{Error, Options, Registry, Started};
use souk_orchestrator::testing::{TestEnvironment, Unsynced};
pub use souk_orchestrator::testing::{line as outline, quick};

use super::bank::Bank;
use super::transfer::{self, Transfer};

/// Longer than anything in these tests takes, in the paused time.
pub const LONG: Duration = Duration::from_secs(24 * 3600);

/// See the module.
pub struct World {
    pub environment: TestEnvironment,
    pub bank: Arc<Bank>,
}

impl Deref for World {
    type Target = TestEnvironment;

    fn deref(&self) -> &TestEnvironment {
        &self.environment
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut TestEnvironment {
        &mut self.environment
    }
}

impl World {
    pub async fn new(seed: u64) -> World {
        World::with(seed, quick(), transfer::registry()).await
    }

    pub async fn with(seed: u64, options: Options, registry: Registry) -> World {
        let bank = Arc::new(Bank::default());
        let builder = TestEnvironment::builder().seed(seed).options(options).registry(registry);
        World { environment: builder.resource(bank.clone()).open().await, bank }
    }

    /// Pulls the plug and starts again, with the code of the toy saga.
    pub async fn restart(&mut self, unsynced: Unsynced) {
        self.restart_with(unsynced, transfer::registry()).await;
    }

    pub async fn start(&self, workflow_id: &str, transfer: &Transfer) -> Result<Started, Error> {
        self.start_as(workflow_id, "transfer", transfer).await
    }

    pub async fn start_as<I: serde::Serialize>(
        &self,
        workflow_id: &str,
        workflow_type: &str,
        input: &I,
    ) -> Result<Started, Error> {
        self.environment.start(workflow_id, workflow_type, input).await
    }

    /// A signal that carries nothing.
    pub async fn signal(&self, workflow_id: &str, name: &str, id: &str) -> Result<(), Error> {
        self.signal_json(workflow_id, name, id, bytes::Bytes::new()).await.map(drop)
    }

    pub async fn pass(&self, duration: Duration) {
        self.skip(duration).await;
    }
}
