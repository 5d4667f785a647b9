//! The test environment: what it promises to those who test with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::{Signal, Update, View};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::{Disk, START_MS, TestEnvironment, Unsynced};

/// What was written down, in order.
type Journal = Arc<Mutex<Vec<String>>>;

#[derive(Serialize, Deserialize)]
struct Write(String);

impl Step for Write {
    const NAME: &'static str = "write";
    type Output = usize;
    type Undo = Irreversible;

    async fn run(&self, context: &StepContext) -> Result<usize, StepError> {
        let mut journal = context.resource::<Journal>()?.lock();
        journal.push(self.0.clone());
        Ok(journal.len())
    }
}

#[derive(Serialize, Deserialize)]
struct Word(String);

impl Signal for Word {
    const NAME: &'static str = "word";
}

#[derive(Serialize, Deserialize)]
struct Count;

impl Update for Count {
    const NAME: &'static str = "count";
    type Answer = usize;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Written {
    last: String,
}

impl View for Written {
    const NAME: &'static str = "written";
}

/// Writes down a word a day until it is told that it is enough.
async fn diary(cx: &Cx, first: String) -> Result<usize, Failure> {
    let mut counts = cx.updates(|_: &Count| Ok(()));
    let mut written = cx.step(Write(first.clone())).await?;
    cx.answer(&written);
    cx.publish(&Written { last: first });
    loop {
        tokio::select! {
            biased;
            asked = counts.receive() => asked?.answer(&written),
            word = cx.signal::<Word>() => {
                let Word(last) = word?;
                if last == "enough" {
                    return Ok(written);
                }
                cx.sleep(Duration::from_secs(24 * 3600)).await?;
                written = cx.step(Write(last.clone())).await?;
                cx.publish(&Written { last });
            }
        }
    }
}

/// The same in other words.
async fn laconic(cx: &Cx, first: String) -> Result<usize, Failure> {
    cx.step(Write(first)).await?;
    cx.signal::<Word>().await?;
    Ok(0)
}

async fn world() -> (TestEnvironment, Journal) {
    let journal = Journal::default();
    let registry = Registry::new().workflow("diary", diary);
    let builder = TestEnvironment::builder().registry(registry).resource(journal.clone());
    (builder.open().await, journal)
}

fn word(word: &str) -> Word {
    Word(word.to_owned())
}

#[tokio::test]
async fn what_is_told_and_asked_keeps_its_types() {
    let (environment, journal) = world().await;
    environment.start("d", "diary", &"dear").await.unwrap();
    assert_eq!(environment.answer::<usize>("d").await, 1);
    assert!(environment.signal("d", "1", &word("diary")).await.unwrap());
    assert!(!environment.signal("d", "1", &word("diary")).await.unwrap(), "a repetition");
    // A day passes while nobody does anything.
    environment.until("d", "timer fired").await;
    assert_eq!(environment.update("d", "u", &Count).await.unwrap(), 2);
    let view: Written = environment.query("d").await.unwrap();
    assert_eq!(view, Written { last: "diary".into() });
    environment.signal("d", "2", &word("enough")).await.unwrap();
    assert_eq!(environment.result::<usize>("d").await, 2);
    assert_eq!(environment.end("d").await.state, RunState::Completed);
    assert_eq!(*journal.lock(), ["dear", "diary"]);
    assert_eq!(
        environment.outline("d").await[..3],
        ["started", "schedule write", "completed write"]
    );
}

#[tokio::test]
async fn time_passes_only_if_nothing_else_can_happen_and_can_be_held() {
    let (environment, journal) = world().await;
    assert_eq!(environment.now_ms(), START_MS);
    let time = environment.hold_time();
    environment.start("d", "diary", &"dear").await.unwrap();
    environment.until("d", "completed write").await;
    environment.signal("d", "1", &word("diary")).await.unwrap();
    environment.until("d", "timer set").await;
    assert_eq!(environment.now_ms(), START_MS);
    drop(time);
    environment.skip(Duration::from_secs(23 * 3600)).await;
    assert_eq!(*journal.lock(), ["dear"]);
    environment.skip(Duration::from_secs(2 * 3600)).await;
    assert_eq!(*journal.lock(), ["dear", "diary"]);
    let passed_ms = environment.now_ms() - START_MS;
    assert!((25 * 3_600_000..25 * 3_600_000 + 10).contains(&passed_ms), "{passed_ms}");
}

#[tokio::test]
async fn a_world_begins_when_it_is_told_to() {
    let environment = TestEnvironment::builder().starting_at_ms(12).open().await;
    assert_eq!(environment.now_ms(), 12);
}

#[tokio::test(start_paused = true)]
async fn time_that_was_paused_before_is_no_trouble() {
    world().await;
    world().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[should_panic(expected = "current-thread runtime only")]
async fn time_does_not_skip_among_threads() {
    world().await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let mut ids = Vec::new();
    for seed in [1, 1, 2] {
        let registry = Registry::new().workflow("diary", diary);
        let builder = TestEnvironment::builder().registry(registry).seed(seed);
        let environment = builder.resource(Journal::default()).open().await;
        ids.push(environment.start("d", "diary", &"dear").await.unwrap().run_id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn a_crash_keeps_what_was_promised_and_a_lost_disk_is_noticed() {
    let (mut environment, journal) = world().await;
    environment.start("d", "diary", &"dear").await.unwrap();
    environment.signal("d", "1", &word("diary")).await.unwrap();
    for unsynced in [Unsynced::Lost, Unsynced::SeededPrefix, Unsynced::Kept] {
        environment.restart(unsynced).await;
        environment.check_promises().await.unwrap();
    }
    environment.until("d", "timer fired").await;
    assert_eq!(journal.lock().last().unwrap(), "diary");

    environment.disk = Disk::new(1, environment.clock.clone());
    environment.restart(Unsynced::Lost).await;
    let lost = environment.check_promises().await.unwrap_err();
    assert!(lost.contains("the run d is lost"), "{lost}");
    // Another run under the same id does not know the signal.
    environment.start("d", "diary", &"dear").await.unwrap();
    let lost = environment.check_promises().await.unwrap_err();
    assert_eq!(lost, "the signal word (1) is lost");
}

#[tokio::test]
async fn other_code_is_rolled_out_by_a_restart_and_stays() {
    let (mut environment, _) = world().await;
    environment.start("old", "diary", &"dear").await.unwrap();
    environment.signal("old", "1", &word("diary")).await.unwrap();
    environment.until("old", "timer set").await;
    let other = || Registry::new().workflow("diary", laconic);
    environment.restart_with(Unsynced::Lost, other()).await;
    // The new code does not fit the old run: it waits for a build that does.
    environment.skip(Duration::from_secs(2 * 24 * 3600)).await;
    assert_eq!(environment.rest("old").await, RunState::Stuck);
    environment.restart(Unsynced::Lost).await;
    environment.start("new", "diary", &"dear").await.unwrap();
    environment.signal("new", "1", &word("diary")).await.unwrap();
    assert_eq!(environment.result::<usize>("new").await, 0);
    let registry = Registry::new().workflow("diary", diary);
    environment.restart_with(Unsynced::Lost, registry).await;
    environment.signal("old", "2", &word("enough")).await.unwrap();
    assert_eq!(environment.end("old").await.state, RunState::Completed);
}

#[tokio::test]
#[should_panic(expected = "there is no \"undo write\"")]
async fn what_does_not_come_is_said_with_the_history() {
    let (environment, _) = world().await;
    environment.start("d", "diary", &"dear").await.unwrap();
    environment.until("d", "undo write").await;
}
