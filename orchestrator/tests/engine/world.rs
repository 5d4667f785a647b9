//! A world for one test: a simulated disk, a paused clock, a bank that outlives every crash, and an engine on top.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use souk_orchestrator::engine::event::{Body, Event};
use souk_orchestrator::engine::log::sim::{Disk, SimLog, Unsynced};
use souk_orchestrator::engine::row::RunRow;
use souk_orchestrator::engine::seams::{Clock, Seams, SeededRandom, Spawner, TokioClock};
use souk_orchestrator::engine::tables::sim::SimTables;
use souk_orchestrator::engine::{
    Engine, Error, Options, Outcome, Registry, Resources, StartRequest, Started,
};
use tokio::task::AbortHandle;

use super::bank::Bank;
use super::transfer::{self, Transfer};

/// Midnight of some day, in unix milliseconds.
pub const START_MS: i64 = 1_800_000_000_000;
/// Longer than anything in these tests takes, in the paused time.
pub const LONG: Duration = Duration::from_secs(24 * 3600);

/// Tasks that die together.
#[derive(Default)]
pub struct Process {
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Process {
    pub fn kill(&self) {
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Spawner for Process {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(work).abort_handle());
    }

    fn spawn_blocking(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        self.spawn(name, work);
    }
}

/// See the module.
pub struct World {
    pub disk: Disk,
    pub clock: Arc<TokioClock>,
    pub bank: Arc<Bank>,
    pub engine: Engine,
    pub process: Arc<Process>,
    pub options: Options,
    seed: u64,
}

/// Events drain soon, idle runs leave soon.
pub fn quick() -> Options {
    Options {
        drain_delay: Duration::from_millis(20),
        idle_after: Duration::from_millis(100),
        max_idle_runs: 100,
        ..Options::default()
    }
}

impl World {
    pub async fn new(seed: u64) -> World {
        World::with(seed, quick(), transfer::registry()).await
    }

    pub async fn with(seed: u64, options: Options, registry: Registry) -> World {
        let clock = Arc::new(TokioClock::starting_at(START_MS));
        let disk = Disk::new(seed, clock.clone());
        let bank = Arc::new(Bank::default());
        let process = Arc::new(Process::default());
        let engine =
            open(&disk, &clock, &bank, &process, &options, registry, seed).await.expect("opens");
        World { disk, clock, bank, engine, process, options, seed }
    }

    /// Pulls the plug and starts again, with the same code.
    pub async fn restart(&mut self, unsynced: Unsynced) {
        self.restart_with(unsynced, transfer::registry()).await;
    }

    /// Pulls the plug and starts again, with other code.
    pub async fn restart_with(&mut self, unsynced: Unsynced, registry: Registry) {
        self.process.kill();
        self.disk = self.disk.crash(unsynced);
        self.process = Arc::new(Process::default());
        self.seed = self.seed.wrapping_add(1);
        let (disk, clock, bank) = (&self.disk, &self.clock, &self.bank);
        self.engine = open(disk, clock, bank, &self.process, &self.options, registry, self.seed)
            .await
            .expect("opens again");
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
        self.engine.start(StartRequest::new(workflow_id, workflow_type, input).unwrap()).await
    }

    /// The end of a run, however long it takes.
    pub async fn end(&self, workflow_id: &str) -> Outcome {
        let outcome = self.engine.outcome(workflow_id, LONG).await.expect("is known");
        outcome.unwrap_or_else(|| panic!("{workflow_id} does not end"))
    }

    pub async fn row(&self, workflow_id: &str) -> RunRow {
        self.engine.describe(workflow_id).await.expect("is known").row
    }

    /// The history as it is now.
    pub async fn history(&self, workflow_id: &str) -> Vec<Event> {
        let stream = self.engine.history(workflow_id, 0, false).await.expect("is known");
        stream.map(|event| event.expect("can be read").event).collect().await
    }

    /// The kinds of the events of a history, in order, with the names that they carry.
    pub async fn outline(&self, workflow_id: &str) -> Vec<String> {
        self.history(workflow_id).await.iter().map(outline).collect()
    }

    pub async fn signal(&self, workflow_id: &str, name: &str, id: &str) -> Result<(), Error> {
        self.engine.signal(workflow_id, name, id, bytes::Bytes::new()).await.map(drop)
    }

    pub async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

pub async fn open(
    disk: &Disk,
    clock: &Arc<TokioClock>,
    bank: &Arc<Bank>,
    process: &Arc<Process>,
    options: &Options,
    registry: Registry,
    seed: u64,
) -> Result<Engine, Error> {
    let seams = Seams {
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(seed)),
        spawner: process.clone(),
        attempts: None,
    };
    let log = Arc::new(SimLog::new(disk));
    let tables = Arc::new(SimTables::new(disk));
    let resources = Resources::new().with(bank.clone());
    Engine::open(options.clone(), log, tables, seams, registry, resources).await
}

/// What an event is, for people.
pub fn outline(event: &Event) -> String {
    match event.body.as_ref().expect("has a body") {
        Body::Started(_) => "started".into(),
        Body::StepScheduled(step) => format!("schedule {}", step.name),
        Body::StepCompleted(step) => format!("completed {}", step.name),
        Body::StepFailed(step) => format!("failed {}", step.name),
        Body::AttemptFailed(attempt) => format!("attempt {} {}", attempt.attempt, attempt.name),
        Body::StepAbandoned(_) => "step abandoned".into(),
        Body::TimerSet(_) => "timer set".into(),
        Body::TimerFired(_) => "timer fired".into(),
        Body::TimerGivenUp(_) => "timer given up".into(),
        Body::SignalReceived(signal) => format!("signal {}", signal.name),
        Body::UpdateAccepted(update) => format!("update {}", update.name),
        Body::UpdateAnswered(_) => "update answered".into(),
        Body::CancelRequested(_) => "cancel".into(),
        Body::UndoOwed(owed) => format!("owe {}", owed.undo.clone().unwrap_or_default().name),
        Body::CompensationBegan(_) => "compensate".into(),
        Body::UndoScheduled(undo) => format!("undo {}", undo.name),
        Body::UndoSucceeded(undo) => format!("undone {}", undo.name),
        Body::UndoParked(undo) => format!("parked {}", undo.name),
        Body::UndoRetried(undo) => format!("retry {}", undo.name),
        Body::UndoSkipped(undo) => format!("skip {}", undo.name),
        Body::Answered(_) => "answered".into(),
        Body::VersionMarked(mark) => format!("version {} {}", mark.change, mark.version),
        Body::Stuck(stuck) => format!("stuck {}", stuck.code),
        Body::Resumed(_) => "resumed".into(),
        Body::Closed(closed) => format!("closed {:?}", closed.state()),
        Body::Terminated(_) => "terminated".into(),
        Body::Progressed(progress) => format!("progressed {}", progress.name),
        Body::Paused(_) => "paused".into(),
        Body::Unpaused(_) => "unpaused".into(),
        Body::AttributesSet(set) => {
            let names: Vec<&str> = set.changes.iter().map(|set| set.name.as_str()).collect();
            format!("attributes {}", names.join(" "))
        }
    }
}
