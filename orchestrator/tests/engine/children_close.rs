//! What becomes of children when their parent ends, goes on in a new turn, or gives them up.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Error, ParentClose};

use super::garden::{Leaf, go, nested, noted, pruned, registry, waiting, world};
use super::world::LONG;

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
