//! `souk.batch`: one operation on many runs, whatever happens meanwhile.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::{Fault, Operation as DiskOperation, Unsynced};
use souk_orchestrator::engine::reset::ResetPoint;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Filter, StartRequest};
use souk_orchestrator::system::batch::{
    Batch, Operation, Progress, RUNS_PER_SECOND, TYPE, Which, workflow_id,
};
use souk_orchestrator::testing::Fault as AttemptFault;

use crate::engine::bank::Behaviour;
use crate::engine::deaths::dies_during;
use crate::engine::transfer::Transfer;
use crate::engine::world::{LONG, World};

fn waiting() -> Transfer {
    Transfer { amount: 7, confirm: true, refuse: false }
}

fn of(operation: Operation, filter: &str) -> Batch {
    Batch {
        operation,
        which: Which::Filter(filter.to_owned()),
        reason: "tidying up (by staff)".into(),
        max_runs: 10_000,
        runs_per_second: RUNS_PER_SECOND,
        carried: None,
    }
}

async fn begin(world: &World, name: &str, batch: &Batch) -> String {
    let id = workflow_id(name);
    world.engine.start(StartRequest::new(&id, TYPE, batch).unwrap()).await.unwrap();
    id
}

async fn finish(world: &World, batch: &Batch) -> Progress {
    let id = begin(world, "b", batch).await;
    let end = world.end(&id).await;
    assert_eq!(end.state, RunState::Completed, "{:?}", end.failure);
    serde_json::from_slice(&end.result.unwrap()).unwrap()
}

async fn progress(world: &World, id: &str) -> Progress {
    serde_json::from_slice(&world.engine.query(id, "progress").await.unwrap()).unwrap()
}

fn counts(progress: &Progress) -> [u64; 4] {
    [progress.found, progress.done, progress.skipped, progress.failed]
}

/// How often a line is in the history of a run.
async fn count(world: &World, id: &str, line: &str) -> usize {
    world.outline(id).await.iter().filter(|found| *found == line).count()
}

#[tokio::test(start_paused = true)]
async fn a_batch_acts_on_the_runs_that_were_there_when_it_began_and_on_no_others() {
    let world = World::new(1).await;
    for number in 0..130 {
        world.start(&format!("w{number}"), &waiting()).await.unwrap();
    }
    world.start("done", &Transfer::default()).await.unwrap();
    world.end("done").await;
    // The newest of them is not in the tables yet.
    let batch = of(Operation::Cancel, "state = open");
    let id = begin(&world, "b", &batch).await;
    world.pass(Duration::from_millis(2)).await;
    world.start("later", &waiting()).await.unwrap();
    let end = world.end(&id).await;
    let told: Progress = serde_json::from_slice(&end.result.unwrap()).unwrap();
    assert_eq!(counts(&told), [130, 130, 0, 0], "{told:?}");
    assert!(told.is_done && !told.is_cut);
    assert_eq!(progress(&world, &id).await, told);
    for number in 0..130 {
        let end = world.end(&format!("w{number}")).await;
        assert_eq!(end.state, RunState::Cancelled);
        let reason = "tidying up (by staff) [souk.batch/b]";
        assert_eq!(end.failure.unwrap().message, reason);
    }
    assert_eq!(world.row("later").await.state(), RunState::Running);
    assert_eq!(world.row("done").await.state(), RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn what_it_does_not_apply_to_is_skipped_and_what_refuses_it_has_failed_each_with_the_reason()
{
    let world = World::new(1).await;
    for id in ["a", "paused"] {
        world.start(id, &waiting()).await.unwrap();
    }
    world.engine.pause("paused", "by hand").await.unwrap();
    world.start("done", &Transfer::default()).await.unwrap();
    world.end("done").await;
    let ids = ["a", "paused", "done", "unknown"].map(str::to_owned).to_vec();
    let which = Which::WorkflowIds(ids.clone());
    let told = finish(&world, &Batch { which, ..of(Operation::Pause, "") }).await;
    assert_eq!(counts(&told), [4, 1, 3, 0]);
    let mut notes: Vec<_> =
        told.notes.iter().map(|note| (note.workflow_id.as_str(), note.why.as_str())).collect();
    notes.sort_unstable();
    let expected = [
        ("done", "it has ended"),
        ("paused", "it is paused already"),
        ("unknown", "no run is known under this id"),
    ];
    assert_eq!(notes, expected);
    assert_eq!(world.row("a").await.state(), RunState::Paused);

    // Undo is owed, and nobody has given it up.
    let which = Which::WorkflowIds(vec!["a".into()]);
    let operation = Operation::Terminate { abandon_undo: false };
    let id = begin(&world, "t", &Batch { which, ..of(operation, "") }).await;
    world.end(&id).await;
    let told = progress(&world, &id).await;
    assert_eq!(counts(&told), [1, 0, 0, 1]);
    assert!(told.notes[0].has_failed && told.notes[0].why.contains("undo entries are open"));
    assert_eq!(world.row("a").await.state(), RunState::Paused);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_changes_between_finding_and_acting_is_left_alone() {
    let world = World::new(1).await;
    // The second chunk is found only after a pause of fifty seconds.
    for number in 0..60 {
        world.start(&format!("w{number:02}"), &waiting()).await.unwrap();
        world.pass(Duration::from_millis(1)).await;
    }
    let slow = Batch {
        runs_per_second: 1,
        ..of(Operation::Cancel, "state = running AND type = transfer")
    };
    let id = begin(&world, "b", &slow).await;
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(counts(&progress(&world, &id).await), [50, 50, 0, 0]);
    world.engine.pause("w03", "by hand").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let end = world.end(&id).await;
    let told: Progress = serde_json::from_slice(&end.result.unwrap()).unwrap();
    assert_eq!(counts(&told), [59, 59, 0, 0]);
    assert_eq!(world.row("w03").await.state(), RunState::Paused);
}

/// What was found is looked at again when it is acted on: a run may have become another one's business by then.
#[tokio::test(start_paused = true)]
async fn a_run_that_the_filter_does_not_mean_any_more_is_left_alone_though_it_was_found() {
    let world = World::new(1).await;
    for id in ["stays", "held", "gone on"] {
        world.start(id, &waiting()).await.unwrap();
    }
    world.pass(Duration::from_secs(1)).await;
    world.faults.always("souk.batch.act", AttemptFault::Away);
    let batch = of(Operation::Cancel, "state = running AND type = transfer AND open_undo = 2");
    let id = begin(&world, "b", &batch).await;
    world.environment.until(&id, "attempt 1 souk.batch.act").await;
    // It could still be cancelled, but whoever asked for the batch did not mean a paused run.
    world.engine.pause("held", "by hand").await.unwrap();
    world.signal("gone on", "confirm", "1").await.unwrap();
    world.end("gone on").await;
    world.faults.repair("souk.batch.act");
    let end = world.end(&id).await;
    let told: Progress = serde_json::from_slice(&end.result.unwrap()).unwrap();
    assert_eq!(counts(&told), [3, 1, 2, 0], "{told:?}");
    let mut notes: Vec<_> =
        told.notes.iter().map(|note| (note.workflow_id.as_str(), note.why.as_str())).collect();
    notes.sort_unstable();
    let expected = [("gone on", "it has ended"), ("held", "the filter does not mean it any more")];
    assert_eq!(notes, expected);
    assert_eq!(world.end("stays").await.state, RunState::Cancelled);
    let held = world.row("held").await;
    assert_eq!((held.state(), held.cancel_requested), (RunState::Paused, false));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_stops_and_says_how_far_it_was() {
    let world = World::new(1).await;
    for number in 0..60 {
        world.start(&format!("w{number}"), &waiting()).await.unwrap();
    }
    let slow = Batch {
        runs_per_second: 1,
        ..of(Operation::Cancel, "state = running AND type = transfer")
    };
    let id = begin(&world, "b", &slow).await;
    world.pass(Duration::from_secs(10)).await;
    world.engine.cancel(&id, "enough").await.unwrap();
    let end = world.end(&id).await;
    assert_eq!(end.state, RunState::Cancelled);
    let message = "enough; of 50 runs 50 were done, 0 skipped, 0 failed";
    assert_eq!(end.failure.unwrap().message, message);
    assert_eq!(counts(&progress(&world, &id).await), [50, 50, 0, 0]);
    world.pass(Duration::from_secs(100)).await;
    let open = Filter::parse("state = running AND type = transfer", 0).unwrap();
    assert_eq!(world.engine.list(&open, None, 100).await.unwrap().rows.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_long_batch_continues_as_new_and_heeds_its_bound() {
    let world = World::new(1).await;
    for number in 0..1_120 {
        world.start(&format!("w{number}"), &waiting()).await.unwrap();
    }
    let batch = Batch { max_runs: 1_100, ..of(Operation::Pause, "type = transfer") };
    let told = finish(&world, &batch).await;
    assert_eq!(counts(&told), [1_100, 1_100, 0, 0]);
    assert!(told.is_cut);
    world.pass(Duration::from_secs(1)).await;
    let turns = Filter::parse("type = \"souk.batch\"", 0).unwrap();
    let rows = world.engine.list(&turns, None, 10).await.unwrap().rows;
    let states: Vec<RunState> = rows.iter().map(|row| row.state()).collect();
    assert_eq!(states, [RunState::Completed, RunState::Continued]);
    // Two steps and a pause for each chunk: turns stay short.
    assert!(rows.iter().all(|row| row.next_sequence < 150), "{}", rows[1].next_sequence);
    let left = Filter::parse("type = transfer AND NOT state = paused", 0).unwrap();
    assert_eq!(world.engine.list(&left, None, 100).await.unwrap().rows.len(), 20);
}

/// Does something to three runs through a death at each append, and returns the worlds that were left.
async fn through_deaths(
    prepare: impl AsyncFn(&World),
    batch: &Batch,
    check: impl AsyncFn(&World, &Progress),
) {
    let mut deaths = 0;
    for (fault, unsynced) in [
        (Fault::CrashBefore, Unsynced::Lost),
        (Fault::CrashDuring, Unsynced::SeededPrefix),
        (Fault::CrashAfter, Unsynced::Lost),
    ] {
        for nth in 0.. {
            let mut world = World::new(nth).await;
            prepare(&world).await;
            world.pass(Duration::from_secs(1)).await;
            let before = world.disk.count(DiskOperation::Append);
            world.disk.inject(DiskOperation::Append, before + nth, fault.clone());
            let died = dies_during(&world, finish(&world, batch)).await;
            world.restart(unsynced).await;
            let told = finish(&world, batch).await;
            assert_eq!((told.found, told.failed), (3, 0), "{told:?}");
            check(&world, &told).await;
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths >= 15, "{deaths}");
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_signals_each_run_once() {
    let prepare = async |world: &World| {
        for id in ["a", "b", "c"] {
            world.start(id, &waiting()).await.unwrap();
        }
    };
    let confirm = Operation::Signal { name: "confirm".into(), payload: serde_json::Value::Null };
    let batch = of(confirm, "state = running AND type = transfer");
    through_deaths(prepare, &batch, async |world, told| {
        assert_eq!(told.done, 3, "{told:?}");
        for id in ["a", "b", "c"] {
            assert_eq!(
                world.engine.outcome(id, LONG).await.unwrap().unwrap().state,
                RunState::Completed
            );
            assert_eq!(count(world, id, "signal confirm").await, 1);
        }
    })
    .await;
}

/// Two undos of each run are hopeless: the batch passes over the first, and must not take the second for it.
#[tokio::test(start_paused = true)]
async fn dying_at_every_append_skips_no_undo_that_nobody_has_looked_at() {
    let prepare = async |world: &World| {
        for undo in ["take_back", "give_back"] {
            world.bank.always(undo, Behaviour::Permanent);
        }
        for id in ["a", "b", "c"] {
            world.start(id, &Transfer { amount: 7, confirm: false, refuse: true }).await.unwrap();
        }
        world.pass(Duration::from_secs(60)).await;
    };
    let batch = of(Operation::SkipStep, "state = parked AND step = take_back");
    through_deaths(prepare, &batch, async |world, told| {
        assert_eq!(told.done, 3, "{told:?}");
        world.pass(Duration::from_secs(60)).await;
        for id in ["a", "b", "c"] {
            assert_eq!(count(world, id, "skip take_back").await, 1);
            assert_eq!(count(world, id, "skip give_back").await, 0);
            let parked_by = world.row(id).await.parked_by.unwrap();
            assert_eq!(parked_by.step, "give_back");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_resets_each_run_once() {
    let prepare = async |world: &World| {
        for id in ["a", "b", "c"] {
            world.start(id, &waiting()).await.unwrap();
        }
    };
    let reset = Operation::Reset { to: ResetPoint::LastStep("withdraw".into()) };
    let batch = of(reset, "state = running AND type = transfer");
    through_deaths(prepare, &batch, async |world, told| {
        assert_eq!(told.done, 3, "{told:?}");
        for id in ["a", "b", "c"] {
            assert_eq!(count(world, id, "reset").await, 1, "{:?}", world.outline(id).await);
            world.signal(id, "confirm", "by hand").await.unwrap();
            assert_eq!(world.end(id).await.state, RunState::Completed);
        }
        // The participant has recognised what it was asked for again.
        assert!(world.bank.effects().values().all(|effect| effect.done <= 1));
    })
    .await;
}
