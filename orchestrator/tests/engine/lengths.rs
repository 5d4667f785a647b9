//! Runs of any length: they complete, what is behind them leaves nothing in memory, and they come back from disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::engine::Footprint;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};

use super::bank::Bank;
use super::shapes::note;
use super::world::{World, quick};

/// Takes a millisecond.
#[derive(Serialize, Deserialize)]
struct Pace;

impl Step for Pace {
    const NAME: &'static str = "pace";
    type Output = u32;
    type Undo = Irreversible;

    async fn run(&self, context: &StepContext) -> Result<u32, StepError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        context.resource::<std::sync::Arc<Bank>>()?.execute("pace", context).await?;
        Ok(1)
    }
}

/// As many steps as it is told, one after the other, without ever continuing as new.
async fn march(cx: &Cx, steps: u32) -> Result<u32, Failure> {
    let mut done = 0;
    for _ in 0..steps {
        done += cx.step(Pace).await?;
        if done.is_multiple_of(1_000) {
            cx.version("stride", 0, 1);
            cx.sleep(Duration::from_millis(1)).await?;
        }
    }
    Ok(done)
}

/// Steps whose undo is discharged: each refuses.
async fn stumble(cx: &Cx, steps: u32) -> Result<u32, Failure> {
    let mut refused = 0;
    for _ in 0..steps {
        refused += u32::from(cx.step(note("stumble")).await.is_err());
    }
    Ok(refused)
}

fn registry() -> Registry {
    Registry::new().workflow("march", march).workflow("stumble", stumble)
}

/// What a run of these has in memory at any time, however long it is.
fn is_flat(footprint: &Footprint) -> bool {
    let Footprint { commands, open_undo, unread, message_ids, names, undrained_events } =
        *footprint;
    commands <= 3
        && open_undo <= 1
        && unread + message_ids == 0
        && names <= 4
        && undrained_events <= 200
}

#[tokio::test(start_paused = true)]
async fn a_run_of_100_000_steps_completes_with_flat_memory() {
    const STEPS: u32 = 100_000;
    let mut world = World::with(1, quick(), registry()).await;
    world.start_as("m", "march", &STEPS).await.unwrap();
    let mut looks = 0;
    let mut restarts = 0;
    while world.row("m").await.state() == RunState::Running {
        world.pass(Duration::from_millis(500)).await;
        if let Some(footprint) = world.engine.footprint("m") {
            assert!(is_flat(&footprint), "after {looks} looks: {footprint:?}");
        }
        looks += 1;
        // Once early, once with most of the way behind it.
        if looks == 20 || looks == 180 {
            world.restart_with(Unsynced::Lost, registry()).await;
            restarts += 1;
        }
    }
    assert_eq!((looks > 180, restarts), (true, 2), "{looks} looks");
    assert_eq!(world.end("m").await.result.unwrap(), STEPS.to_string());
    let effects = world.bank.effects();
    assert_eq!(effects.len(), STEPS as usize);
    assert!(effects.values().all(|effect| effect.done == 1));
    assert!(world.row("m").await.next_sequence > 200_000);
}

#[tokio::test(start_paused = true)]
async fn undo_that_is_settled_is_forgotten() {
    let world = World::with(2, quick(), registry()).await;
    world.bank.always("stumble", super::bank::Behaviour::Refuse);
    world.start_as("s", "stumble", &300).await.unwrap();
    let mut most = 0;
    while world.bank.journal().len() < 300 {
        tokio::task::yield_now().await;
        most = most.max(world.engine.footprint("s").expect("is in memory").open_undo);
    }
    assert_eq!(most, 1);
    assert_eq!(world.end("s").await.result.unwrap(), "300");
}
