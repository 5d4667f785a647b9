//! To any event of any run, again and again, and through deaths at every append: the money adds up.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Answer, Error, Filter};

use super::setup::{
    STANDS, back_to, bring, heal, order, registry, the_money_adds_up, whole_and_replayable,
};
use crate::engine::bank::Behaviour;
use crate::engine::deaths::at_every_point;
use crate::engine::world::{LONG, World, quick};

#[tokio::test(start_paused = true)]
async fn the_money_adds_up_after_a_reset_to_any_event_of_any_run() {
    let (mut resets, mut refusals) = (0, 0);
    for workflow_type in ["plain", "transfer"] {
        for stand in STANDS {
            for at in 0.. {
                let place = format!("{workflow_type} {stand} to event {}", at + 1);
                let world = World::with(1, quick(), registry()).await;
                bring(&world, workflow_type, stand).await;
                if at % 3 == 0 {
                    // It is found on disk alone.
                    world.pass(Duration::from_secs(2)).await;
                }
                let before = world.history("t").await;
                if at == before.len() {
                    break;
                }
                let old = world.row("t").await;
                match world.engine.reset("t", back_to(at)).await {
                    Ok(done) => {
                        resets += 1;
                        assert_eq!(world.row("t").await.id(), done.run_id, "{place}");
                        assert!(done.kept <= at as u64 && done.run_id > old.id(), "{place}");
                        let now = world.history("t").await;
                        let kept = 1.max(done.kept as usize);
                        assert_eq!(now[1..kept], before[1..kept], "{place}");
                    }
                    Err(Error::CannotReset { problem, .. }) => {
                        refusals += 1;
                        let undone = ["failed", "cancelled", "parked", "unknown", "terminated"];
                        assert!(undone.contains(&stand), "{place}: {problem}");
                        assert_eq!(world.row("t").await.id(), old.id(), "{place}");
                    }
                    Err(error) => panic!("{place}: {error}"),
                }
                let state = heal(&world).await;
                if state != RunState::Terminated {
                    the_money_adds_up(&world, state, &place);
                    whole_and_replayable(&world, &place).await;
                }
            }
        }
    }
    assert!(resets > 100 && refusals > 20, "{resets} resets, {refusals} refusals");
}

/// Resets the run where it waits, and lets it go on; again and again until it has ended.
async fn drive(world: &World) {
    world.start_as("t", "plain", &order(true, false)).await.unwrap();
    let answer = world.engine.answer("t", LONG).await.unwrap();
    assert_eq!(answer, Answer::Answered(r#""held""#.into()));
    let outline = world.outline("t").await;
    if !outline.contains(&"reset".into()) && !world.row("t").await.state().is_closed() {
        world.engine.reset("t", back_to(0)).await.unwrap();
    }
    match world.signal("t", "confirm", "1").await {
        Ok(()) | Err(Error::Closed { state: RunState::Completed, .. }) => {}
        Err(error) => panic!("{error}"),
    }
    world.end("t").await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_leaves_one_run_that_was_reset_once() {
    let check = async |world: &World, place: &str| {
        let state = world.end("t").await.state;
        assert_eq!(state, RunState::Completed, "{place}");
        the_money_adds_up(world, state, place);
        whole_and_replayable(world, place).await;
        assert_eq!(world.bank.effect("t/withdraw/2").calls, 0, "{place}");
        world.pass(Duration::from_secs(2)).await;
        let page = world.engine.list(&Filter::default(), None, 10).await.unwrap();
        let states: Vec<RunState> = page.rows.iter().map(|row| row.state()).collect();
        assert_eq!(states, [RunState::Completed, RunState::Continued], "{place}");
    };
    let points = at_every_point(
        async |seed| World::with(seed, quick(), registry()).await,
        |_| registry(),
        drive,
        check,
    )
    .await;
    assert!(points > 20, "only {points} points were tried");
}

/// Small and good enough to choose by.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[tokio::test(start_paused = true)]
async fn resets_of_resets_add_up_too() {
    let mut deep = 0;
    for seed in 0..150u64 {
        let stand = STANDS[(mix(seed) % 7) as usize];
        let mut world = World::with(seed, quick(), registry()).await;
        bring(&world, "plain", stand).await;
        let mut resets = 0;
        for step in 0..4 {
            let dice = mix(seed * 1_000 + step);
            let length = world.history("t").await.len() as u64;
            match world.engine.reset("t", back_to((dice % length) as usize)).await {
                Ok(_) => resets += 1,
                Err(Error::CannotReset { .. }) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
            match dice >> 32 & 3 {
                0 => world.bank.calm(),
                1 => world.bank.always("deposit", Behaviour::LoseReply),
                2 => world.bank.always("book", Behaviour::Refuse),
                _ => world.bank.next("withdraw", &[Behaviour::LoseReply]),
            }
            let _ = world.signal("t", "confirm", "1").await;
            world.pass(Duration::from_millis(dice >> 40 & 0xfff)).await;
            if dice >> 60 == 0 {
                world.restart_with(Unsynced::Lost, registry()).await;
            }
        }
        deep += u32::from(resets > 2);
        let place = format!("seed {seed} from {stand}, {resets} resets");
        let state = heal(&world).await;
        the_money_adds_up(&world, state, &place);
        whole_and_replayable(&world, &place).await;
    }
    assert!(deep > 30, "only {deep} runs were reset three times");
}
