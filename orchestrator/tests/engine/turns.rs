//! Runs that continue as new: one workflow id, many short histories.

use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::cx::{Signal, View};
use souk_orchestrator::engine::event::Body;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Answer, Cx, Error, Failure, Registry};

use super::deaths::at_every_point;
use super::shapes::note;
use super::world::{LONG, World, quick};

#[derive(Deserialize)]
struct Add(u32);

impl Signal for Add {
    const NAME: &'static str = "add";
}

/// Adds what it is told, a turn for each; zero ends it.
async fn count(cx: &Cx, sum: u32) -> Result<u32, Failure> {
    let Add(number) = cx.signal().await?;
    cx.saga().step(note("add")).await?;
    cx.answer(&"counting");
    match number {
        0 => Ok(sum),
        _ => cx.continue_as_new(&(sum + number)).await,
    }
}

async fn spin(cx: &Cx, turn: u32) -> Result<(), Failure> {
    cx.continue_as_new(&(turn + 1)).await
}

async fn change_of_mind(cx: &Cx, _: u32) -> Result<(), Failure> {
    cx.sleep(Duration::from_secs(1)).await?;
    cx.continue_as_new(&"no number").await
}

/// Continues although it is cancelled.
async fn stubborn(cx: &Cx, turn: u32) -> Result<(), Failure> {
    let shielded = cx.shielded();
    if turn == 0 {
        cx.cancelled().await;
        shielded.sleep(Duration::from_secs(1)).await?;
        return cx.continue_as_new(&1).await;
    }
    cx.sleep(Duration::from_secs(1)).await
}

async fn long(cx: &Cx, sleeps: u32) -> Result<u32, Failure> {
    for slept in 0..sleeps {
        if cx.history_is_long() {
            return cx.continue_as_new(&(sleeps - slept)).await;
        }
        cx.sleep(Duration::from_millis(1)).await?;
    }
    Ok(sleeps)
}

fn registry() -> Registry {
    Registry::new()
        .workflow("count", count)
        .workflow("spin", spin)
        .workflow("change_of_mind", change_of_mind)
        .workflow("stubborn", stubborn)
        .workflow("long", long)
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

async fn add(world: &World, id: u32, number: u32) -> Result<bool, Error> {
    world.engine.signal("c", "add", &id.to_string(), number.to_string().into()).await
}

async fn states(world: &World) -> Vec<RunState> {
    world.pass(Duration::from_secs(1)).await;
    let page = world.engine.list(&Filter::default(), None, 100).await.unwrap();
    page.rows.iter().map(|row| row.state()).collect()
}

fn check_effects(world: &World, count: usize) {
    let effects = world.bank.effects();
    let expected: Vec<String> = (1..=count).map(|number| format!("c/note/{number}")).collect();
    let mut keys: Vec<String> = effects.keys().cloned().collect();
    keys.sort_by_key(|key| key.rsplit('/').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(keys, expected);
    assert!(effects.values().all(|effect| effect.done == 1 && effect.undone == 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_taken_goes_along_and_effect_keys_stay_distinct() {
    let world = world(1).await;
    world.start_as("c", "count", &0).await.unwrap();
    for id in 1..=20 {
        assert!(add(&world, id, id).await.unwrap());
        // A repetition is recognised in every turn.
        assert!(!add(&world, 1, 1_000).await.unwrap());
    }
    let again = world.start_as("c", "count", &0).await.unwrap();
    assert!(!again.is_new);
    let answer = world.engine.answer("c", LONG).await.unwrap();
    assert_eq!(answer, Answer::Answered(r#""counting""#.into()));
    add(&world, 21, 0).await.unwrap();
    assert_eq!(world.end("c").await.result.unwrap(), "210");
    check_effects(&world, 21);
    let states = states(&world).await;
    assert_eq!(states[0], RunState::Completed);
    assert!(states[1..].iter().all(|state| *state == RunState::Continued));
    assert_eq!(states.len(), 21);
    // The first answer is that of the whole run, and equal starts still join it.
    assert_eq!(world.engine.answer("c", LONG).await.unwrap(), answer);
    assert!(!world.start_as("c", "count", &0).await.unwrap().is_new);
    let conflict = world.start_as("c", "count", &1).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_turn_comes_back_from_disk_with_what_it_was_given() {
    let mut world = world(2).await;
    world.start_as("c", "count", &0).await.unwrap();
    for id in 1..=3 {
        add(&world, id, id).await.unwrap();
        world.pass(Duration::from_secs(10)).await;
        assert_eq!(world.engine.loaded_runs(), 0);
        assert!(!add(&world, 1, 1_000).await.unwrap());
        world.restart_with(Unsynced::Lost, registry()).await;
    }
    add(&world, 4, 0).await.unwrap();
    assert_eq!(world.end("c").await.result.unwrap(), "6");
    check_effects(&world, 4);
}

/// Starts the run and tells it everything, again and again until it has ended.
async fn drive(world: &World) {
    world.start_as("c", "count", &0).await.unwrap();
    for (id, number) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 0)] {
        world.pass(Duration::from_millis(u64::from(id % 3) * 10)).await;
        match add(world, id, number).await {
            Ok(_) | Err(Error::Closed { state: RunState::Completed, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    world.end("c").await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_leaves_one_run_with_all_its_turns() {
    let check = async |world: &World, place: &str| {
        assert_eq!(world.end("c").await.result.unwrap(), "21", "{place}");
        check_effects(world, 7);
        let states = states(world).await;
        assert_eq!(states.len(), 7, "{place}: {states:?}");
        assert_eq!(states[0], RunState::Completed);
    };
    let points = at_every_point(world, |_| registry(), drive, check).await;
    assert!(points > 30, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn turns_that_cannot_be_are_told() {
    let world = world(3).await;
    world.start_as("s", "spin", &0).await.unwrap();
    assert_eq!(world.row("s").await.stuck_code, "SOUK-0008");
    world.start_as("m", "change_of_mind", &0).await.unwrap();
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.row("m").await.stuck_code, "SOUK-0004");
    assert_eq!(world.outline("m").await, ["started", "stuck SOUK-0004"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_not_lost_between_two_turns() {
    let world = world(4).await;
    world.start_as("s", "stubborn", &0).await.unwrap();
    world.engine.cancel("s", "enough").await.unwrap();
    assert_eq!(world.end("s").await.state, RunState::Cancelled);
    assert!(world.row("s").await.cancel_requested);
}

#[tokio::test(start_paused = true)]
async fn a_long_loop_that_heeds_the_hint_stays_short() {
    let world = world(5).await;
    world.start_as("l", "long", &12_000).await.unwrap();
    assert_eq!(world.end("l").await.state, RunState::Completed);
    let states = states(&world).await;
    assert_eq!(states.len(), 3, "{states:?}");
}

#[derive(serde::Serialize)]
struct Sum(u32);

impl View for Sum {
    const NAME: &'static str = "sum";
}

/// Counts, and shows what it has come to.
async fn shown(cx: &Cx, sum: u32) -> Result<u32, Failure> {
    cx.publish(&Sum(sum));
    count(cx, sum).await
}

#[tokio::test(start_paused = true)]
async fn earlier_turns_are_found_by_their_run_ids() {
    let registry = || registry().workflow("count", shown);
    for on_disk in [false, true] {
        let mut world = World::with(6, quick(), registry()).await;
        world.start_as("c", "count", &0).await.unwrap();
        world.start_as("other", "count", &0).await.unwrap();
        for id in 1..=5 {
            add(&world, id, id).await.unwrap();
            if on_disk {
                world.pass(Duration::from_secs(1)).await;
            }
        }
        if on_disk {
            world.restart_with(Unsynced::Lost, registry()).await;
        }
        while world.engine.turns("c", None, 100).await.unwrap().len() < 6 {
            tokio::task::yield_now().await;
        }
        let rows = world.engine.turns("c", None, 100).await.unwrap();
        let mut next = None;
        for (row, sum) in rows.iter().zip([15, 10, 6, 3, 1, 0]) {
            let run = ("c", row.id());
            let described = world.engine.describe(run).await.unwrap();
            assert_eq!(described.row, *row);
            let view = world.engine.query(run, "sum").await.unwrap();
            assert_eq!(view, sum.to_string());
            let events = world.engine.history(run, 0, next.is_some()).await.unwrap();
            let events: Vec<_> = events.map(|event| event.unwrap().event).collect().await;
            assert_eq!(events.len() as u64, row.next_sequence);
            let end = events.last().unwrap().body.clone();
            assert_eq!(matches!(end, Some(Body::Closed(_))), next.is_some());
            // A run of another workflow id is not to be had under this one.
            let foreign = world.engine.describe(("other", row.id())).await;
            assert!(matches!(foreign, Err(Error::NotFound(_))));
            next = Some(row.id());
        }
        // In pages, the same.
        let mut paged = world.engine.turns("c", None, 2).await.unwrap();
        while let Some(last) = paged.last()
            && let more = world.engine.turns("c", Some(last.id()), 2).await.unwrap()
            && !more.is_empty()
        {
            paged.extend(more);
        }
        assert_eq!(paged, rows);
        let unknown = world.engine.turns("nobody", None, 2).await;
        assert!(matches!(unknown, Err(Error::NotFound(_))));
    }
}
