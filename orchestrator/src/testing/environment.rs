//! The real engine in a world that a test rules.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::faults::Faults;
use super::process::Process;
use super::time::{self, HeldTime};
use crate::engine::log::sim::{Disk, SimLog, Unsynced};
use crate::engine::seams::{Clock, Seams, SeededRandom, TokioClock};
use crate::engine::tables::sim::SimTables;
use crate::engine::{Engine, Error, Options, Registry, Resources};
use crate::system;

/// When a world begins unless its test says otherwise: a midnight (UTC), in unix milliseconds.
pub const START_MS: i64 = 1_800_000_000_000;

/// Events drain soon and idle runs leave memory soon, so that a short test takes the ways that a long day takes.
pub fn quick() -> Options {
    Options {
        drain_delay: Duration::from_millis(20),
        idle_after: Duration::from_millis(100),
        max_idle_runs: 100,
        ..Options::default()
    }
}

/// What a test was promised: after a crash it must be there still.
#[derive(Clone)]
pub(super) enum Promise {
    /// A run was started.
    Started { workflow_id: String },
    /// A signal was taken.
    Signalled { workflow_id: String, name: String, signal_id: String, payload: Bytes },
}

/// An engine on a simulated disk, in time that skips whenever nothing else can happen; see [`super`].
///
/// What the helpers do not offer is done with the parts, which are public: other calls with [`TestEnvironment::engine`],
/// failures of the disk with [`TestEnvironment::disk`].
pub struct TestEnvironment {
    /// The engine that runs now; another one after each crash.
    pub engine: Engine,
    /// The disk that it is on; another one after each crash.
    pub disk: Disk,
    /// The time that engine and workflows see. Participants that look at a clock look at this one.
    pub clock: Arc<TokioClock>,
    /// What goes wrong with steps and undos. Outlives crashes.
    pub faults: Faults,
    /// What the next engine is opened with, too.
    pub options: Options,
    pub(super) promises: Mutex<Vec<Promise>>,
    /// The engine's tasks.
    process: Arc<Process>,
    registry: Registry,
    resources: Resources,
    seed: u64,
}

/// See [`TestEnvironment::builder`].
pub struct Builder {
    registry: Registry,
    resources: Resources,
    options: Options,
    seed: u64,
    clock: Arc<TokioClock>,
}

impl Builder {
    /// The workflows.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Builder {
        self.registry = registry;
        self
    }

    /// Adds what steps work with. Keep a clone of what the test wants to look at: all engines share one.
    #[must_use]
    pub fn resource<T: Send + Sync + 'static>(mut self, value: T) -> Builder {
        self.resources = self.resources.with(value);
        self
    }

    /// How the engine behaves, instead of [`quick`].
    #[must_use]
    pub fn options(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// Ids, jitter and what survives a power failure follow from it: the same seed gives the same course.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// When the world begins, in unix milliseconds, instead of [`START_MS`].
    #[must_use]
    pub fn starting_at_ms(mut self, start_ms: i64) -> Builder {
        self.clock = Arc::new(TokioClock::starting_at(start_ms));
        self
    }

    /// The clock of the world, for participants that are made before it.
    pub fn clock(&self) -> Arc<TokioClock> {
        self.clock.clone()
    }

    /// Opens the engine, with [the engine's own workflows](system) beside those of the registry.
    ///
    /// # Panics
    /// If it does not open, which an empty disk is no reason for.
    pub async fn open(self) -> TestEnvironment {
        let Builder { registry, resources, options, seed, clock } = self;
        let disk = Disk::new(seed, clock.clone());
        let (faults, process) = (Faults::default(), Arc::new(Process::default()));
        let seams = seams(&clock, &process, &faults, seed);
        let engine = open(&disk, seams, &options, &registry, &resources).await;
        let engine = engine.expect("an engine opens on an empty disk");
        let promises = Mutex::default();
        TestEnvironment {
            engine,
            disk,
            clock,
            faults,
            process,
            options,
            promises,
            registry,
            resources,
            seed,
        }
    }
}

impl TestEnvironment {
    /// A world to be, in the runtime of the caller, whose time skips from here on. `start_paused = true` is not needed and
    /// does no harm.
    ///
    /// # Panics
    /// Outside a current-thread tokio runtime, which is what `#[tokio::test]` gives.
    pub fn builder() -> Builder {
        time::skip_from_here_on();
        Builder {
            registry: Registry::new(),
            resources: Resources::new(),
            options: quick(),
            seed: 1,
            clock: Arc::new(TokioClock::starting_at(START_MS)),
        }
    }

    /// Now, in unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets time pass: all that is due within it happens, in its order.
    pub async fn skip(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Makes time stand still until what is returned is dropped: what happens meanwhile happens at once, or it does not
    /// happen. Waiting for something that needs time fails after [`HELD_AT_MOST`](super::HELD_AT_MOST) of real time.
    pub fn hold_time(&self) -> HeldTime {
        HeldTime::new()
    }

    /// Pulls the plug: nothing of the engine goes on. What was under way at participants goes on there.
    pub fn stop(&self) {
        self.process.kill();
    }

    /// Crashes, if [`TestEnvironment::stop`] has not done so, and starts again with the same code. `unsynced` says what
    /// becomes of what was written and not synced.
    pub async fn restart(&mut self, unsynced: Unsynced) {
        self.try_restart(unsynced).await.expect("an engine opens on what a crash has left");
    }

    /// Like [`TestEnvironment::restart`], with other code, which later restarts keep: a roll-out.
    pub async fn restart_with(&mut self, unsynced: Unsynced, registry: Registry) {
        self.registry = registry;
        self.restart(unsynced).await;
    }

    /// Like [`TestEnvironment::restart`].
    ///
    /// # Errors
    /// If the engine does not open on what the crash has left.
    pub async fn try_restart(&mut self, unsynced: Unsynced) -> Result<(), Error> {
        self.process.kill();
        self.disk = self.disk.crash(unsynced);
        self.process = Arc::new(Process::default());
        self.seed = self.seed.wrapping_add(1);
        let seams = seams(&self.clock, &self.process, &self.faults, self.seed);
        self.engine =
            open(&self.disk, seams, &self.options, &self.registry, &self.resources).await?;
        Ok(())
    }
}

/// A test that makes many worlds has one that lives at a time.
impl Drop for TestEnvironment {
    fn drop(&mut self) {
        self.process.kill();
    }
}

fn seams(clock: &Arc<TokioClock>, process: &Arc<Process>, faults: &Faults, seed: u64) -> Seams {
    Seams {
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(seed)),
        spawner: process.clone(),
        attempts: Some(Arc::new(faults.clone())),
    }
}

async fn open(
    disk: &Disk,
    seams: Seams,
    options: &Options,
    registry: &Registry,
    resources: &Resources,
) -> Result<Engine, Error> {
    let (log, tables) = (Arc::new(SimLog::new(disk)), Arc::new(SimTables::new(disk)));
    system::open(options.clone(), log, tables, seams, registry.clone(), resources.clone()).await
}
