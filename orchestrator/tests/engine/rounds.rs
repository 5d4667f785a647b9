//! Workflows in rounds: turns that nobody asks for, and undo that ends with its round.

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::cx::{Signal, Update};
use souk_orchestrator::engine::error::StuckCode;
use souk_orchestrator::engine::event::Body;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::recorded::check;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Cx, Error, Failure, Registry, Round};

use super::bank::Behaviour;
use super::deaths::at_every_point;
use super::shapes::note;
use super::world::{LONG, World, quick};

#[derive(Deserialize)]
struct Add(u32);

impl Signal for Add {
    const NAME: &'static str = "add";
}

#[derive(Deserialize)]
struct Raise(u32);

impl Update for Raise {
    const NAME: &'static str = "raise";
    type Answer = u32;
}

/// Adds what it is told, a round for each; zero ends it.
pub async fn tally(cx: &Cx, sum: u32) -> Result<Round<u32, u32>, Failure> {
    let Add(number) = cx.signal().await?;
    cx.saga().step(note("add")).await?;
    Ok(if number == 0 { Round::Done(sum) } else { Round::Again(sum + number) })
}

/// Sleeps as often as it is told.
async fn doze(cx: &Cx, left: u32) -> Result<Round<u32, String>, Failure> {
    if left == 0 {
        return Ok(Round::Done("awake".into()));
    }
    cx.sleep(Duration::from_millis(1)).await?;
    Ok(Round::Again(left - 1))
}

/// Two steps in each of three rounds; something goes wrong in the last.
async fn climb(cx: &Cx, height: u32) -> Result<Round<u32, ()>, Failure> {
    let saga = cx.saga();
    saga.step(note(format!("left {height}"))).await?;
    saga.step(note(format!("right {height}"))).await?;
    Ok(Round::Again(height + 1))
}

#[derive(Serialize, Deserialize)]
enum Phase {
    Prepare,
    Open(u32),
}

/// A round that waits for nothing is one that only changes the state.
async fn auction(cx: &Cx, phase: Phase) -> Result<Round<Phase, u32>, Failure> {
    match phase {
        Phase::Prepare => Ok(Round::Again(Phase::Open(0))),
        Phase::Open(price) => {
            let mut raises = cx.updates(|_: &Raise| Ok(()));
            tokio::select! {
                biased;
                raise = raises.receive() => {
                    let raise = raise?;
                    let price = price + raise.update.0;
                    raise.answer(&price);
                    Ok(Round::Again(Phase::Open(price)))
                }
                number = cx.signal::<Add>() => {
                    let Add(number) = number?;
                    Ok(if number == 0 { Round::Done(price) } else { Round::Again(Phase::Open(price)) })
                }
            }
        }
    }
}

async fn spin(_: &Cx, turns: u32) -> Result<Round<u32, ()>, Failure> {
    Ok(Round::Again(turns))
}

/// Its state is not read back as it was written.
#[derive(Deserialize)]
struct Torn;

impl Serialize for Torn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("torn")
    }
}

async fn tear(cx: &Cx, _: Torn) -> Result<Round<Torn, ()>, Failure> {
    cx.sleep(Duration::from_millis(1)).await?;
    Ok(Round::Again(Torn))
}

fn registry_with_turns_of(observations: u64) -> Registry {
    Registry::new()
        .rounds_in_turns_of(observations, "tally", tally)
        .rounds("doze", doze)
        .rounds("climb", climb)
        .rounds_in_turns_of(observations, "auction", auction)
        .rounds("spin", spin)
        .rounds("tear", tear)
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry_with_turns_of(5)).await
}

async fn add(world: &World, workflow_id: &str, id: u32, number: u32) -> Result<bool, Error> {
    world.engine.signal(workflow_id, "add", &id.to_string(), number.to_string().into()).await
}

async fn states(world: &World) -> Vec<RunState> {
    world.pass(Duration::from_secs(1)).await;
    let page = world.engine.list(&Filter::default(), None, 100).await.unwrap();
    page.rows.iter().map(|row| row.state()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_in_rounds_continues_as_new_by_itself() {
    let world = world(1).await;
    world.start_as("d", "doze", &12_000).await.unwrap();
    assert_eq!(world.end("d").await.result.unwrap(), r#""awake""#);
    let states = states(&world).await;
    assert_eq!(states, [RunState::Completed, RunState::Continued, RunState::Continued]);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_fails_undoes_its_own_and_lets_the_others_stand() {
    for restart in [false, true] {
        let mut world = world(2).await;
        world.bank.next("left 3", &[Behaviour::Hang]);
        world.start_as("c", "climb", &1).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        // Nothing but what the round that is under way has put on record.
        assert_eq!(world.row("c").await.open_undo, 1);
        if restart {
            world.restart_with(Unsynced::Lost, registry_with_turns_of(5)).await;
        }
        world.bank.always("right 3", Behaviour::Permanent);
        let end = world.end("c").await;
        assert_eq!(end.state, RunState::Failed);
        for number in 1..=4 {
            let effect = world.bank.effect(&format!("c/note/{number}"));
            assert_eq!((effect.done, effect.undone), (1, 0), "note {number}");
        }
        let effect = world.bank.effect("c/note/5");
        assert_eq!((effect.done, effect.undone), (1, 1));
        let undone = |entry: &&String| entry.starts_with("erase");
        let journal = world.bank.journal();
        let undone: Vec<&String> = journal.iter().filter(undone).collect();
        assert_eq!(undone, ["erase right 3 for BROKEN", "erase left 3 for BROKEN"]);
        let outline = world.outline("c").await;
        assert_eq!(outline.iter().filter(|line| *line == "round ended, 2 stand").count(), 2);
    }
}

/// Starts the run and tells it everything, again and again until it has ended.
async fn drive(world: &World) {
    world.start_as("t", "tally", &0).await.unwrap();
    for (id, number) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 0)] {
        world.pass(Duration::from_millis(u64::from(id % 3) * 10)).await;
        match add(world, "t", id, number).await {
            Ok(_) | Err(Error::Closed { state: RunState::Completed, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    world.end("t").await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_leaves_every_round_done_once() {
    // The next build has turns of another length: what is on record stands.
    let next_build = |nth| registry_with_turns_of(3 + nth % 5);
    let check = async |world: &World, place: &str| {
        assert_eq!(world.end("t").await.result.unwrap(), "21", "{place}");
        let effects = world.bank.effects();
        assert_eq!(effects.len(), 7, "{place}");
        assert!(effects.values().all(|effect| effect.done == 1 && effect.undone == 0));
        let states = states(world).await;
        assert!(states.len() >= 2, "{place}: {states:?}");
        assert!(states[1..].iter().all(|state| *state == RunState::Continued));
    };
    let points = at_every_point(world, next_build, drive, check).await;
    assert!(points > 30, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_on_record_replays_whatever_bound_the_build_has() {
    let world = world(3).await;
    world.start_as("t", "tally", &0).await.unwrap();
    let run_id = world.row("t").await.id();
    let turn = world.engine.history("t", 0, true).await.unwrap();
    let adds = async {
        for id in 1..=9 {
            add(&world, "t", id, id).await.unwrap();
            world.pass(Duration::from_secs(1)).await;
        }
    };
    let (turn, ()) = tokio::join!(turn.map(|event| event.unwrap().event).collect::<Vec<_>>(), adds);
    assert_ne!(world.row("t").await.id(), run_id);
    assert!(
        matches!(&turn.last().unwrap().body, Some(Body::Closed(closed)) if closed.next.is_some())
    );
    for observations in [2, 5, 1_000] {
        check(&registry_with_turns_of(observations), run_id, &turn).unwrap();
    }
    // A turn that would end otherwise is found all the same.
    let shorter = &turn[..turn.len() - 1];
    check(&registry_with_turns_of(5), run_id, shorter).unwrap();
    let mut longer = turn.clone();
    longer.extend(turn[1..3].iter().cloned());
    check(&registry_with_turns_of(5), run_id, &longer).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_update_is_done_once_though_its_repetition_comes_in_a_later_turn() {
    let mut world = world(4).await;
    world.start_as("a", "auction", &Phase::Prepare).await.unwrap();
    let first = world.row("a").await.id();
    let raise = async |world: &World, id: u32| {
        let answer = world.engine.update("a", "raise", &id.to_string(), "3".into(), LONG).await;
        answer.unwrap().unwrap()
    };
    for id in 1..=20 {
        assert_eq!(raise(&world, id).await, (3 * id).to_string());
        assert_eq!(raise(&world, 1).await, "3");
        assert_eq!(raise(&world, id.div_ceil(2)).await, (3 * id.div_ceil(2)).to_string());
    }
    assert_ne!(world.row("a").await.id(), first);
    world.restart_with(Unsynced::Lost, registry_with_turns_of(5)).await;
    assert_eq!(raise(&world, 7).await, "21");
    add(&world, "a", 1, 0).await.unwrap();
    assert_eq!(world.end("a").await.result.unwrap(), "60");
}

#[tokio::test(start_paused = true)]
async fn many_updates_at_once_are_all_answered_though_turns_end_between_them() {
    let world = world(5).await;
    world.start_as("a", "auction", &Phase::Prepare).await.unwrap();
    let raises = (0..50).map(|id| {
        let (engine, id) = (world.engine.clone(), id.to_string());
        async move { engine.update("a", "raise", &id, "1".into(), LONG).await.unwrap().unwrap() }
    });
    let answers = futures::future::join_all(raises).await;
    let mut prices: Vec<u32> =
        answers.iter().map(|answer| serde_json::from_slice(answer).unwrap()).collect();
    prices.sort_unstable();
    assert_eq!(prices, (1..=50).collect::<Vec<u32>>());
}

#[tokio::test(start_paused = true)]
async fn rounds_that_cannot_be_are_told() {
    let world = world(6).await;
    world.start_as("s", "spin", &0).await.unwrap();
    let row = world.row("s").await;
    assert_eq!(row.stuck_code, StuckCode::BoundExceeded.code());
    assert!(row.stuck_message.contains("without waiting"), "{}", row.stuck_message);
    world.start_as("t", "tear", &()).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.row("t").await.stuck_code, StuckCode::ValueMismatch.code());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_with_its_round() {
    let world = world(7).await;
    world.start_as("t", "tally", &0).await.unwrap();
    for id in 1..=4 {
        add(&world, "t", id, 1).await.unwrap();
    }
    world.pass(Duration::from_secs(1)).await;
    world.engine.cancel("t", "enough").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Cancelled);
    assert!(world.bank.effects().values().all(|effect| effect.undone == 0));
}

#[tokio::test(start_paused = true)]
async fn signals_that_nobody_takes_are_bounded_in_bytes_and_the_refusal_says_so() {
    let world = world(8).await;
    world.start_as("d", "doze", &2).await.unwrap();
    let payload = bytes::Bytes::from(format!("\"{}\"", "x".repeat(500_000)));
    let mut taken = 0;
    let refused = loop {
        let id = taken.to_string();
        match world.engine.signal("d", "add", &id, payload.clone()).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    assert!((10..=20).contains(&taken), "{taken}");
}
