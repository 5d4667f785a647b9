//! Runs to reset, in every state, and whether the money adds up behind it.

use std::time::Duration;

use souk_orchestrator::engine::recorded::check;
use souk_orchestrator::engine::reset::ResetRequest;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Cx, Failure, Registry};

use crate::engine::bank::Behaviour;
use crate::engine::transfer::{self, Announce, Book, Confirm, Deposit, Transfer, Withdraw};
use crate::engine::world::{LONG, World};

/// A transfer that owes nothing to its starter.
pub async fn plain(cx: &Cx, order: Transfer) -> Result<String, Failure> {
    let amount = order.amount;
    cx.step(Withdraw { amount }).await?;
    cx.answer(&"held");
    if order.confirm {
        cx.signal::<Confirm>().await?;
    }
    cx.sleep(Duration::from_secs(1)).await?;
    cx.step(Deposit { amount }).await?;
    cx.step(Book { amount }).await?;
    let _ = cx.step(Announce { amount }).await;
    if order.refuse && !cx.try_signal::<Confirm>().is_some_and(|_| true) {
        return Err(Failure::new("REFUSED_AT_LAST", "the workflow does not like it"));
    }
    Ok("moved".into())
}

pub fn registry() -> Registry {
    transfer::registry().workflow("plain", plain)
}

pub fn back_to(sequence: usize) -> ResetRequest {
    ResetRequest { sequence: sequence as u64, reason: "tested".into(), ..ResetRequest::default() }
}

pub fn order(confirm: bool, refuse: bool) -> Transfer {
    Transfer { amount: 7, confirm, refuse }
}

/// Where a run is when it is reset.
pub const STANDS: [&str; 9] = [
    "waiting",
    "trying",
    "completed",
    "failed",
    "cancelled",
    "parked",
    "paused",
    "terminated",
    "unknown",
];

/// Brings run `t` of a type there.
pub async fn bring(world: &World, workflow_type: &str, stand: &str) {
    let bank = &world.bank;
    match stand {
        "waiting" | "paused" | "cancelled" | "terminated" => {
            world.start_as("t", workflow_type, &order(true, false)).await.unwrap();
            world.engine.answer("t", LONG).await.unwrap();
            match stand {
                "paused" => {
                    world.engine.pause("t", "tested").await.unwrap();
                    world.signal("t", "confirm", "1").await.unwrap();
                }
                "cancelled" => world.engine.cancel("t", "tested").await.unwrap(),
                "terminated" => world.engine.terminate("t", "tested", true).await.unwrap(),
                _ => {}
            }
        }
        "trying" => {
            bank.always("book", Behaviour::LoseReply);
            world.start_as("t", workflow_type, &order(true, false)).await.unwrap();
            world.signal("t", "confirm", "1").await.unwrap();
            world.pass(Duration::from_millis(1_500)).await;
        }
        "completed" => {
            world.start_as("t", workflow_type, &order(false, false)).await.map(|_| ()).unwrap();
        }
        "failed" => {
            bank.always("book", Behaviour::Permanent);
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
        }
        "unknown" => {
            bank.next(
                "deposit",
                &[Behaviour::LoseReply, Behaviour::LoseReply, Behaviour::LoseReply],
            );
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
        }
        "parked" => {
            bank.always("book", Behaviour::Permanent);
            bank.always("give_back", Behaviour::LoseReply);
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
            until(world, RunState::Parked).await;
        }
        other => panic!("nobody knows how to come to {other}"),
    }
    if ["completed", "failed", "cancelled", "unknown"].contains(&stand) {
        world.end("t").await;
    }
}

pub async fn until(world: &World, state: RunState) {
    while world.row("t").await.state() != state {
        world.pass(Duration::from_secs(1)).await;
    }
}

/// Everything works again, and who must decide has decided.
pub async fn heal(world: &World) -> RunState {
    world.bank.calm();
    for _ in 0..100 {
        let state = world.row("t").await.state();
        match state {
            RunState::Paused => world.engine.resume("t", "tested").await.unwrap(),
            RunState::Parked => world.engine.retry_step("t").await.unwrap(),
            state if state.is_closed() => break,
            _ => {
                // The one that waits for it takes it; all others do not mind.
                let _ = world.signal("t", "confirm", "1").await;
            }
        }
        world.pass(Duration::from_secs(3)).await;
    }
    world.end("t").await.state
}

/// How often a step was done and not undone.
pub fn standing(world: &World, step: &str) -> u32 {
    let prefix = format!("t/{step}/");
    let effects = world.bank.effects();
    let of_step = effects.iter().filter(|(key, _)| key.starts_with(&prefix));
    of_step.map(|(_, effect)| effect.done - effect.undone).sum()
}

pub fn the_money_adds_up(world: &World, state: RunState, place: &str) {
    let moved = u32::from(state == RunState::Completed);
    for step in ["withdraw", "deposit"] {
        assert_eq!(standing(world, step), moved, "{place}: {step} ({state:?})");
    }
    if state == RunState::Completed {
        // Nothing undoes it, so that it is not done a second time.
        assert_eq!(standing(world, "announce"), 1, "{place}");
    }
    let done_twice = world.bank.effects().into_iter().find(|(_, effect)| effect.done > 1);
    assert_eq!(done_twice, None, "{place}");
}

pub async fn whole_and_replayable(world: &World, place: &str) {
    let (row, history) = (world.row("t").await, world.history("t").await);
    assert_eq!(row.next_sequence, history.len() as u64, "{place}");
    assert!(row.open_steps.is_empty() && row.open_timers.is_empty(), "{place}: {row:?}");
    if row.state() != RunState::Completed {
        assert_eq!(row.open_undo, 0, "{place}");
    }
    check(&registry(), row.id(), &history).unwrap_or_else(|misfit| panic!("{place}: {misfit:?}"));
}
