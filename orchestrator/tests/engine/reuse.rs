//! Workflow ids that are used again: when, by whom, and under which effect keys.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::{RunRow, RunState};
use souk_orchestrator::engine::{
    Answer, Cx, Engine, Error, Failure, IdReuse, Options, Registry, StartRequest, Started,
};

use super::bank::Behaviour;
use super::deaths::at_every_point;
use super::shapes::note;
use super::transfer::Confirm;
use super::world::{LONG, World, quick};

const ALL: [IdReuse; 4] =
    [IdReuse::Join, IdReuse::AllowIfClosed, IdReuse::AllowIfFailed, IdReuse::TerminateIfOpen];

/// Does a step and answers what it was told; the label "fails" does not do well, the label "waits" waits without undo.
async fn job(cx: &Cx, label: String) -> Result<String, Failure> {
    if label == "waits" {
        cx.signal::<Confirm>().await?;
    }
    cx.saga().step(note(label.clone())).await?;
    cx.answer(&label);
    match label.as_str() {
        "fails" => Err(Failure::new("NO", "it does not do well")),
        "owes" => cx.signal::<Confirm>().await.map(|_| label),
        "turns" => cx.continue_as_new(&"last").await,
        _ => Ok(label),
    }
}

fn registry() -> Registry {
    Registry::new().workflow("job", job)
}

async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

fn request(label: &str, id_reuse: IdReuse, request_id: &str) -> StartRequest {
    let request = StartRequest::new("j", "job", &label).unwrap();
    StartRequest { id_reuse, request_id: request_id.into(), ..request }
}

async fn start(
    engine: &Engine,
    label: &str,
    id_reuse: IdReuse,
    request_id: &str,
) -> Result<Started, Error> {
    engine.start(request(label, id_reuse, request_id)).await
}

async fn turns(world: &World) -> Vec<RunRow> {
    world.engine.turns("j", None, 100).await.unwrap()
}

/// Whether what is to be known is found in memory or in the tables alone.
async fn settle(world: &mut World, on_disk: bool) {
    if on_disk {
        world.pass(Duration::from_secs(5)).await;
        world.restart_with(Unsynced::Lost, registry()).await;
        assert_eq!(world.engine.loaded_runs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn each_policy_begins_another_run_where_it_says_and_nowhere_else() {
    for (on_disk, id_reuse) in [false, true].into_iter().flat_map(|disk| ALL.map(|all| (disk, all)))
    {
        for (first, end) in [
            ("done", Some(RunState::Completed)),
            ("fails", Some(RunState::Failed)),
            ("waits", None),
        ] {
            let mut world = world(1).await;
            let before = start(&world.engine, first, IdReuse::AllowIfClosed, "r1").await.unwrap();
            match end {
                Some(state) => assert_eq!(world.end("j").await.state, state),
                None => world.pass(Duration::from_secs(1)).await,
            }
            settle(&mut world, on_disk).await;
            let begins = match (id_reuse, end) {
                (IdReuse::Join, _) => false,
                (IdReuse::AllowIfClosed, end) => end.is_some(),
                (IdReuse::AllowIfFailed, end) => end == Some(RunState::Failed),
                (IdReuse::TerminateIfOpen, _) => true,
            };
            // Another start begins another run or is refused.
            let other = start(&world.engine, "other", id_reuse, "r2").await;
            match other {
                Ok(started) => assert!(begins && started.is_new && started.run_id > before.run_id),
                Err(error) => {
                    assert!(!begins && matches!(error, Error::Conflict { .. }), "{error}")
                }
            }
            if !begins {
                // An equal one joins.
                let equal = start(&world.engine, first, id_reuse, "r3").await.unwrap();
                assert_eq!(equal, Started { run_id: before.run_id, is_new: false });
                continue;
            }
            assert_eq!(world.end("j").await.result.unwrap(), r#""other""#);
            let states: Vec<RunState> = turns(&world).await.iter().map(RunRow::state).collect();
            assert_eq!(states, [RunState::Completed, end.unwrap_or(RunState::Terminated)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_joins_what_it_began_however_long_ago() {
    let mut world = world(2).await;
    let mut began = Vec::new();
    for number in 0..20 {
        let request_id = format!("r{number}");
        let label = format!("label {number}");
        let started = start(&world.engine, &label, IdReuse::AllowIfClosed, &request_id).await;
        began.push((request_id, label, started.unwrap().run_id));
        world.end("j").await;
    }
    for on_disk in [false, true] {
        settle(&mut world, on_disk).await;
        for (request_id, label, run_id) in &began {
            for id_reuse in &ALL[1..] {
                let request = request(label, *id_reuse, request_id);
                let (again, answer) = world.engine.start_and_wait(request, LONG).await.unwrap();
                assert_eq!(again, Started { run_id: *run_id, is_new: false });
                assert_eq!(answer, Answer::Answered(format!("{label:?}").into()));
            }
        }
    }
    // The same request cannot have been for something else.
    let other = start(&world.engine, "something", IdReuse::AllowIfClosed, "r19").await;
    assert!(matches!(other, Err(Error::Conflict { .. })));
    assert_eq!(turns(&world).await.len(), 20);
    // No effect of a run has the key of another's.
    let effects = world.bank.effects();
    assert_eq!(effects.len(), 20);
    assert!(effects.values().all(|effect| effect.done == 1));
}

#[tokio::test(start_paused = true)]
async fn an_open_run_with_undo_is_not_ended_for_another() {
    let world = world(3).await;
    start(&world.engine, "owes", IdReuse::Join, "").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let refused = start(&world.engine, "other", IdReuse::TerminateIfOpen, "r1").await;
    assert!(matches!(refused, Err(Error::OpenUndo { open_undo: 1 })));
    assert_eq!(world.row("j").await.state(), RunState::Running);
    world.engine.cancel("j", "another is wanted").await.unwrap();
    assert_eq!(world.end("j").await.state, RunState::Cancelled);
    assert!(start(&world.engine, "other", IdReuse::TerminateIfOpen, "r1").await.unwrap().is_new);
    world.end("j").await;
    // The first has plain keys, as all that are started plainly; its undo went by them.
    let plain = world.bank.effect("j/note/1");
    assert_eq!((plain.done, plain.undone), (1, 1));
    let marked: Vec<_> = world.bank.effects().into_keys().filter(|key| key.contains('.')).collect();
    let run_id = world.row("j").await.id().0.simple().to_string();
    assert_eq!(marked, [format!("j/note/1.{run_id}")]);
}

#[tokio::test(start_paused = true)]
async fn one_of_many_starts_at_once_begins_the_run() {
    let world = world(4).await;
    for (round, id_reuse) in
        [IdReuse::AllowIfClosed, IdReuse::AllowIfFailed].into_iter().enumerate()
    {
        let label = if round == 0 { "fails" } else { "done" };
        let starts = (0..40).map(|number| {
            let (engine, request_id) = (world.engine.clone(), format!("{round}/{}", number % 20));
            async move { start(&engine, label, id_reuse, &request_id).await.unwrap() }
        });
        let started = futures::future::join_all(starts).await;
        assert_eq!(started.iter().filter(|started| started.is_new).count(), 1);
        world.end("j").await;
    }
    assert_eq!(turns(&world).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reuse_without_a_request_id_is_refused() {
    let world = world(5).await;
    let nameless = start(&world.engine, "done", IdReuse::AllowIfClosed, "").await;
    assert!(matches!(nameless, Err(Error::InvalidInput { .. })));
    assert!(matches!(world.engine.describe("j").await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_run_get_its_end_though_the_id_is_used_again() {
    let world = world(6).await;
    let first = start(&world.engine, "turns", IdReuse::AllowIfClosed, "r1").await.unwrap();
    world.bank.next("last", &[Behaviour::FailFor(5_000)]);
    let waits = world.engine.outcome("j", LONG);
    let reuse = async {
        world.pass(Duration::from_secs(1)).await;
        assert_ne!(world.row("j").await.id(), first.run_id);
        world.engine.terminate("j", "for another", true).await.unwrap();
        start(&world.engine, "owes", IdReuse::AllowIfClosed, "r2").await.unwrap();
    };
    let (end, ()) = tokio::join!(waits, reuse);
    assert_eq!(end.unwrap().unwrap().state, RunState::Terminated);
    // And who asks again for the first gets the end of its last turn.
    let (again, answer) = world
        .engine
        .start_and_wait(request("turns", IdReuse::AllowIfClosed, "r1"), LONG)
        .await
        .unwrap();
    assert_eq!(again, Started { run_id: first.run_id, is_new: false });
    assert_eq!(answer, Answer::Answered(r#""turns""#.into()));
}

/// Begins four runs one behind the other, one of them in the place of an open one; again and again until all have been.
async fn drive(world: &World) {
    for (request_id, label, id_reuse) in [
        ("r1", "done", IdReuse::AllowIfClosed),
        ("r2", "fails", IdReuse::AllowIfClosed),
        ("r3", "waits", IdReuse::AllowIfFailed),
        ("r4", "turns", IdReuse::TerminateIfOpen),
    ] {
        let started = start(&world.engine, label, id_reuse, request_id).await.unwrap();
        if label == "waits" {
            world.pass(Duration::from_millis(30)).await;
        } else if turns(world).await[0].id() == started.run_id || label == "turns" {
            world.end("j").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_begins_each_run_once() {
    let check = async |world: &World, place: &str| {
        let rows = turns(world).await;
        let states: Vec<RunState> = rows.iter().map(RunRow::state).collect();
        let expected = [
            RunState::Completed,
            RunState::Continued,
            RunState::Terminated,
            RunState::Failed,
            RunState::Completed,
        ];
        assert_eq!(states, expected, "{place}");
        let uses: Vec<u32> =
            rows.iter().map(|row| row.lineage.as_ref().unwrap().generation).collect();
        assert_eq!(uses, [4, 4, 3, 2, 1], "{place}");
        let effects = world.bank.effects();
        assert_eq!(effects.len(), 4, "{place}: {:?}", effects.keys());
        assert!(effects.values().all(|effect| effect.done == 1));
    };
    let points = at_every_point(world, |_| registry(), drive, check).await;
    assert!(points > 25, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn an_id_is_free_when_its_newest_run_is_deleted_and_its_keys_stay_distinct() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let options = Options { retention: Some(DAY), ..quick() };
    let world = World::with(7, options, registry()).await;
    for number in 0..3 {
        let request_id = format!("r{number}");
        start(&world.engine, "done", IdReuse::AllowIfClosed, &request_id).await.unwrap();
        world.end("j").await;
        world.pass(DAY / 2).await;
    }
    // The oldest is gone, and what leads to it with it; the id still belongs to the newest.
    let left = turns(&world).await;
    assert!((1..3).contains(&left.len()), "{}", left.len());
    let joined = start(&world.engine, "done", IdReuse::Join, "").await.unwrap();
    assert_eq!(joined, Started { run_id: left[0].id(), is_new: false });
    world.pass(2 * DAY).await;
    assert!(matches!(world.engine.describe("j").await, Err(Error::NotFound(_))));
    assert!(start(&world.engine, "done", IdReuse::AllowIfClosed, "r9").await.unwrap().is_new);
    world.end("j").await;
    assert_eq!(world.bank.effects().len(), 4);
    assert_eq!(turns(&world).await.len(), 1);
}
