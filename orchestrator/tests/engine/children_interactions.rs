//! Where children meet other features of the engine: ids that are used again, resets, and undo that parks.

use std::time::Duration;

use serde::Serialize;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::Irreversible;
use souk_orchestrator::engine::{
    ChildWorkflow, Cx, Error, Failure, IdReuse, ParentClose, Registry, StartRequest,
};
use souk_orchestrator::testing::Fault;

use super::garden::{self, Leaf, Prune, go, leaf, noted, pruned, waiting};
use super::interactions::{Number, back_to, dropping, place_of, settle, standing, states, tell};
use super::shapes::{Erase, note};
use super::world::{World, quick};

/// A leaf that nothing undoes.
#[derive(Serialize)]
#[serde(transparent)]
struct Weed(Leaf);

impl ChildWorkflow for Weed {
    const TYPE: &'static str = "leaf";
    type Output = String;
    type Undo = Irreversible;

    fn parent_close(&self) -> ParentClose {
        self.0.policy
    }
}

/// Has a leaf of its own, without anything to be undone, and waits.
async fn shepherd(cx: &Cx, (leaf, label): (Leaf, String)) -> Result<String, Failure> {
    drop(cx.start_child(Weed(leaf)).await?);
    cx.answer(&label);
    cx.signal::<Number>().await?;
    Ok(label)
}

/// Has a leaf grow, and goes on when it is told; at zero it fails.
async fn after_leaf(cx: &Cx, leaf: Leaf) -> Result<String, Failure> {
    let saga = cx.saga();
    let grown = saga.child(leaf).await?;
    let Number(number) = cx.signal().await?;
    saga.step(note(format!("told {number}"))).await?;
    match number {
        0 => Err(Failure::new("NAUGHT", "nothing is not enough")),
        number => Ok(format!("{number} after {grown}")),
    }
}

fn registry() -> Registry {
    garden::add_to(Registry::new())
        .workflow("shepherd", shepherd)
        .workflow("after_leaf", after_leaf)
        .compensation::<Erase>()
        .compensation::<Prune>()
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

#[tokio::test(start_paused = true)]
async fn a_run_with_children_is_ended_for_another_only_if_it_leaves_none_behind() {
    for on_disk in [false, true] {
        let mut world = world(5).await;
        let start = |request_id: &str, label: &str, policy: ParentClose| {
            let child = Leaf { policy, ..waiting("a") };
            let request = StartRequest::new("s", "shepherd", &(child, label)).unwrap();
            let (request_id, id_reuse) = (request_id.to_owned(), IdReuse::TerminateIfOpen);
            StartRequest { request_id, id_reuse, ..request }
        };
        let begin = async |world: &World, request| {
            let started = world.engine.start(request).await;
            world.pass(Duration::from_secs(1)).await;
            started.map(|started| started.run_id.0.simple().to_string())
        };
        let first = begin(&world, start("r1", "one", ParentClose::Abandon)).await.unwrap();
        settle(&mut world, on_disk, registry()).await;
        // An abandoned child goes on by itself, and the next run has one of its own.
        let second = begin(&world, start("r2", "two", ParentClose::Cancel)).await.unwrap();
        let children = [format!("s/leaf/1.{first}"), format!("s/leaf/1.{second}")];
        for child in &children {
            assert_eq!(world.row(child).await.state(), RunState::Running, "{child}");
        }
        settle(&mut world, on_disk, registry()).await;
        // A child that ends with its run is not left behind.
        let refused = begin(&world, start("r3", "three", ParentClose::Cancel)).await;
        assert!(matches!(refused, Err(Error::OpenUndo { open_undo: 1 })), "{refused:?}");
        assert_eq!(world.row("s").await.state(), RunState::Running);
        // The end of the first run's child is not taken for that of the second's.
        go(&world, &children[0]).await;
        world.end(&children[0]).await;
        world.pass(Duration::from_secs(1)).await;
        assert_eq!(world.row("s").await.open_children.len(), 1);
        world.engine.cancel("s", "another is wanted").await.unwrap();
        assert_eq!(world.end("s").await.state, RunState::Cancelled);
        assert_eq!(world.row(&children[1]).await.state(), RunState::Cancelled);
        begin(&world, start("r3", "three", ParentClose::Cancel)).await.unwrap();
        let expected = [RunState::Running, RunState::Cancelled, RunState::Terminated];
        assert_eq!(states(&world, "s").await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_reset_behind_the_end_of_its_child_and_still_answers_for_it() {
    for (number, on_disk) in [(0, false), (0, true), (5, false), (5, true)] {
        let place = format!("told {number}, on disk {on_disk}");
        let mut world = world(6).await;
        world.start_as("p", "after_leaf", &leaf("a")).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        tell(&world, "p", "a", 7).await;
        assert_eq!(world.end("p").await.result.unwrap(), r#""7 after a of p""#, "{place}");
        settle(&mut world, on_disk, registry()).await;
        let child = world.row("p/leaf/1").await;
        for sequence in 0..2 {
            let refused = world.engine.reset("p", back_to(sequence)).await.unwrap_err();
            assert!(refused.to_string().contains(r#"its child "p/leaf/1""#), "{place}: {refused}");
        }
        assert_eq!(world.row("p").await.state(), RunState::Completed, "{place}");
        // The end of the child is taken in again; what was decided on it is decided anew.
        let closed = place_of(&world, "p", "child closed Completed", 0).await;
        world
            .engine
            .reset("p", dropping(back_to(closed)))
            .await
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        settle(&mut world, on_disk, registry()).await;
        tell(&world, "p", "b", number).await;
        let end = world.end("p").await;
        assert_eq!(world.row("p/leaf/1").await, child, "{place}: the child is left alone");
        if number == 0 {
            assert_eq!(end.failure.unwrap().code, "NAUGHT", "{place}");
            assert_eq!(pruned(&world), ["prune a"], "{place}");
            // It is undone now, and nothing can start it again.
            for sequence in [closed, closed + 1, closed + 2] {
                let refused = world.engine.reset("p", back_to(sequence)).await.unwrap_err();
                let expected = r#"what its child "p/leaf/1" did was undone by event"#;
                assert!(refused.to_string().contains(expected), "{place}: {refused}");
            }
        } else {
            assert_eq!(end.result.unwrap(), r#""5 after a of p""#, "{place}");
            assert!(pruned(&world).is_empty(), "{place}");
        }
        // What the first time did is undone unless it is done again, which it is not.
        let expected: &[&str] = if number == 0 { &[] } else { &["p/note/2"] };
        let own = standing(&world).into_iter().filter(|key| key.starts_with("p/note"));
        assert_eq!(own.collect::<Vec<_>>(), expected, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_child_that_is_reset_is_its_parents_child_still() {
    for (on_disk, cancels) in [(false, false), (true, false), (false, true), (true, true)] {
        let place = format!("on disk {on_disk}, cancels {cancels}");
        let mut world = world(7).await;
        world.start_as("p", "after_leaf", &waiting("a")).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        settle(&mut world, on_disk, registry()).await;
        world.engine.reset("p/leaf/1", back_to(0)).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        settle(&mut world, on_disk, registry()).await;
        assert_eq!(world.row("p").await.open_children.len(), 1, "{place}");
        assert_eq!(noted(&world, "p/leaf/1"), (1, 0), "{place}");
        if cancels {
            world.engine.cancel("p", "enough").await.unwrap();
            assert_eq!(world.end("p").await.state, RunState::Cancelled, "{place}");
            assert_eq!(world.row("p/leaf/1").await.state(), RunState::Cancelled, "{place}");
            assert_eq!(noted(&world, "p/leaf/1"), (1, 1), "{place}");
            continue;
        }
        go(&world, "p/leaf/1").await;
        tell(&world, "p", "a", 5).await;
        assert_eq!(world.end("p").await.result.unwrap(), r#""5 after a of p""#, "{place}");
        let expected = [RunState::Completed, RunState::Continued];
        assert_eq!(states(&world, "p/leaf/1").await, expected, "{place}");
    }
}

/// Long enough for asking a child to end to be given up.
const LONGER_THAN_A_DAY: Duration = Duration::from_secs(2 * 24 * 3600);
const END_CHILD: &str = "souk.end_child";

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_be_ended_parks_its_parent_which_is_retried_or_lets_it_go() {
    for (fails, skips, on_disk) in
        [(false, false, false), (false, true, true), (true, false, true), (true, true, false)]
    {
        let place = format!("fails {fails}, skips {skips}, on disk {on_disk}");
        let mut world = world(8).await;
        world.start_as("p", "scatter", &(vec![waiting("a")], fails)).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        world.faults.always(END_CHILD, Fault::Away);
        go(&world, "p").await;
        world.pass(LONGER_THAN_A_DAY).await;
        let row = world.row("p").await;
        assert_eq!(row.state(), RunState::Parked, "{place}");
        assert_eq!(row.parked_by.unwrap().step, END_CHILD, "{place}");
        assert_eq!(world.row("p/leaf/1").await.state(), RunState::Running, "{place}");
        // Earlier undo waits.
        assert_eq!(noted(&world, "p"), (1, 0), "{place}");
        settle(&mut world, on_disk, registry()).await;
        world.faults.repair(END_CHILD);
        match skips {
            true => world.engine.skip_step("p", "tested").await.unwrap(),
            false => world.engine.retry_step("p").await.unwrap(),
        }
        let end = world.end("p").await;
        let expected = if fails { RunState::Failed } else { RunState::Completed };
        assert_eq!(end.state, expected, "{place}");
        assert_eq!(noted(&world, "p"), (1, u32::from(fails)), "{place}");
        world.pass(Duration::from_secs(1)).await;
        let child = world.row("p/leaf/1").await.state();
        let expected = if skips { RunState::Running } else { RunState::Cancelled };
        assert_eq!(child, expected, "{place}");
        let row = world.row("p").await;
        assert!(!fails || row.open_undo == 0, "{place}: {row:?}");
        if skips {
            // It goes on by itself; whoever was its parent is not disturbed.
            go(&world, "p/leaf/1").await;
            assert_eq!(world.end("p/leaf/1").await.state, RunState::Completed, "{place}");
        }
    }
}

/// A child that ends by itself ends the trouble: the parent that was parked for it goes on when it is retried.
#[tokio::test(start_paused = true)]
async fn a_child_that_ends_while_its_parent_is_parked_for_it_is_taken_in() {
    for skips in [false, true] {
        let world = world(9).await;
        world.start_as("p", "scatter", &(vec![waiting("a")], true)).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        world.faults.always(END_CHILD, Fault::Away);
        go(&world, "p").await;
        world.pass(LONGER_THAN_A_DAY).await;
        go(&world, "p/leaf/1").await;
        assert_eq!(world.end("p/leaf/1").await.state, RunState::Completed);
        world.pass(Duration::from_secs(1)).await;
        assert_eq!(world.row("p").await.state(), RunState::Parked);
        world.faults.repair(END_CHILD);
        match skips {
            true => world.engine.skip_step("p", "tested").await.unwrap(),
            false => world.engine.retry_step("p").await.unwrap(),
        }
        assert_eq!(world.end("p").await.state, RunState::Failed);
        // It has completed, so that its compensation undoes it.
        assert_eq!(pruned(&world), ["prune a"]);
        assert_eq!(noted(&world, "p"), (1, 1));
    }
}
