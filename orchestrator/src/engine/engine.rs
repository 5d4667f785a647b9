//! The engine's handle: what the rest of the node may ask of it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

mod anywhere;
mod check;
mod child;
mod control;
mod footprint;
mod message;
mod nodes;
mod open_runs;
mod peer;
mod query;
mod reset;
mod reuse;
mod start;
mod turns;
mod unmoved;
mod view;

use super::cell::{Held, Outcome, Published};
use super::cluster::{self, Cluster, Joined};
use super::committer::{Committer, commit_all};
use super::core::{Core, Options};
use super::directory::{Directory, Found};
use super::drainer::{Drainer, drain_all};
use super::error::Error;
use super::idle::{Idle, evict_all};
use super::ids::LogId;
use super::limits::MAX_TURNS_FOLLOWED;
use super::log::Log;
use super::ownership::Ownership;
use super::partition::PartitionSet;
use super::recovery::{load_active, recover};
use super::registry::Registry;
use super::resources::Resources;
use super::retention::expire_all;
use super::row::{RunRow, RunState};
use super::seams::Seams;
use super::tables::Tables;
use super::timers::{Timers, fire_all};
pub use anywhere::Anywhere;
pub use child::ChildEnd;
pub(in crate::engine) use child::tell_until_known;
pub use footprint::Footprint;
pub use open_runs::OpenRun;
pub use reset::WasReset;
pub use start::{StartRequest, Started};
use turns::NextTurn;
pub use turns::RunRef;
pub use unmoved::Unmoved;
pub use view::{Counted, Description, HistoryEvent, ListPage};

/// A running engine. Cheap to clone; [`Engine::shutdown`] ends it.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
}

/// An engine that may be gone: for what the engine itself keeps.
#[derive(Clone)]
pub struct WeakEngine {
    core: Weak<Core>,
}

impl WeakEngine {
    /// The engine, if it is still there.
    pub fn upgrade(&self) -> Option<Engine> {
        Some(Engine { core: self.core.upgrade()? })
    }
}

/// What those who wait for a run's answer get.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The workflow has answered; JSON.
    Answered(Bytes),
    /// The run has ended without an answer.
    Closed(Outcome),
    /// Neither, within the time that the caller wanted to wait.
    Pending,
}

impl Engine {
    /// Recovers what is on record and goes on from there. A first start is a recovery of nothing.
    ///
    /// # Errors
    /// If log or tables cannot be read or written, or are damaged. What was acknowledged is untouched then.
    pub async fn open(
        options: Options,
        log: Arc<dyn Log>,
        tables: Arc<dyn Tables>,
        seams: Seams,
        registry: Registry,
        resources: Resources,
    ) -> Result<Engine, Error> {
        let writer = new_writer(&seams);
        let log_id = recover(&*log, &*tables, &seams, &writer).await?;
        let alone = Place { log_id, writer, ownership: Ownership::All, cluster: None };
        let stores = (log, tables);
        let engine = Engine::begin_with(options, alone, stores, seams, registry, resources);
        let load = load_active(engine.core.clone(), PartitionSet::all());
        engine.core.seams.spawner.spawn("engine-load", Box::pin(load));
        Ok(engine)
    }

    /// Joins the nodes that share log and tables: takes a log of its own, and serves what is assigned to it as soon as the
    /// others have handed it over. See [`cluster`](super::cluster).
    ///
    /// # Errors
    /// If the record of nodes cannot be changed.
    pub async fn join(
        options: Options,
        log: Arc<dyn Log>,
        tables: Arc<dyn Tables>,
        cluster: Cluster,
        seams: Seams,
        registry: Registry,
        resources: Resources,
    ) -> Result<Engine, Error> {
        let place = Place {
            log_id: cluster::join(&cluster, &seams).await?,
            writer: new_writer(&seams),
            ownership: Ownership::shared(seams.clock.clone()),
            cluster: Some(Joined::new(&cluster)),
        };
        let stores = (log, tables);
        let engine = Engine::begin_with(options, place, stores, seams, registry, resources);
        cluster::begin(&engine.core);
        Ok(engine)
    }

    /// An engine with all tasks that it has alone or among others.
    fn begin_with(
        options: Options,
        place: Place,
        (log, tables): (Arc<dyn Log>, Arc<dyn Tables>),
        seams: Seams,
        registry: Registry,
        resources: Resources,
    ) -> Engine {
        let Place { log_id, writer, ownership, cluster } = place;
        let ownership = Arc::new(ownership);
        let idle = Arc::new(Idle::new(seams.clock.clone(), options.max_idle_runs));
        let core = Arc::new(Core {
            options,
            log,
            log_id,
            writer,
            tables,
            seams,
            registry,
            resources: Arc::new(resources),
            directory: Directory::new(idle.clone(), ownership.clone()),
            committer: Committer::default(),
            drainer: Drainer::default(),
            timers: Timers::new(),
            idle,
            trouble: Notify::new(),
            ownership,
            cluster,
            accepting: AtomicBool::new(true),
            fenced: CancellationToken::new(),
            stop: CancellationToken::new(),
            log_stop: CancellationToken::new(),
            drain_stop: CancellationToken::new(),
            drained: CancellationToken::new(),
            over: CancellationToken::new(),
        });
        let spawner = core.seams.spawner.clone();
        spawner.spawn_blocking("engine-commit", Box::pin(commit_all(core.clone())));
        spawner.spawn_blocking("engine-drain", Box::pin(drain_all(core.clone())));
        spawner.spawn("engine-timers", Box::pin(fire_all(core.clone())));
        spawner.spawn("engine-evict", Box::pin(evict_all(core.clone())));
        spawner.spawn_blocking("engine-expire", Box::pin(expire_all(core.clone())));
        spawner.spawn("engine-watch", Box::pin(unmoved::watch(core.clone())));
        Engine { core }
    }

    /// A hold of the engine that does not keep it.
    pub fn downgrade(&self) -> WeakEngine {
        WeakEngine { core: Arc::downgrade(&self.core) }
    }

    /// Waits for the answer of a run, for a while.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn answer(&self, workflow_id: &str, wait: Duration) -> Result<Answer, Error> {
        match self.core.hold(workflow_id).await {
            Ok(held) => self.wait_in(held, wait).await,
            Err(Error::Closed { .. }) => Ok(answer_of(&self.row(workflow_id).await?)),
            Err(error) => Err(error),
        }
    }

    /// Waits for the end of a run, for a while. A turn that continues as new is not the end.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn outcome(
        &self,
        workflow_id: &str,
        wait: Duration,
    ) -> Result<Option<Outcome>, Error> {
        tokio::select! {
            biased;
            outcome = self.end(workflow_id) => outcome,
            () = self.core.seams.clock.sleep(wait) => Ok(None),
        }
    }

    async fn end(&self, workflow_id: &str) -> Result<Option<Outcome>, Error> {
        let mut held = match self.core.hold(workflow_id).await {
            Ok(held) => held,
            Err(Error::Closed { .. }) => return Ok(Outcome::of_row(&self.row(workflow_id).await?)),
            Err(error) => return Err(error),
        };
        loop {
            let look = |published: &Published| published.closed.clone();
            let closed = self.core.wait_published(&held, look).await?;
            if closed.state != RunState::Continued {
                return Ok(Some(closed));
            }
            held = match self.turn_after(&held).await? {
                NextTurn::Open(next) => next,
                NextTurn::Ended(row) => return Ok(Outcome::of_row(&row)),
            };
        }
    }

    async fn wait_in(&self, held: Held, wait: Duration) -> Result<Answer, Error> {
        tokio::select! {
            biased;
            answer = self.first_answer(held) => answer,
            () = self.core.seams.clock.sleep(wait) => Ok(Answer::Pending),
        }
    }

    async fn first_answer(&self, mut held: Held) -> Result<Answer, Error> {
        loop {
            let look = |published: &Published| {
                let answer = published.answer.clone().map(Answer::Answered);
                answer.or_else(|| published.closed.clone().map(Answer::Closed))
            };
            let answer = self.core.wait_published(&held, look).await?;
            if !matches!(&answer, Answer::Closed(end) if end.state == RunState::Continued) {
                return Ok(answer);
            }
            held = match self.turn_after(&held).await? {
                NextTurn::Open(next) => next,
                NextTurn::Ended(row) => return Ok(answer_of(&row)),
            };
        }
    }

    /// Does something with the turn of a run that is open now: one that is just ending may continue as new.
    async fn in_open_turn<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        for _ in 0..MAX_TURNS_FOLLOWED {
            match attempt().await {
                Err(Error::Closed { state: RunState::Continued, .. }) => {}
                done => return done,
            }
        }
        Err(Error::Overloaded("the run continues as new too quickly"))
    }

    /// The row of a run, wherever it is, as far as it is durable.
    pub(super) async fn row(&self, workflow_id: &str) -> Result<RunRow, Error> {
        if let Found::Here(held) = self.core.directory.find(workflow_id)? {
            if held.durable() == 0 {
                // The turn before it may be what the tables know.
                self.core.wait_durable(&held, 1).await?;
            }
            if let Some(row) = held.durable_row()? {
                return Ok(Arc::unwrap_or_clone(row));
            }
        }
        let row = self.core.tables.run_by_workflow_id(workflow_id).await?;
        // Another node may have gone on with the run while the tables were read.
        self.core.ownership.check(workflow_id)?;
        row.ok_or_else(|| Error::NotFound(workflow_id.to_owned()))
    }

    /// Resolves when this node has lost its log: it must end, and may start anew.
    pub async fn fenced(&self) {
        self.core.fenced.cancelled().await;
    }

    /// How far the tables are behind the log: bytes of slots, and the age of the oldest of them in milliseconds.
    #[must_use]
    pub fn undrained(&self) -> (u64, u64) {
        let drainer = &self.core.drainer;
        let age_ms =
            drainer.oldest_ms().map_or(0, |at_ms| self.core.now_ms().saturating_sub(at_ms));
        (drainer.lag_bytes(), u64::try_from(age_ms).unwrap_or(0))
    }

    /// Ends the engine: what is acknowledged is in the tables then, steps under way are begun again at the next start.
    ///
    /// # Errors
    /// If the tables cannot be synced. Nothing is lost then: the log still has it.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let core = &self.core;
        core.accepting.store(false, Ordering::Relaxed);
        core.stop.cancel();
        while !core.committer.is_empty() && !core.fenced.is_cancelled() {
            core.seams.clock.sleep(Duration::from_millis(1)).await;
        }
        core.log_stop.cancel();
        core.drain_stop.cancel();
        core.drained.cancelled().await;
        core.tables.sync().await?;
        if core.cluster.is_some() && !core.fenced.is_cancelled() {
            core.stop_serving();
            // Nobody needs to wait for this node to be dead.
            cluster::seal_own_log(core).await?;
        }
        Ok(())
    }
}

/// Where an engine has its place: alone, or among others.
struct Place {
    log_id: LogId,
    writer: [u8; 16],
    ownership: Ownership,
    cluster: Option<Joined>,
}

fn new_writer(seams: &Seams) -> [u8; 16] {
    let mut writer = [0; 16];
    writer[..8].copy_from_slice(&seams.random.next_u64().to_le_bytes());
    writer[8..].copy_from_slice(&seams.random.next_u64().to_le_bytes());
    writer
}

fn answer_of(row: &RunRow) -> Answer {
    let answer = row.answer.clone().map(Answer::Answered);
    answer.or_else(|| Outcome::of_row(row).map(Answer::Closed)).unwrap_or(Answer::Pending)
}
