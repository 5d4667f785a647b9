//! Long steps: signs of life, progress for the next attempt, failures that are not worth one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Irreversible, Policy, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};

use super::world::{World, quick};

/// Goes through some items, each of which takes a second. Gives the item with which the last attempt began.
#[derive(Clone, Serialize, Deserialize)]
struct Crunch {
    items: u32,
    /// The first attempt falls silent here.
    silent_at: Option<u32>,
    /// Every attempt fails here.
    fails_at: Option<(u32, String)>,
}

impl Step for Crunch {
    const NAME: &'static str = "crunch";
    type Output = u32;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        Policy {
            attempts: 3,
            start_to_close: Duration::from_secs(3_600),
            total: Duration::from_secs(7_200),
            heartbeat: Some(Duration::from_secs(5)),
            non_retryable: &["BAD_ITEM"],
            ..Policy::step()
        }
    }

    async fn run(&self, context: &StepContext) -> Result<u32, StepError> {
        let begin = context.progress::<u32>().unwrap_or(0);
        for item in begin..self.items {
            if self.silent_at == Some(item) && context.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            match &self.fails_at {
                Some((at, code)) if *at == item => {
                    return Err(StepError::retryable(code, "told to fail"));
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            context.heartbeat(&(item + 1))?;
        }
        Ok(begin)
    }
}

async fn crunch(cx: &Cx, step: Crunch) -> Result<u32, Failure> {
    cx.step(step).await
}

fn registry() -> Registry {
    Registry::new().workflow("crunch", crunch)
}

async fn world(step: &Crunch) -> World {
    let world = World::with(1, quick(), registry()).await;
    world.start_as("c", "crunch", step).await.unwrap();
    world
}

fn step() -> Crunch {
    Crunch { items: 600, silent_at: None, fails_at: None }
}

#[tokio::test(start_paused = true)]
async fn who_gives_signs_of_life_may_take_long() {
    let world = world(&step()).await;
    assert_eq!(world.end("c").await.result.unwrap(), "0");
    let outline = world.outline("c").await;
    let recorded = outline.iter().filter(|line| *line == "progressed crunch").count();
    // Ten minutes of heartbeats, one of which goes on record every ten seconds.
    assert!((50..=60).contains(&recorded), "{recorded}");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_given_up_and_the_next_attempt_goes_on_from_there() {
    let world = world(&Crunch { silent_at: Some(7), ..step() }).await;
    assert_eq!(world.end("c").await.result.unwrap(), "7");
    let outline = world.outline("c").await;
    assert!(outline.contains(&"attempt 1 crunch".into()), "{outline:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_an_attempt_goes_on_from_what_is_on_record() {
    let mut world = world(&Crunch { items: 60, ..step() }).await;
    world.pass(Duration::from_secs(35)).await;
    world.restart_with(Unsynced::Lost, registry()).await;
    let begin: u32 = serde_json::from_slice(&world.end("c").await.result.unwrap()).unwrap();
    assert!((20..=35).contains(&begin), "{begin}");
}

#[tokio::test(start_paused = true)]
async fn the_progress_of_a_failed_attempt_survives_a_crash_in_the_pause_behind_it() {
    let fails = Crunch { items: 6, fails_at: Some((3, "FLAKY".into())), ..step() };
    let mut world = world(&fails).await;
    while !world.outline("c").await.contains(&"attempt 1 crunch".into()) {
        world.pass(Duration::from_millis(100)).await;
    }
    world.restart_with(Unsynced::Lost, registry()).await;
    let began_ms = world.now_ms();
    let outcome = world.end("c").await;
    assert_eq!(outcome.state, RunState::Failed);
    // Two more attempts, which do not go through the first items again.
    assert!(world.now_ms() - began_ms < 7_000, "{}", world.now_ms() - began_ms);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_policy_calls_hopeless_is_not_tried_again() {
    let world = world(&Crunch { fails_at: Some((2, "BAD_ITEM".into())), ..step() }).await;
    let failure = world.end("c").await.failure.unwrap();
    assert_eq!(failure.code, "BAD_ITEM");
    assert!(!world.outline("c").await.iter().any(|line| line.starts_with("attempt")));
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_in_time_although_the_clock_was_set_back() {
    let world = world(&Crunch { silent_at: Some(3), ..step() }).await;
    world.pass(Duration::from_millis(4_500)).await;
    world.clock.jump_ms(-5 * 3_600_000);
    world.pass(Duration::from_secs(30)).await;
    assert!(world.outline("c").await.contains(&"attempt 1 crunch".into()));
    assert_eq!(world.end("c").await.state, RunState::Completed);
}
