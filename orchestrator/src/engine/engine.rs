//! The engine's handle: what the rest of the node may ask of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

mod control;
mod message;
mod view;

use super::cell::{Held, Outcome, RunCell};
use super::committer::{Committer, commit_all};
use super::core::{Core, Options, check_payload, check_size};
use super::directory::{Directory, Found};
use super::drainer::{Drainer, drain_all};
use super::error::Error;
use super::event::Started as StartedEvent;
use super::idle::{Idle, evict_all};
use super::ids::RunId;
use super::limits::MAX_ID_BYTES;
use super::log::Log;
use super::recovery::{load_active, recover};
use super::registry::Registry;
use super::resources::Resources;
use super::row::RunRow;
use super::run::Run;
use super::seams::Seams;
use super::tables::Tables;
use super::timers::{Timers, fire_all};
pub use view::{Description, HistoryEvent, ListPage};

/// A running engine. Cheap to clone; [`Engine::shutdown`] ends it.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
}

/// What a run is started with.
#[derive(Clone, Debug, Default)]
pub struct StartRequest {
    /// The caller's name for the run. A second start under it joins the first, if type and input are the same.
    pub workflow_id: String,
    /// The name under which the workflow is registered.
    pub workflow_type: String,
    /// JSON.
    pub input: Bytes,
    /// W3C trace context, or empty.
    pub traceparent: String,
}

impl StartRequest {
    /// A request with a typed input.
    ///
    /// # Errors
    /// If the input cannot be written as JSON.
    pub fn new<I: serde::Serialize>(
        workflow_id: impl Into<String>,
        workflow_type: impl Into<String>,
        input: &I,
    ) -> Result<StartRequest, serde_json::Error> {
        Ok(StartRequest {
            workflow_id: workflow_id.into(),
            workflow_type: workflow_type.into(),
            input: serde_json::to_vec(input)?.into(),
            traceparent: String::new(),
        })
    }

    fn fingerprint(&self) -> Bytes {
        let mut hash = Sha256::new();
        hash.update((self.workflow_type.len() as u64).to_le_bytes());
        hash.update(self.workflow_type.as_bytes());
        hash.update(&self.input);
        Bytes::copy_from_slice(&hash.finalize())
    }
}

/// A run that was started, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The run's id.
    pub run_id: RunId,
    /// Whether this request started it; otherwise an equal one did before.
    pub is_new: bool,
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
    /// If log or tables cannot be read or written, or are damaged: nothing is changed then.
    pub async fn open(
        options: Options,
        log: Arc<dyn Log>,
        tables: Arc<dyn Tables>,
        seams: Seams,
        registry: Registry,
        resources: Resources,
    ) -> Result<Engine, Error> {
        let mut writer = [0; 16];
        writer[..8].copy_from_slice(&seams.random.next_u64().to_le_bytes());
        writer[8..].copy_from_slice(&seams.random.next_u64().to_le_bytes());
        let log_id = recover(&*log, &*tables, &seams, &writer).await?;
        let idle = Arc::new(Idle::new(seams.clock.clone()));
        let core = Arc::new(Core {
            options,
            log,
            log_id,
            writer,
            tables,
            seams,
            registry,
            resources: Arc::new(resources),
            directory: Directory::new(idle.clone()),
            committer: Committer::default(),
            drainer: Drainer::default(),
            timers: Timers::new(),
            idle,
            accepting: AtomicBool::new(true),
            fenced: CancellationToken::new(),
            stop: CancellationToken::new(),
            log_stop: CancellationToken::new(),
            drain_stop: CancellationToken::new(),
            drained: CancellationToken::new(),
        });
        let spawner = core.seams.spawner.clone();
        spawner.spawn_blocking("engine-commit", Box::pin(commit_all(core.clone())));
        spawner.spawn_blocking("engine-drain", Box::pin(drain_all(core.clone())));
        spawner.spawn("engine-timers", Box::pin(fire_all(core.clone())));
        spawner.spawn("engine-evict", Box::pin(evict_all(core.clone())));
        spawner.spawn("engine-load", Box::pin(load_active(core.clone())));
        Ok(Engine { core })
    }

    /// Starts a run, or finds the one that an equal request started. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the workflow id belongs to a run with another type or input; [`Error::UnknownType`],
    /// [`Error::InvalidInput`], [`Error::TooLarge`]; [`Error::Overloaded`]: try again.
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        let (started, held) = self.start_and_hold(request).await?;
        if let Some(held) = held {
            self.core.wait_durable(&held, 1).await?;
        }
        Ok(started)
    }

    /// Like [`Engine::start`], and waits for the workflow's answer for a while. Every equal request gets the same one.
    ///
    /// # Errors
    /// Those of [`Engine::start`].
    pub async fn start_and_wait(
        &self,
        request: StartRequest,
        wait: Duration,
    ) -> Result<(Started, Answer), Error> {
        let workflow_id = request.workflow_id.clone();
        let (started, held) = self.start_and_hold(request).await?;
        let answer = match held {
            Some(held) => {
                self.core.wait_durable(&held, 1).await?;
                self.wait_in(&held, wait).await?
            }
            None => self.answer(&workflow_id, wait).await?,
        };
        Ok((started, answer))
    }

    /// Waits for the answer of a run, for a while.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn answer(&self, workflow_id: &str, wait: Duration) -> Result<Answer, Error> {
        let held = match self.core.hold(workflow_id).await {
            Ok(held) => held,
            Err(Error::Closed { .. }) => {
                let row = self.row(workflow_id).await?;
                return Ok(answer_of(&row));
            }
            Err(error) => return Err(error),
        };
        self.wait_in(&held, wait).await
    }

    /// Waits for the end of a run, for a while.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn outcome(
        &self,
        workflow_id: &str,
        wait: Duration,
    ) -> Result<Option<Outcome>, Error> {
        let held = match self.core.hold(workflow_id).await {
            Ok(held) => held,
            Err(Error::Closed { .. }) => {
                return Ok(Outcome::of_row(&self.row(workflow_id).await?));
            }
            Err(error) => return Err(error),
        };
        let closed = self.core.wait_for(&held, || held.published.lock().closed.clone());
        tokio::select! {
            biased;
            outcome = closed => outcome.map(Some),
            () = self.core.seams.clock.sleep(wait) => Ok(None),
        }
    }

    async fn wait_in(&self, held: &Held, wait: Duration) -> Result<Answer, Error> {
        let look = || {
            let published = held.published.lock();
            let answer = published.answer.clone().map(Answer::Answered);
            answer.or_else(|| published.closed.clone().map(Answer::Closed))
        };
        tokio::select! {
            biased;
            answer = self.core.wait_for(held, look) => answer,
            () = self.core.seams.clock.sleep(wait) => Ok(Answer::Pending),
        }
    }

    /// Starts or finds the run; its cell if it is in memory.
    async fn start_and_hold(
        &self,
        request: StartRequest,
    ) -> Result<(Started, Option<Held>), Error> {
        check_size("the workflow id's bytes", request.workflow_id.len(), MAX_ID_BYTES)?;
        check_payload(&request.workflow_type, &request.input)?;
        let core = &self.core;
        core.check_open()?;
        let definition = core
            .registry
            .get(&request.workflow_type)
            .ok_or_else(|| Error::UnknownType(request.workflow_type.clone()))?;
        let fingerprint = request.fingerprint();
        loop {
            let departures = match core.directory.find(&request.workflow_id) {
                Found::Here(held) => return joined(&held.fingerprint.clone(), &fingerprint, held),
                Found::Absent(departures) => departures,
            };
            if let Some(row) = core.tables.run_by_workflow_id(&request.workflow_id).await? {
                same(&row.input_fingerprint, &fingerprint, &request.workflow_id)?;
                return Ok((Started { run_id: row.id(), is_new: false }, None));
            }
            core.admit_start()?;
            let workflow_id: Arc<str> = request.workflow_id.as_str().into();
            let cell = Arc::new(RunCell::new(core.new_run_id(), workflow_id, fingerprint.clone()));
            // Before the cell can be seen: who finds it waits for the lock, and finds the run.
            let mut guard = cell.run.lock();
            let event = StartedEvent {
                workflow_id: request.workflow_id.clone(),
                workflow_type: request.workflow_type.clone(),
                input: request.input.clone(),
                fingerprint: fingerprint.clone(),
                traceparent: request.traceparent.clone(),
            };
            definition.check(&event.input).map_err(|error| Error::InvalidInput {
                what: request.workflow_type.clone(),
                problem: error.to_string(),
            })?;
            let Some(held) = core.directory.insert(cell.clone(), departures) else { continue };
            if !Arc::ptr_eq(&held, &cell) {
                return joined(&held.fingerprint.clone(), &fingerprint, held);
            }
            let (mut run, events) = Run::start(&**definition, cell.run_id, event, core.now_ms())
                .map_err(|error| {
                    core.directory.remove(&cell);
                    let problem = error.to_string();
                    Error::InvalidInput { what: request.workflow_type.clone(), problem }
                })?;
            core.commit(&cell, &mut run, &events);
            if run.is_closed() {
                run.unload();
            }
            *guard = Some(Box::new(run));
            return Ok((Started { run_id: cell.run_id, is_new: true }, Some(held)));
        }
    }

    /// The row of a run, wherever it is, as far as it is durable.
    pub(super) async fn row(&self, workflow_id: &str) -> Result<RunRow, Error> {
        if let Found::Here(held) = self.core.directory.find(workflow_id)
            && let Some(row) = held.durable_row()?
        {
            return Ok(row);
        }
        let row = self.core.tables.run_by_workflow_id(workflow_id).await?;
        row.ok_or_else(|| Error::NotFound(workflow_id.to_owned()))
    }

    /// Resolves when this node has lost its log: it must end, and may start anew.
    pub async fn fenced(&self) {
        self.core.fenced.cancelled().await;
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
        Ok(())
    }
}

fn same(recorded: &Bytes, wanted: &Bytes, workflow_id: &str) -> Result<(), Error> {
    if recorded == wanted {
        return Ok(());
    }
    Err(Error::Conflict { workflow_id: workflow_id.to_owned() })
}

fn joined(recorded: &Bytes, wanted: &Bytes, held: Held) -> Result<(Started, Option<Held>), Error> {
    same(recorded, wanted, &held.workflow_id)?;
    Ok((Started { run_id: held.run_id, is_new: false }, Some(held)))
}

fn answer_of(row: &RunRow) -> Answer {
    let answer = row.answer.clone().map(Answer::Answered);
    answer.or_else(|| Outcome::of_row(row).map(Answer::Closed)).unwrap_or(Answer::Pending)
}
