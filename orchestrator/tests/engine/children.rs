//! Children: runs that other runs start, wait for, and answer for.

use std::time::Duration;

use souk_orchestrator::engine::limits::MAX_OPEN_CHILDREN;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Error, Registry};

use super::bank::Behaviour;
use super::garden::{Leaf, go, leaf, noted, pruned, registry, waiting, world};
use super::world::{World, quick};

#[tokio::test(start_paused = true)]
async fn a_child_runs_to_its_end_and_its_parent_goes_on_with_the_result() {
    let world = world(1).await;
    world.start_as("p", "row", &(vec![leaf("a"), leaf("b")], false)).await.unwrap();
    assert_eq!(world.end("p").await.result.unwrap(), r#"["a of p","b of p"]"#);
    let expected = [
        "started",
        "schedule note",
        "completed note",
        "child leaf p/leaf/1",
        "child started",
        "child closed Completed",
        "child leaf p/leaf/2",
        "child started",
        "child closed Completed",
        "closed Completed",
    ];
    assert_eq!(world.outline("p").await, expected);
    let child = world.row("p/leaf/1").await;
    let parent = child.parent.unwrap();
    assert_eq!((parent.workflow_id.as_str(), parent.depth), ("p", 1));
    assert_eq!(parent.run_id, world.row("p").await.run_id);
    assert!(pruned(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_fails_its_parent_with_code_message_and_id() {
    let world = world(2).await;
    let wilting = Leaf { fails: true, ..leaf("b") };
    world.start_as("p", "row", &(vec![leaf("a"), wilting], false)).await.unwrap();
    let end = world.end("p").await;
    assert_eq!(end.state, RunState::Failed);
    let failure = end.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("WILTED", "it was too dry"));
    assert_eq!(failure.step.as_deref(), Some("p/leaf/2"));
    // The first has completed, and is undone by its compensation; the second has undone itself.
    assert_eq!(pruned(&world), ["prune a"]);
    assert_eq!(noted(&world, "p/leaf/2"), (1, 1));
    assert_eq!(noted(&world, "p"), (1, 1));
    assert_eq!(world.row("p").await.open_undo, 0);
}

#[tokio::test(start_paused = true)]
async fn children_that_completed_are_undone_the_last_first() {
    let world = world(3).await;
    world.start_as("p", "row", &(vec![leaf("a"), leaf("b")], true)).await.unwrap();
    assert_eq!(world.end("p").await.failure.unwrap().code, "STORM");
    assert_eq!(pruned(&world), ["prune b", "prune a"]);
}

/// The bug class of medusa#16825, with children.
#[tokio::test(start_paused = true)]
async fn when_one_of_many_children_fails_late_all_others_are_undone_or_cancelled() {
    let world = world(4).await;
    let failing = Leaf { fails: true, ..waiting("late") };
    let leaves = vec![leaf("done"), waiting("open"), failing, leaf("done too")];
    world.start_as("p", "bush", &leaves).await.unwrap();
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.row("p").await.open_children.len(), 2);
    go(&world, "p/leaf/3").await;
    let end = world.end("p").await;
    assert_eq!((end.state, end.failure.unwrap().code.as_str()), (RunState::Failed, "WILTED"));
    // The parent has waited for the end of the child that it has given up.
    assert_eq!(world.row("p/leaf/2").await.state(), RunState::Cancelled);
    assert_eq!(noted(&world, "p/leaf/2"), (1, 1));
    assert_eq!(noted(&world, "p/leaf/3"), (1, 1));
    assert_eq!(pruned(&world), ["prune done too", "prune done"]);
    assert_eq!(noted(&world, "p"), (1, 1));
    let row = world.row("p").await;
    assert_eq!((row.open_undo, row.open_children.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_open_child_is_awaited_before_earlier_undo_goes_on() {
    let world = world(5).await;
    world.bank.always("erase a for CANCELLED", Behaviour::Fail);
    world.start_as("p", "scatter", &(vec![waiting("a")], true)).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    go(&world, "p").await;
    world.pass(Duration::from_secs(5)).await;
    // The child is still undoing; the parent waits and has undone nothing.
    assert_eq!(world.row("p/leaf/1").await.state(), RunState::Compensating);
    assert_eq!(world.row("p").await.state(), RunState::Compensating);
    assert_eq!(noted(&world, "p"), (1, 0));
    assert!(!world.bank.journal().contains(&"erase ground for STORM".to_owned()));
    world.bank.calm();
    assert_eq!(world.end("p").await.state, RunState::Failed);
    assert_eq!(world.row("p/leaf/1").await.state(), RunState::Cancelled);
    assert_eq!(noted(&world, "p"), (1, 1));
    assert!(pruned(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_others_end_is_told_to_its_parent_as_that() {
    let world = world(9).await;
    for (id, code) in [("c", "CHILD_CANCELLED"), ("t", "CHILD_TERMINATED")] {
        world.start_as(id, "row", &(vec![waiting("a")], false)).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        let child = format!("{id}/leaf/1");
        match id {
            "c" => world.engine.cancel(&child, "by hand").await.unwrap(),
            _ => world.engine.terminate(&child, "by hand", true).await.unwrap(),
        }
        let end = world.end(id).await;
        // The parent was not cancelled: it has failed.
        assert_eq!((end.state, end.failure.unwrap().code.as_str()), (RunState::Failed, code));
    }
    // Nobody has undone the one that was ended by force: its compensation does.
    assert_eq!(pruned(&world), ["prune a"]);
    assert_eq!(noted(&world, "t/leaf/1"), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_id_is_taken_is_a_conflict_and_nothing_of_it_is_undone() {
    let world = world(10).await;
    let taken = Leaf { id: Some("taken leaf".into()), ..waiting("a") };
    // Even an equal run is another one if this parent has not started it.
    world.start_as("taken leaf", "leaf", &taken).await.unwrap();
    world.start_as("p", "row", &(vec![taken.clone()], false)).await.unwrap();
    let failure = world.end("p").await.failure.unwrap();
    let found = (failure.code.as_str(), failure.step.as_deref());
    assert_eq!(found, ("CHILD_CONFLICT", Some("taken leaf")));
    assert_eq!(world.row("taken leaf").await.state(), RunState::Running);
    assert!(!world.row("taken leaf").await.cancel_requested);
    world.start_as("g", "gardener", &(taken.clone(), false)).await.unwrap();
    assert_eq!(world.end("g").await.failure.unwrap().code, "CHILD_CONFLICT");
    assert_eq!(noted(&world, "p"), (1, 1));
    assert!(pruned(&world).is_empty());
    // And the other way round.
    world.start_as("q", "row", &(vec![leaf("b")], false)).await.unwrap();
    world.end("q").await;
    let foreign = world.start_as("q/leaf/1", "leaf", &leaf("b")).await;
    assert!(matches!(foreign, Err(Error::Conflict { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_be_started_is_told_why() {
    let rows_only = Registry::new().workflow("row", super::garden::row);
    let world = World::with(11, quick(), rows_only).await;
    world.start_as("p", "row", &(vec![leaf("a")], false)).await.unwrap();
    let failure = world.end("p").await.failure.unwrap();
    assert_eq!(failure.code, "CHILD_REFUSED");
    assert!(failure.message.contains("leaf"), "{failure}");
    let world = super::garden::world(12).await;
    world.start_as("nest 0", "nest", &0).await.unwrap();
    assert_eq!(world.end("nest 0").await.result.unwrap(), "16");
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_waits_for_a_child_needs_no_memory_and_comes_back() {
    let mut world = world(13).await;
    world.start_as("p", "row", &(vec![waiting("a")], false)).await.unwrap();
    world.start_as("s", "scatter", &(vec![waiting("a")], false)).await.unwrap();
    world.pass(Duration::from_secs(90 * 24 * 3600)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    // A start looks after the children, and leaves everything on disk.
    world.restart_with(Unsynced::Lost, registry()).await;
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    go(&world, "p/leaf/1").await;
    assert_eq!(world.end("p").await.result.unwrap(), r#"["a of p"]"#);
    go(&world, "s").await;
    assert_eq!(world.end("s").await.state, RunState::Completed);
    assert_eq!(world.end("s/leaf/1").await.state, RunState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_parent_talks_to_its_child() {
    let world = world(15).await;
    world.start_as("g", "gardener", &(waiting("a"), false)).await.unwrap();
    assert_eq!(world.end("g").await.result.unwrap(), r#""a of g""#);
    world.start_as("h", "gardener", &(waiting("a"), true)).await.unwrap();
    assert_eq!(world.end("h").await.failure.unwrap().code, "CHILD_CANCELLED");
}

#[tokio::test(start_paused = true)]
async fn a_paused_parent_takes_the_end_of_its_child_in_when_it_is_resumed() {
    let mut world = world(21).await;
    world.start_as("p", "row", &(vec![waiting("a")], false)).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.engine.pause("p", "by hand").await.unwrap();
    go(&world, "p/leaf/1").await;
    world.end("p/leaf/1").await;
    world.pass(Duration::from_secs(1)).await;
    world.restart_with(Unsynced::Lost, registry()).await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.row("p").await.state(), RunState::Paused);
    world.engine.resume("p", "by hand").await.unwrap();
    assert_eq!(world.end("p").await.state, RunState::Completed);
    let outline = world.outline("p").await;
    let closed = outline.iter().filter(|line| line.starts_with("child closed"));
    assert_eq!(closed.count(), 1, "{outline:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parent_whose_code_does_not_fit_hears_of_its_child_once_it_does() {
    let mut world = world(22).await;
    world.start_as("p", "row", &(vec![waiting("a")], false)).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let leaves_only = Registry::new().workflow("leaf", super::garden::grow);
    world.restart_with(Unsynced::Lost, leaves_only).await;
    go(&world, "p/leaf/1").await;
    world.end("p/leaf/1").await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.row("p").await.state(), RunState::Stuck);
    world.restart_with(Unsynced::Lost, registry()).await;
    assert_eq!(world.end("p").await.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_second_child_under_the_id_of_the_first_is_a_conflict() {
    let world = world(25).await;
    let named = Leaf { id: Some("the leaf".into()), ..leaf("a") };
    world.start_as("p", "row", &(vec![named.clone(), named], false)).await.unwrap();
    assert_eq!(world.end("p").await.failure.unwrap().code, "CHILD_CONFLICT");
    // The first is undone, once.
    assert_eq!(pruned(&world), ["prune a"]);
}

#[tokio::test(start_paused = true)]
async fn many_children_at_once_are_no_trouble_and_too_many_are_told() {
    let world = world(26).await;
    let leaves: Vec<Leaf> = (0..MAX_OPEN_CHILDREN).map(|_| leaf("a")).collect();
    world.start_as("p", "bush", &leaves).await.unwrap();
    assert_eq!(world.end("p").await.state, RunState::Completed);
    let leaves: Vec<Leaf> = (0..=MAX_OPEN_CHILDREN).map(|_| leaf("a")).collect();
    world.start_as("q", "bush", &leaves).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.row("q").await.stuck_code, "SOUK-0008");
    assert!(world.row("q").await.open_children.is_empty());
}
