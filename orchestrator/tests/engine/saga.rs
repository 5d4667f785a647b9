//! Steps, retries, undo, parking.

use std::time::Duration;

use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Answer, Error, StartRequest};

use super::bank::Behaviour;
use super::transfer::Transfer;
use super::world::{LONG, World};

#[tokio::test(start_paused = true)]
async fn a_transfer_completes_and_its_history_tells_how() {
    let world = World::new(1).await;
    world.start("t", &Transfer::default()).await.unwrap();
    let outcome = world.end("t").await;
    assert_eq!(outcome.state, RunState::Completed);
    assert_eq!(
        world.outline("t").await,
        [
            "started",
            "owe close_case",
            "schedule withdraw",
            "completed withdraw",
            "answered",
            "schedule deposit",
            "completed deposit",
            "schedule book",
            "completed book",
            "schedule announce",
            "completed announce",
            "closed Completed",
        ]
    );
    assert_eq!(world.bank.journal(), ["withdraw", "deposit", "book", "announce"]);
}

#[tokio::test(start_paused = true)]
async fn a_result_and_what_follows_from_it_are_one_commit() {
    use souk_orchestrator::engine::log::sim::Operation;
    let world = World::new(1).await;
    let before = world.disk.count(Operation::Append);
    world.start("t", &Transfer::default()).await.unwrap();
    world.end("t").await;
    // Start, and four results; the end rides with the last.
    assert_eq!(world.disk.count(Operation::Append) - before, 5);
}

#[tokio::test(start_paused = true)]
async fn each_step_that_fails_for_good_has_everything_before_it_undone_in_reverse() {
    let undone = ["close_case", "give_back", "take_back"];
    for (step, undo_count) in [("withdraw", 2), ("deposit", 3), ("book", 3)] {
        for behaviour in
            [Behaviour::Permanent, Behaviour::Fail, Behaviour::Panic, Behaviour::LoseReply]
        {
            let world = World::new(2).await;
            world.bank.always(step, behaviour.clone());
            world.start("t", &Transfer::default()).await.unwrap();
            let outcome = world.end("t").await;
            assert_eq!(outcome.state, RunState::Failed, "{step} {behaviour:?}");
            assert_eq!(outcome.failure.unwrap().step.as_deref(), Some(step));
            let journal = world.bank.journal();
            let expected: Vec<&str> = undone[..undo_count].iter().rev().copied().collect();
            assert_eq!(journal[journal.len() - undo_count..], expected, "{step} {behaviour:?}");
            for (key, effect) in world.bank.effects() {
                assert!(
                    effect.done == effect.undone || key.contains("/book/"),
                    "{key}: {effect:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_step_is_not_undone_unless_an_earlier_attempt_may_have_worked() {
    let world = World::new(3).await;
    world.bank.next("deposit", &[Behaviour::Refuse]);
    world.start("refused", &Transfer::default()).await.unwrap();
    world.end("refused").await;
    assert!(!world.bank.journal().contains(&"take_back".to_string()));
    assert_eq!(world.row("refused").await.open_undo, 0);

    world.bank.next("deposit", &[Behaviour::Fail, Behaviour::Refuse]);
    world.start("late", &Transfer::default()).await.unwrap();
    world.end("late").await;
    assert!(world.bank.journal().contains(&"take_back".to_string()));
    assert!(world.bank.effect("late/deposit/1").tombstone);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_retried_by_its_policy_under_one_key() {
    let world = World::new(4).await;
    world.bank.next("withdraw", &[Behaviour::LoseReply, Behaviour::FailFor(30_000)]);
    let began_ms = world.now_ms();
    world.start("t", &Transfer::default()).await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Completed);
    let passed_ms = world.now_ms() - began_ms;
    assert!((31_600..40_000).contains(&passed_ms), "{passed_ms}");
    let effect = world.bank.effect("t/withdraw/1");
    assert_eq!((effect.done, effect.calls), (1, 3));
    let outline = world.outline("t").await;
    assert_eq!(outline[3..6], ["attempt 1 withdraw", "attempt 2 withdraw", "completed withdraw"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up_and_repeated() {
    let world = World::new(5).await;
    world.bank.next("withdraw", &[Behaviour::Hang]);
    world.start("t", &Transfer::default()).await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Completed);
    assert_eq!(world.outline("t").await[3], "attempt 1 withdraw");
}

#[tokio::test(start_paused = true)]
async fn what_the_workflow_itself_refuses_is_undone_too_with_its_reason() {
    let world = World::new(6).await;
    world.start("t", &Transfer { refuse: true, ..Transfer::default() }).await.unwrap();
    let outcome = world.end("t").await;
    assert_eq!(outcome.failure.unwrap().code, "REFUSED_AT_LAST");
    assert_eq!(world.bank.journal()[4..], ["take_back", "give_back", "close_case"]);
}

async fn parked() -> World {
    let world = World::new(7).await;
    world.bank.always("give_back", Behaviour::Fail);
    world.bank.always("deposit", Behaviour::Permanent);
    world.start("t", &Transfer::default()).await.unwrap();
    while world.row("t").await.state() != RunState::Parked {
        world.pass(Duration::from_millis(50)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_for_good_parks_the_run_until_it_is_retried() {
    let mut world = parked().await;
    let row = world.row("t").await;
    assert_eq!(row.parked_by.unwrap().step, "give_back");
    assert_eq!(row.open_undo, 2);
    world.restart(souk_orchestrator::engine::log::sim::Unsynced::Lost).await;
    world.engine.retry_step("t").await.unwrap();
    assert_eq!(world.row("t").await.state(), RunState::Compensating);
    while world.row("t").await.state() != RunState::Parked {
        world.pass(Duration::from_millis(50)).await;
    }
    world.bank.repair("give_back");
    world.engine.retry_step("t").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Failed);
    assert_eq!(world.bank.effect("t/withdraw/1").undone, 1);
    let outline = world.outline("t").await;
    assert_eq!(outline.iter().filter(|line| *line == "retry give_back").count(), 2);
    assert!(matches!(world.engine.retry_step("t").await, Err(Error::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_parked_undo_may_be_skipped_and_the_rest_goes_on() {
    let world = parked().await;
    world.engine.skip_step("t", "refunded by hand").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Failed);
    assert_eq!(world.bank.effect("t/withdraw/1").undone, 0);
    assert_eq!(world.bank.journal().last().unwrap(), "close_case");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_open_undo_is_terminated_only_if_that_is_abandoned() {
    let world = parked().await;
    let refused = world.engine.terminate("t", "enough", false).await;
    assert!(matches!(refused, Err(Error::OpenUndo { open_undo: 2 })), "{refused:?}");
    world.engine.terminate("t", "enough", true).await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Terminated);
    assert_eq!(world.outline("t").await.last().unwrap(), "terminated");
}

#[tokio::test(start_paused = true)]
async fn cancelling_fails_what_waits_and_undoes_what_was_done() {
    let world = World::new(8).await;
    world.start("t", &Transfer { confirm: true, ..Transfer::default() }).await.unwrap();
    world.engine.answer("t", LONG).await.unwrap();
    world.engine.cancel("t", "changed my mind").await.unwrap();
    world.engine.cancel("t", "twice").await.ok();
    let outcome = world.end("t").await;
    assert_eq!(outcome.state, RunState::Cancelled);
    assert_eq!(outcome.failure.unwrap().message, "changed my mind");
    assert_eq!(world.bank.journal(), ["withdraw", "give_back", "close_case"]);
    let outline = world.outline("t").await;
    assert_eq!(outline.iter().filter(|line| *line == "cancel").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelling_reaches_the_call_that_is_under_way() {
    let world = World::new(9).await;
    world.bank.always("withdraw", Behaviour::Hang);
    let began_ms = world.now_ms();
    world.start("t", &Transfer::default()).await.unwrap();
    world.pass(Duration::from_millis(10)).await;
    world.engine.cancel("t", "stop").await.unwrap();
    assert_eq!(world.end("t").await.state, RunState::Cancelled);
    assert!(world.now_ms() - began_ms < 1_000);
    // It did its work before it hung: its undo was on record.
    assert_eq!(world.bank.effect("t/withdraw/1").undone, 1);
}

#[tokio::test(start_paused = true)]
async fn equal_starts_join_and_get_the_same_answer_and_others_conflict() {
    let world = World::new(10).await;
    let order = Transfer { amount: 5, ..Transfer::default() };
    let request = StartRequest::new("t", "transfer", &order).unwrap();
    let starts = (0..100).map(|_| world.engine.start_and_wait(request.clone(), LONG));
    let results = futures::future::join_all(starts).await;
    let first = results[0].as_ref().unwrap().clone();
    assert!(matches!(first.1, Answer::Answered(_)));
    let news = results.iter().filter(|result| result.as_ref().unwrap().0.is_new).count();
    assert_eq!(news, 1);
    for result in &results {
        let (started, answer) = result.as_ref().unwrap();
        assert_eq!((started.run_id, answer), (first.0.run_id, &first.1));
    }
    world.end("t").await;
    world.pass(Duration::from_secs(5)).await;
    // It is closed and out of memory now; the answer is the same.
    let again = world.engine.start_and_wait(request, LONG).await.unwrap();
    assert_eq!(again.1, first.1);
    let other = world.start("t", &Transfer { amount: 6, ..order }).await;
    assert!(matches!(other, Err(Error::Conflict { .. })), "{other:?}");
    assert_eq!(world.bank.effect("t/withdraw/1").calls, 1);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_and_leave_nothing() {
    let world = World::new(11).await;
    let unknown = world.start_as("u", "teleport", &1).await;
    assert!(matches!(unknown, Err(Error::UnknownType(_))));
    let unfit = world.start_as("u", "transfer", &"not a transfer").await;
    assert!(matches!(unfit, Err(Error::InvalidInput { .. })), "{unfit:?}");
    let long = world.start(&"x".repeat(1_000), &Transfer::default()).await;
    assert!(matches!(long, Err(Error::TooLarge { .. })));
    let large = world.start_as("u", "transfer", &"x".repeat(1 << 20)).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })));
    assert!(matches!(world.engine.describe("u").await, Err(Error::NotFound(_))));
    assert!(matches!(world.signal("u", "confirm", "1").await, Err(Error::NotFound(_))));
    assert!(matches!(world.engine.retry_step("u").await, Err(Error::NotFound(_))));
}
