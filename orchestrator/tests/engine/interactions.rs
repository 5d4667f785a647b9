//! Where resets meet other features of the engine: attributes, rounds, turns, and ids that are used again.

use std::time::Duration;

use serde::Deserialize;
use souk_orchestrator::engine::attribute::{Attributes, Value};
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::reset::ResetRequest;
use souk_orchestrator::engine::row::{RunRow, RunState};
use souk_orchestrator::engine::{
    Answer, Cx, Failure, Filter, IdReuse, Registry, Round, StartRequest,
};

use super::shapes::{Erase, note};
use super::world::{LONG, World, quick};

/// What a run is told; zero is the last.
#[derive(Deserialize)]
pub struct Number(pub i64);

impl Signal for Number {
    const NAME: &'static str = "number";
}

/// Keeps what it is told in its attributes, besides what it was given.
async fn noticed(cx: &Cx, (): ()) -> Result<i64, Failure> {
    cx.set_attribute("stage", "open");
    let mut sum = 0;
    loop {
        let Number(number) = cx.signal().await?;
        cx.step(note(format!("told {number}"))).await?;
        if number == 0 {
            cx.clear_attribute("draft");
            return Ok(sum);
        }
        sum += number;
        cx.set_attribute("sum", sum);
        cx.set_attribute(&format!("told_{number}"), true);
    }
}

/// Adds what it is told, a round and a step of its own for each.
async fn rounds(cx: &Cx, sum: i64) -> Result<Round<i64, i64>, Failure> {
    let Number(number) = cx.signal().await?;
    cx.saga().step(note(format!("told {number}"))).await?;
    Ok(if number == 0 { Round::Done(sum) } else { Round::Again(sum + number) })
}

/// The same with three steps a turn, which ends by hand.
async fn turns(cx: &Cx, mut sum: i64) -> Result<i64, Failure> {
    for _ in 0..3 {
        let Number(number) = cx.signal().await?;
        cx.saga().step(note(format!("told {number}"))).await?;
        if number == 0 {
            cx.answer(&sum);
            return Ok(sum);
        }
        sum += number;
    }
    cx.continue_as_new(&sum).await
}

fn registry() -> Registry {
    Registry::new()
        .workflow("noticed", noticed)
        .rounds("rounds", rounds)
        .rounds_in_turns_of(6, "short_rounds", rounds)
        .workflow("turns", turns)
        .compensation::<Erase>()
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

pub async fn tell(world: &World, workflow_id: &str, signal_id: &str, number: i64) {
    let payload = number.to_string().into_bytes().into();
    world.engine.signal(workflow_id, "number", signal_id, payload).await.unwrap();
    world.pass(Duration::from_millis(10)).await;
}

pub fn back_to(sequence: usize) -> ResetRequest {
    ResetRequest { sequence: sequence as u64, reason: "tested".into(), ..ResetRequest::default() }
}

pub fn dropping(request: ResetRequest) -> ResetRequest {
    ResetRequest { drops_messages: true, ..request }
}

/// Whether it is known from memory, or found on disk alone.
pub async fn settle(world: &mut World, on_disk: bool, registry: Registry) {
    if on_disk {
        world.pass(Duration::from_secs(5)).await;
        world.restart_with(Unsynced::Lost, registry).await;
        assert_eq!(world.engine.loaded_runs(), 0);
    }
}

pub async fn place_of(world: &World, workflow_id: &str, line: &str, nth: usize) -> usize {
    let outline = world.outline(workflow_id).await;
    let mut places = (0..).zip(&outline).filter(|(_, found)| *found == line);
    places.nth(nth).unwrap_or_else(|| panic!("no {line} in {outline:?}")).0
}

/// What was done and not undone, each with its effect key, in order.
pub fn standing(world: &World) -> Vec<String> {
    let effects = world.bank.effects().into_iter();
    effects.filter(|(_, effect)| effect.done > effect.undone).map(|(key, _)| key).collect()
}

pub async fn states(world: &World, workflow_id: &str) -> Vec<RunState> {
    let turns = world.engine.turns(workflow_id, None, 100).await.unwrap();
    turns.iter().map(RunRow::state).collect()
}

fn attributes(row: &RunRow) -> Vec<String> {
    let shown = row.attributes.iter();
    shown.map(|set| format!("{}={}", set.name, set.value.as_ref().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reset_run_is_found_by_what_it_was_given_and_has_kept_and_not_by_what_was_dropped() {
    for (on_disk, is_closed) in [(false, false), (false, true), (true, false), (true, true)] {
        let place = format!("on disk {on_disk}, closed {is_closed}");
        let mut world = world(1).await;
        let given: Attributes =
            [("customer".into(), Value::from("mara")), ("draft".into(), Value::from(true))].into();
        let start = StartRequest::new("n", "noticed", &()).unwrap();
        world.engine.start(StartRequest { attributes: given, ..start }).await.unwrap();
        tell(&world, "n", "a", 3).await;
        tell(&world, "n", "b", 4).await;
        if is_closed {
            tell(&world, "n", "c", 0).await;
            world.end("n").await;
        }
        settle(&mut world, on_disk, registry()).await;
        let second = place_of(&world, "n", "signal number", 1).await;
        world.engine.reset("n", dropping(back_to(second))).await.unwrap();
        // What is taken in again is the second signal.
        world.pass(Duration::from_secs(2)).await;
        let row = world.row("n").await;
        let expected =
            ["customer=mara", "draft=true", "stage=open", "sum=7", "told_3=true", "told_4=true"];
        assert_eq!(attributes(&row), expected, "{place}");
        world.engine.reset("n", dropping(back_to(0))).await.unwrap();
        world.pass(Duration::from_secs(2)).await;
        settle(&mut world, on_disk, registry()).await;
        let row = world.row("n").await;
        assert_eq!(attributes(&row), ["customer=mara", "draft=true", "stage=open"], "{place}");
        let found = async |filter: &str| {
            let filter = Filter::parse(filter, 0).unwrap();
            let page = world.engine.list(&filter, None, 10).await.unwrap();
            page.rows.iter().map(RunRow::id).collect::<Vec<_>>()
        };
        let open = "state = open AND customer = mara AND draft = true AND stage = open";
        assert_eq!(found(open).await, [row.id()], "{place}");
        assert!(found("state = open AND sum > 0").await.is_empty(), "{place}");
        tell(&world, "n", "d", 0).await;
        assert_eq!(world.end("n").await.result.unwrap(), "0", "{place}");
        assert_eq!(attributes(&world.row("n").await), ["customer=mara", "stage=open"], "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn rounds_that_are_done_again_keep_their_effects_and_those_that_are_not_are_undone() {
    for (workflow_type, on_disk) in
        [("rounds", false), ("rounds", true), ("short_rounds", false), ("short_rounds", true)]
    {
        for (drops_messages, sum) in [(false, "12"), (true, "6")] {
            let place = format!("{workflow_type}, on disk {on_disk}, drops {drops_messages}");
            let mut world = world(2).await;
            world.start_as("r", workflow_type, &0).await.unwrap();
            for (id, number) in [("a", 1), ("b", 2)] {
                tell(&world, "r", id, number).await;
            }
            settle(&mut world, on_disk, registry()).await;
            let request = ResetRequest { drops_messages, ..back_to(0) };
            world
                .engine
                .reset("r", request)
                .await
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            world.pass(Duration::from_millis(100)).await;
            settle(&mut world, on_disk, registry()).await;
            for (id, number) in [("c", 6), ("d", 3), ("e", 0)] {
                let number = if drops_messages && number == 3 { 0 } else { number };
                if world.row("r").await.state().is_closed() {
                    break;
                }
                tell(&world, "r", id, number).await;
            }
            let end = world.end("r").await;
            assert_eq!(
                (end.state, end.result.unwrap().as_ref()),
                (RunState::Completed, sum.as_bytes()),
                "{place}"
            );
            let expected: Vec<String> = match drops_messages {
                // The five of them, under the keys of the first time.
                false => (1..=5).map(|number| format!("r/note/{number}")).collect(),
                true => (3..=4).map(|number| format!("r/note/{number}")).collect(),
            };
            assert_eq!(standing(&world), expected, "{place}: {:?}", world.bank.journal());
            assert!(world.bank.effects().values().all(|effect| effect.done == 1), "{place}");
            assert!(states(&world, "r").await.len() >= 2, "{place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_run_in_turns_the_newest_is_reset_and_what_earlier_ones_did_stands() {
    for is_closed in [false, true] {
        for on_disk in [false, true] {
            let place = format!("closed {is_closed}, on disk {on_disk}");
            let mut world = world(3).await;
            world.start_as("t", "turns", &0).await.unwrap();
            for number in 1..=4 {
                tell(&world, "t", &number.to_string(), number).await;
            }
            if is_closed {
                tell(&world, "t", "5", 0).await;
                world.end("t").await;
            }
            settle(&mut world, on_disk, registry()).await;
            world.engine.reset("t", dropping(back_to(0))).await.unwrap();
            world.pass(Duration::from_millis(100)).await;
            tell(&world, "t", "6", 5).await;
            tell(&world, "t", "7", 0).await;
            let end = world.end("t").await;
            assert_eq!(end.result.unwrap(), "11", "{place}");
            // The fourth note is not taken again, and is undone.
            let expected = [1, 2, 3, 5, 6].map(|number| format!("t/note/{number}"));
            assert_eq!(standing(&world), expected, "{place}: {:?}", world.bank.journal());
            let end = if is_closed { RunState::Completed } else { RunState::Continued };
            let expected = [RunState::Completed, end, RunState::Continued];
            assert_eq!(states(&world, "t").await, expected, "{place}");
            // The answer that was given stands.
            let answer = world.engine.answer("t", LONG).await.unwrap();
            let first = if is_closed { "10" } else { "11" };
            assert_eq!(answer, Answer::Answered(first.into()), "{place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_under_a_used_id_that_is_reset_stays_what_its_request_began() {
    for on_disk in [false, true] {
        let mut world = world(4).await;
        let request = |request_id: &str, sum: i64| StartRequest {
            id_reuse: IdReuse::AllowIfClosed,
            request_id: request_id.into(),
            ..StartRequest::new("j", "turns", &sum).unwrap()
        };
        world.engine.start(request("r1", 0)).await.unwrap();
        tell(&world, "j", "a", 0).await;
        world.end("j").await;
        let second = world.engine.start(request("r2", 100)).await.unwrap();
        tell(&world, "j", "a", 1).await;
        settle(&mut world, on_disk, registry()).await;
        let keys = standing(&world);
        let done = world.engine.reset("j", back_to(0)).await.unwrap();
        assert!(done.run_id > second.run_id);
        settle(&mut world, on_disk, registry()).await;
        // The same effects, under the keys of the run that the request began.
        assert_eq!(standing(&world), keys);
        assert!(keys[1].ends_with(&second.run_id.0.simple().to_string()), "{keys:?}");
        // A repetition of the request waits for the run that took its place.
        let again = request("r2", 100);
        let (joined, ()) = tokio::join!(world.engine.start_and_wait(again, LONG), async {
            tell(&world, "j", "b", 0).await;
        });
        let (started, answer) = joined.unwrap();
        assert!(!started.is_new);
        assert_eq!(answer, Answer::Answered("101".into()));
        world.end("j").await;
        settle(&mut world, on_disk, registry()).await;
        let first = world.engine.start(request("r1", 0)).await.unwrap();
        let newest = world.engine.turns("j", None, 10).await.unwrap();
        assert_eq!((first.is_new, newest.len()), (false, 3));
        assert_eq!(first.run_id, newest[2].id());
        assert!(world.engine.start(request("r3", 5)).await.unwrap().is_new);
        tell(&world, "j", "a", 0).await;
        assert_eq!(world.end("j").await.result.unwrap(), "5");
        let mut all = world.bank.effects().into_values();
        assert!(all.all(|effect| effect.done == 1 && effect.undone == 0));
        // And the last one can be reset as well.
        world.engine.reset("j", back_to(0)).await.unwrap();
        assert_eq!(world.end("j").await.result.unwrap(), "5");
        assert_eq!(standing(&world).len(), 4);
    }
}
