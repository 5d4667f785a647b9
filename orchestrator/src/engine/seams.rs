//! Time, randomness and spawning, as the engine is given them.
//!
//! The engine and the workflows never reach for the ambient ones: a test runs the whole engine on seeded randomness and
//! on tokio's paused time, where a month passes at once and every run of a seed is alike.

#![allow(clippy::disallowed_methods)] // the one place that reaches for what is ambient

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rand::{RngCore, SeedableRng, rngs::StdRng};

use super::attempt::Attempts;

/// Wall time, and waiting for it.
pub trait Clock: Send + Sync + 'static {
    /// Now, in unix milliseconds. It may jump backwards; the engine's event times do not.
    fn now_ms(&self) -> i64;
    /// Milliseconds of a clock that nobody sets and that never goes back. It shows nothing but how much time has passed.
    fn steady_ms(&self) -> u64;
    /// Resolves after a while.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness for ids and for the jitter of retries. Not for secrets.
pub trait Random: Send + Sync + 'static {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;
}

/// Starts work that runs beside the caller.
pub trait Spawner: Send + Sync + 'static {
    /// Runs a future to its end.
    fn spawn(&self, name: &'static str, work: BoxFuture<'static, ()>);
    /// Runs a future that blocks (on a disk) where it holds nobody up.
    fn spawn_blocking(&self, name: &'static str, work: BoxFuture<'static, ()>);
}

/// All seams of one engine.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Spawning.
    pub spawner: Arc<dyn Spawner>,
    /// What stands around every attempt of steps and undos: nothing, but in tests.
    pub attempts: Option<Arc<dyn Attempts>>,
}

impl Seams {
    /// The real ones, on the tokio runtime that the caller is in.
    pub fn system() -> Seams {
        Seams {
            clock: Arc::new(SystemClock),
            random: Arc::new(SeededRandom::from_os()),
            spawner: Arc::new(TokioSpawner { runtime: tokio::runtime::Handle::current() }),
            attempts: None,
        }
    }
}

/// The machine's clock, and tokio's timer.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn steady_ms(&self) -> u64 {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(ORIGIN.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Tokio's time, counted from a given wall time: under `start_paused` it stands still until everything waits for it.
pub struct TokioClock {
    start_ms: i64,
    started: tokio::time::Instant,
    /// By how much it was set, in milliseconds.
    jumped_ms: AtomicI64,
}

impl TokioClock {
    /// A clock that shows `start_ms` now.
    pub fn starting_at(start_ms: i64) -> TokioClock {
        TokioClock { start_ms, started: tokio::time::Instant::now(), jumped_ms: AtomicI64::new(0) }
    }

    /// Sets the clock ahead, or back, by so many milliseconds. Who waits does not notice.
    pub fn jump_ms(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let jumped_ms = self.jumped_ms.load(Ordering::Relaxed);
        self.start_ms.saturating_add(passed).saturating_add(jumped_ms)
    }

    fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A seeded generator behind a lock.
pub struct SeededRandom {
    generator: parking_lot::Mutex<StdRng>,
}

impl SeededRandom {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom { generator: parking_lot::Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    /// Seeded by the operating system.
    pub fn from_os() -> SeededRandom {
        SeededRandom { generator: parking_lot::Mutex::new(StdRng::from_os_rng()) }
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        self.generator.lock().next_u64()
    }
}

/// Tokio tasks, and a thread of its own for work that blocks.
pub struct TokioSpawner {
    runtime: tokio::runtime::Handle,
}

impl Spawner for TokioSpawner {
    fn spawn(&self, _name: &'static str, work: BoxFuture<'static, ()>) {
        self.runtime.spawn(work);
    }

    fn spawn_blocking(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        let runtime = self.runtime.clone();
        let spawned =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work));
        if let Err(error) = spawned {
            tracing::error!(%error, name, "no thread could be started");
        }
    }
}
