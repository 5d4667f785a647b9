//! Children: runs that other runs start, wait for, and answer for.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::limits::MAX_OPEN_CHILDREN;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Error, ParentClose, Registry};

use super::bank::Behaviour;
use super::garden::{Leaf, go, leaf, nested, noted, pruned, registry, waiting, world};
use super::world::{LONG, World, quick};

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
async fn a_run_that_returns_has_its_open_children_end_as_their_policies_say() {
    let world = world(6).await;
    let leaves = [ParentClose::Cancel, ParentClose::Terminate, ParentClose::Abandon]
        .map(|policy| Leaf { policy, ..waiting("a") })
        .to_vec();
    world.start_as("p", "scatter", &(leaves, false)).await.unwrap();
    go(&world, "p").await;
    let end = world.end("p").await;
    assert_eq!((end.state, end.result.unwrap().as_ref()), (RunState::Completed, &b"3"[..]));
    assert_eq!(world.end("p/leaf/1").await.state, RunState::Cancelled);
    assert_eq!(world.end("p/leaf/2").await.state, RunState::Terminated);
    assert_eq!(world.row("p/leaf/3").await.state(), RunState::Running);
    assert_eq!(noted(&world, "p/leaf/1"), (1, 1));
    assert_eq!(noted(&world, "p/leaf/2"), (1, 0));
    // What was done well is not undone because the run is over.
    assert_eq!((noted(&world, "p"), pruned(&world).len()), ((1, 0), 0));
    go(&world, "p/leaf/3").await;
    assert_eq!(world.end("p/leaf/3").await.result.unwrap(), r#""a of p""#);
    let mut outline = world.outline("p").await;
    // The end of a child may be told before its parent has ended.
    outline.retain(|line| !line.starts_with("child closed"));
    let from = outline.iter().position(|line| line == "ending").unwrap();
    let expected = [
        "ending",
        "undo souk.end_child",
        "undone souk.end_child",
        "undo souk.end_child",
        "undone souk.end_child",
        "closed Completed",
    ];
    assert_eq!(outline[from..], expected);
}

#[tokio::test(start_paused = true)]
async fn ending_a_child_by_force_reaches_its_own_children() {
    let world = world(7).await;
    let forced = Leaf { policy: ParentClose::Terminate, ..nested("a") };
    world.start_as("p", "scatter", &(vec![forced], false)).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    go(&world, "p").await;
    assert_eq!(world.end("p").await.state, RunState::Completed);
    assert_eq!(world.end("p/leaf/1").await.state, RunState::Terminated);
    assert_eq!(world.end("p/leaf/1/leaf/1").await.state, RunState::Terminated);
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_parent_cancels_its_children_and_theirs() {
    let world = world(8).await;
    world.start_as("p", "bush", &vec![nested("a"), waiting("b")]).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.engine.cancel("p", "enough").await.unwrap();
    assert_eq!(world.end("p").await.state, RunState::Cancelled);
    for id in ["p/leaf/1", "p/leaf/1/leaf/1", "p/leaf/2"] {
        assert_eq!(world.row(id).await.state(), RunState::Cancelled, "{id}");
        assert_eq!(noted(&world, id), (1, 1), "{id}");
    }
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
async fn a_child_that_is_given_up_is_asked_to_end_unless_it_is_abandoned() {
    let world = world(14).await;
    for (id, policy, state) in [
        ("c", ParentClose::Cancel, RunState::Cancelled),
        ("t", ParentClose::Terminate, RunState::Terminated),
        ("a", ParentClose::Abandon, RunState::Running),
    ] {
        world.start_as(id, "impatient", &Leaf { policy, ..waiting("a") }).await.unwrap();
        world.pass(Duration::from_secs(5)).await;
        assert_eq!(world.row(id).await.state(), RunState::Running);
        assert_eq!(world.row(&format!("{id}/leaf/1")).await.state(), state, "{id}");
        assert_eq!(world.end(id).await.result.unwrap(), r#""without""#);
    }
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
async fn open_children_go_along_when_a_parent_continues_as_new() {
    let mut world = world(16).await;
    world.start_as("p", "seasons", &0).await.unwrap();
    world.pass(Duration::from_millis(1_500)).await;
    world.restart_with(Unsynced::SeededPrefix, registry()).await;
    world.engine.answer("p", LONG).await.unwrap();
    world.pass(Duration::from_secs(10)).await;
    let open = world.row("p").await.open_children;
    assert_eq!(open[0].workflow_id, "evergreen leaf");
    go(&world, "evergreen leaf").await;
    assert_eq!(world.end("p").await.result.unwrap(), r#""a of p""#);
}

/// A child that is being started is waited for, so that it is not lost between two turns.
#[tokio::test(start_paused = true)]
async fn a_turn_does_not_end_while_a_child_is_being_started() {
    let world = world(17).await;
    world.start_as("h", "hasty", &0).await.unwrap();
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.row("h").await.open_children.len(), 1);
    go(&world, "hasty leaf").await;
    assert_eq!(world.end("h").await.result.unwrap(), r#""a of h""#);
}

#[tokio::test(start_paused = true)]
async fn a_carried_child_ends_with_the_turn_that_has_it_then() {
    let world = world(18).await;
    world.start_as("p", "seasons", &0).await.unwrap();
    world.engine.answer("p", LONG).await.unwrap();
    world.engine.cancel("p", "enough").await.unwrap();
    assert_eq!(world.end("p").await.state, RunState::Cancelled);
    assert_eq!(world.row("evergreen leaf").await.state(), RunState::Cancelled);
}

/// A child may continue as new itself: the end of its last turn is its end.
#[tokio::test(start_paused = true)]
async fn a_child_that_continues_as_new_keeps_its_parent() {
    let world = world(19).await;
    world.start_as("p", "orchard", &()).await.unwrap();
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.row("p").await.state(), RunState::Running);
    world.engine.answer("tree", LONG).await.unwrap();
    go(&world, "evergreen leaf").await;
    assert_eq!(world.end("p").await.result.unwrap(), r#""a of tree""#);
    assert_eq!(world.row("tree").await.parent.unwrap().workflow_id, "p");
}

#[tokio::test(start_paused = true)]
async fn ending_a_parent_by_force_is_refused_while_children_depend_on_it() {
    let world = world(20).await;
    world.start_as("p", "scatter", &(vec![waiting("a")], false)).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let refused = world.engine.terminate("p", "by hand", false).await;
    // The note, the leaf's compensation, and the leaf itself.
    assert!(matches!(refused, Err(Error::OpenUndo { open_undo: 3 })), "{refused:?}");
    world.engine.terminate("p", "by hand", true).await.unwrap();
    go(&world, "p/leaf/1").await;
    assert_eq!(world.end("p/leaf/1").await.state, RunState::Completed);
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
async fn a_turn_ends_although_every_round_gives_a_child_up() {
    let mut world = world(23).await;
    world.start_as("f", "fickle", &0).await.unwrap();
    world.pass(Duration::from_millis(2_500)).await;
    world.restart_with(Unsynced::Lost, registry()).await;
    assert_eq!(world.end("f").await.result.unwrap(), "6");
    world.pass(Duration::from_secs(1)).await;
    let rows = world.engine.list(&Filter::default(), None, 100).await.unwrap().rows;
    let turns: Vec<_> = rows.iter().filter(|row| row.workflow_type == "fickle").collect();
    assert!(turns.len() > 4, "{} turns", turns.len());
    assert!(turns.iter().all(|row| row.stuck_code.is_empty() && row.open_undo == 0), "{turns:#?}");
    for row in rows.iter().filter(|row| row.workflow_type == "leaf") {
        let is_dropped = row.state() == RunState::Cancelled;
        assert!(is_dropped || row.state() == RunState::Completed, "{row:?}");
    }
    assert_eq!(rows.iter().filter(|row| row.state() == RunState::Cancelled).count(), 6);
    assert!(pruned(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_given_up_before_it_is_started_is_asked_to_end_once_it_is() {
    let world = world(24).await;
    world.start_as("h", "hurried", &waiting("a")).await.unwrap();
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.row("h").await.state(), RunState::Running);
    assert_eq!(world.row("h/leaf/1").await.state(), RunState::Cancelled);
    assert_eq!(world.end("h").await.result.unwrap(), r#""without""#);
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
