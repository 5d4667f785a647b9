//! The process dies at every append and drain step while parents and children go on: no end goes unheard, nothing is done
//! twice, and no child outlives the parent that it ends with.

use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Answer, Error, ParentClose};

use super::deaths::at_every_point;
use super::garden::{Leaf, leaf, noted, pruned, registry, waiting, world};
use super::world::World;

async fn tell(world: &World, workflow_id: &str) {
    match world.signal(workflow_id, "go", "1").await {
        // Its parent may not have come to it yet, or it has ended in an earlier life.
        Ok(()) | Err(Error::NotFound(_) | Error::Closed { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Starts every kind of parent and tells those that wait to go on, until all have ended.
async fn drive(world: &World) {
    let late = Leaf { fails: true, ..waiting("late") };
    world.start_as("bush", "bush", &vec![leaf("done"), waiting("open"), late]).await.unwrap();
    let leaves = [ParentClose::Cancel, ParentClose::Terminate, ParentClose::Abandon]
        .map(|policy| Leaf { policy, ..waiting("a") })
        .to_vec();
    world.start_as("scatter", "scatter", &(leaves, false)).await.unwrap();
    world.start_as("orchard", "orchard", &()).await.unwrap();
    world.start_as("impatient", "impatient", &waiting("a")).await.unwrap();
    for id in ["scatter", "bush/leaf/3", "scatter/leaf/3"] {
        world.pass(Duration::from_millis(10)).await;
        tell(world, id).await;
    }
    for _ in 0..60 {
        world.pass(Duration::from_secs(1)).await;
        tell(world, "bush/leaf/3").await;
        tell(world, "scatter/leaf/3").await;
        // Not before the last turn of its parent.
        let answer = world.engine.answer("tree", Duration::ZERO).await;
        if matches!(answer, Ok(Answer::Answered(_))) {
            tell(world, "evergreen leaf").await;
        }
        let page = world.engine.list(&Filter::default(), None, 100).await.unwrap();
        if page.rows.iter().all(|row| row.state().is_closed()) {
            return;
        }
    }
    let page = world.engine.list(&Filter::default(), None, 100).await.unwrap();
    let open: Vec<_> = page.rows.iter().filter(|row| !row.state().is_closed()).collect();
    panic!("these do not end: {open:#?}");
}

async fn check(world: &World, when: &str) {
    let ends = [
        ("bush", RunState::Failed),
        ("bush/leaf/1", RunState::Completed),
        ("bush/leaf/2", RunState::Cancelled),
        ("bush/leaf/3", RunState::Failed),
        ("scatter", RunState::Completed),
        ("scatter/leaf/1", RunState::Cancelled),
        ("scatter/leaf/2", RunState::Terminated),
        ("scatter/leaf/3", RunState::Completed),
        ("orchard", RunState::Completed),
        ("tree", RunState::Completed),
        ("evergreen leaf", RunState::Completed),
        ("impatient", RunState::Completed),
        ("impatient/leaf/1", RunState::Cancelled),
    ];
    for (id, state) in ends {
        let row = world.row(id).await;
        assert_eq!(row.state(), state, "{when}: {id}");
        assert!(row.open_children.is_empty() && row.open_steps.is_empty(), "{when}: {row:?}");
        if matches!(state, RunState::Failed | RunState::Cancelled) {
            assert_eq!((row.open_undo, noted(world, id)), (0, undone(world, id)), "{when}: {id}");
        }
    }
    // The one child that has completed for a parent that failed, once.
    assert_eq!(world.bank.effect("bush/prune/1").done, 1, "{when}");
    assert!(pruned(world).iter().all(|line| line == "prune done"), "{when}: {:?}", pruned(world));
    let outline = world.outline("bush").await;
    let closed = outline.iter().filter(|line| line.starts_with("child closed")).count();
    assert_eq!(closed, 3, "{when}: {outline:?}");
    // No child was started twice: four turns of the tree, and one run of every other.
    let page = world.engine.list(&Filter::default(), None, 100).await.unwrap();
    assert_eq!(page.rows.len(), ends.len() + 3, "{when}");
}

/// What was done was undone. A run that was cancelled before it had begun has done nothing.
fn undone(world: &World, workflow_id: &str) -> (u32, u32) {
    let (done, _) = noted(world, workflow_id);
    (done, done)
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_leaves_no_child_unheard_and_none_behind() {
    let points = at_every_point(world, |_| registry(), drive, check).await;
    assert!(points > 100, "only {points} points were tried");
}
