//! A world with an engine that runs schedules, and jobs for them to start.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::row::{RunRow, RunState};
use souk_orchestrator::engine::step::{Compensation, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Error, Failure, Filter, Options, Registry, StartRequest};
use souk_orchestrator::system::schedule::command::{Change, Command};
use souk_orchestrator::system::schedule::definition::{
    Action, Definition, Overlap, Policies, Spec,
};
use souk_orchestrator::system::schedule::state::{Answer, Input, Shown};
use souk_orchestrator::system::schedule::{TYPE, workflow_id};
use souk_orchestrator::testing::{TestEnvironment, quick};

use super::calendar::{every, ms};
use crate::engine::world::LONG;

pub const HOUR_MS: i64 = 3_600_000;
/// When every world begins.
pub const START: &str = "2027-03-01T00:00:00Z";
/// The schedule of most tests.
pub const ID: &str = "job";

/// What a job does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// How long it takes, in milliseconds.
    pub takes_ms: u64,
    /// Whether it fails then.
    pub fails: bool,
    /// Whether it does something that must be undone.
    pub owes: bool,
}

#[derive(Deserialize)]
struct Finish;

impl Signal for Finish {
    const NAME: &'static str = "finish";
}

#[derive(Serialize, Deserialize)]
struct Book;

#[derive(Serialize, Deserialize)]
struct Unbook;

impl From<&Book> for Unbook {
    fn from(_: &Book) -> Unbook {
        Unbook
    }
}

impl Step for Book {
    const NAME: &'static str = "book";
    type Output = ();
    type Undo = Unbook;

    async fn run(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }
}

impl Compensation for Unbook {
    const NAME: &'static str = "unbook";

    async fn run(&self, _: &StepContext, _: &Failure) -> Result<(), StepError> {
        Ok(())
    }
}

/// Takes its time, or ends when it is told to.
async fn job(cx: &Cx, job: Job) -> Result<(), Failure> {
    if job.owes {
        cx.saga().step(Book).await?;
    }
    tokio::select! {
        biased;
        finished = cx.signal::<Finish>() => { finished?; }
        passed = cx.sleep(Duration::from_millis(job.takes_ms)) => passed?,
    }
    if job.fails { Err(Failure::new("JOB_FAILED", "as it was told")) } else { Ok(()) }
}

/// See the module.
pub struct World {
    environment: TestEnvironment,
    requests: u32,
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

/// Starts a job every hour that takes `takes_ms`.
pub fn hourly(takes_ms: u64, overlap: Overlap) -> Definition {
    definition(every(HOUR_MS, 0), &Job { takes_ms, ..Job::default() }, overlap)
}

pub fn definition(spec: Spec, job: &Job, overlap: Overlap) -> Definition {
    Definition {
        spec,
        action: Action {
            workflow_type: "job".into(),
            workflow_id_prefix: ID.into(),
            input: serde_json::to_string(job).unwrap(),
        },
        policies: Policies { overlap, catch_up_ms: 24 * HOUR_MS, pause_on_failure: false },
        remaining_actions: None,
    }
}

impl World {
    pub async fn new(seed: u64) -> World {
        // A year's runs are looked at in the end.
        let options = Options { retention: None, ..quick() };
        let builder = TestEnvironment::builder().seed(seed).options(options);
        let builder =
            builder.starting_at_ms(ms(START)).registry(Registry::new().workflow("job", job));
        World { environment: builder.open().await, requests: 0 }
    }

    pub async fn create(&self, definition: &Definition) {
        let input = Input {
            schedule_id: ID.into(),
            request_id: "create".into(),
            definition: definition.clone(),
            paused: None,
            state: None,
        };
        let request = StartRequest::new(workflow_id(ID), TYPE, &input).unwrap();
        self.engine.start(request).await.unwrap();
    }

    pub async fn tell(&mut self, change: Change) -> Result<Answer, Error> {
        self.requests += 1;
        let request_id = format!("request-{}", self.requests);
        self.tell_as(&request_id, change).await
    }

    pub async fn tell_as(&self, request_id: &str, change: Change) -> Result<Answer, Error> {
        let command = Command { request_id: request_id.into(), by: "mara".into(), change };
        let update_id = format!("{request_id}/{:x}", command.fingerprint());
        let json = serde_json::to_vec(&command).unwrap().into();
        let answer = self.engine.update(&workflow_id(ID), "change", &update_id, json, LONG).await?;
        Ok(serde_json::from_slice(&answer.expect("an answer")).unwrap())
    }

    pub async fn shown(&self) -> Shown {
        let view = self.engine.query(&workflow_id(ID), "schedule").await.unwrap();
        serde_json::from_slice(&view).unwrap()
    }

    /// The jobs that were started, by the times in their ids, in the order of these.
    pub async fn jobs(&self) -> BTreeMap<String, RunRow> {
        // The list is some moments behind.
        self.pass(Duration::from_millis(500)).await;
        let filter = Filter::parse(r#"type = "job""#, 0).unwrap();
        let mut jobs = BTreeMap::new();
        let mut before = None;
        loop {
            let page = self.engine.list(&filter, before, 1_000).await.unwrap();
            let Some(last) = page.rows.last() else { return jobs };
            before = Some(last.id());
            for row in page.rows {
                let time = row.workflow_id.strip_prefix("job/").unwrap().to_owned();
                assert!(jobs.insert(time, row).is_none(), "started twice");
            }
        }
    }

    /// The hours (of the first day, on) at which jobs were started for.
    pub async fn hours(&self) -> Vec<i64> {
        let jobs = self.jobs().await;
        jobs.keys().map(|time| (ms(time) - ms(START)) / HOUR_MS).collect()
    }

    /// Where the jobs stand, in the order of their times.
    pub async fn states(&self) -> Vec<RunState> {
        self.jobs().await.values().map(RunRow::state).collect()
    }

    pub async fn finish(&self, time: &str) {
        let job = format!("job/{time}");
        self.engine.signal(&job, "finish", "f", "null".into()).await.unwrap();
    }

    pub async fn pass(&self, duration: Duration) {
        self.skip(duration).await;
    }

    /// Passes time until a moment of the first days, given as hours and minutes since the start.
    pub async fn until(&self, hours: i64, minutes: i64) {
        let at_ms = ms(START) + hours * HOUR_MS + minutes * 60_000;
        let left_ms = u64::try_from(at_ms - self.now_ms()).expect("is in the future");
        self.pass(Duration::from_millis(left_ms)).await;
    }
}
