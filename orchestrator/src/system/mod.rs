//! The engine's own workflows: operations that must survive a crash (batches, schedules), written as workflows themselves.
//!
//! They are registered beside the shop's, under names that begin with [`PREFIX`]. Nobody starts them by StartWorkflow:
//! each has a call of its own, which checks what it is given. Their steps reach the engine by the resource [`Runs`].

pub mod batch;
pub mod schedule;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::engine::cluster::Cluster;
use crate::engine::log::Log;
use crate::engine::seams::Seams;
use crate::engine::step::{Policy, StepError};
use crate::engine::tables::Tables;
use crate::engine::{Engine, Error, Options, Registry, Resources, WeakEngine};

/// What the types and ids of the engine's own workflows begin with; nobody else's do.
pub const PREFIX: &str = "souk.";

/// The engine, for the steps of the engine's own workflows.
///
/// A weak hold: the engine keeps its resources, and would otherwise keep itself.
#[derive(Clone, Default)]
pub struct Runs {
    engine: Arc<OnceLock<WeakEngine>>,
}

impl Runs {
    /// The engine.
    ///
    /// # Errors
    /// Retryable `ENGINE_AWAY` while the engine is being opened, and once it is gone.
    pub fn engine(&self) -> Result<Engine, StepError> {
        self.engine.get().and_then(WeakEngine::upgrade).ok_or_else(|| {
            StepError::retryable("ENGINE_AWAY", "the engine is being opened, or is gone")
        })
    }

    fn set(&self, engine: &Engine) {
        // Set once: a handle is made for one engine.
        let _ = self.engine.set(engine.downgrade());
    }
}

/// Whether a workflow type or id is the engine's own.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Adds the engine's own workflows.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.workflow(batch::TYPE, batch::batch).workflow(schedule::TYPE, schedule::schedule)
}

/// How steps that only speak with the engine of their own node are repeated: soon, and for as long as a node may be
/// overloaded.
fn retry() -> Policy {
    Policy {
        initial: Duration::from_millis(200),
        maximum: Duration::from_secs(30),
        attempts: 1_000,
        start_to_close: Duration::from_secs(60),
        total: Duration::from_secs(6 * 3_600),
        ..Policy::step()
    }
}

/// The same for an engine that joins others.
///
/// # Errors
/// Those of [`Engine::join`].
pub async fn join(
    options: Options,
    (log, tables): (Arc<dyn Log>, Arc<dyn Tables>),
    cluster: Cluster,
    seams: Seams,
    registry: Registry,
    resources: Resources,
) -> Result<Engine, Error> {
    let runs = Runs::default();
    let resources = resources.with(runs.clone());
    let registry = register(registry);
    let engine = Engine::join(options, log, tables, cluster, seams, registry, resources).await?;
    runs.set(&engine);
    Ok(engine)
}

/// Opens an engine that runs its own workflows beside those of `registry`.
///
/// # Errors
/// Those of [`Engine::open`].
pub async fn open(
    options: Options,
    log: Arc<dyn Log>,
    tables: Arc<dyn Tables>,
    seams: Seams,
    registry: Registry,
    resources: Resources,
) -> Result<Engine, Error> {
    let runs = Runs::default();
    let resources = resources.with(runs.clone());
    let engine = Engine::open(options, log, tables, seams, register(registry), resources).await?;
    runs.set(&engine);
    Ok(engine)
}
