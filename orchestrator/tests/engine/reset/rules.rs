//! The rules of a reset, one by one.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::reset::{ResetPoint, ResetRequest};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Cx, Error, Failure, Filter, Registry};

use super::setup::{back_to, bring, heal, order, plain, registry, the_money_adds_up};
use crate::engine::bank::Behaviour;
use crate::engine::garden;
use crate::engine::shapes::{self, note};
use crate::engine::transfer::{self, Confirm, Transfer, Withdraw};
use crate::engine::world::{LONG, World, quick};

/// A build that gives up the deposit.
async fn without_deposit(cx: &Cx, order: Transfer) -> Result<String, Failure> {
    cx.step(Withdraw { amount: order.amount }).await?;
    cx.answer(&"held");
    if order.confirm {
        cx.signal::<Confirm>().await?;
    }
    Ok("withdrawn".into())
}

/// A build that moves twice as much.
async fn doubled(cx: &Cx, order: Transfer) -> Result<String, Failure> {
    plain(cx, Transfer { amount: order.amount * 2, ..order }).await
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_steps_were_undone_does_them_again_under_fresh_keys() {
    for stand in ["failed", "parked"] {
        let world = World::with(1, quick(), registry()).await;
        bring(&world, "plain", stand).await;
        let refused = world.engine.reset("t", back_to(3)).await.unwrap_err();
        let expected = "what give_back undoes was undone by event";
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(refused.to_string().contains("go back to event 1 or before"), "{refused}");
        world.engine.reset("t", back_to(0)).await.unwrap();
        assert_eq!(heal(&world).await, RunState::Completed);
        let first = world.bank.effect("t/withdraw/1");
        let second = world.bank.effect("t/withdraw/2");
        assert_eq!((first.done, first.undone, second.done, second.undone), (1, 1, 1, 0), "{stand}");
        // What undid the deposit undid the entry in the books, too.
        assert_eq!(world.bank.effect("t/book/2").done, 1);
        assert_eq!(world.row("t").await.answer.unwrap(), r#""held""#);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_starter_must_do_again_is_said() {
    let world = World::with(1, quick(), registry()).await;
    bring(&world, "transfer", "failed").await;
    let refused = world.engine.reset("t", back_to(0)).await.unwrap_err();
    assert!(refused.to_string().contains("undid what the starter did"), "{refused}");
    let again = ResetRequest { owed_is_done_again: true, ..back_to(0) };
    world.engine.reset("t", again).await.unwrap();
    assert_eq!(heal(&world).await, RunState::Completed);
    the_money_adds_up(&world, RunState::Completed, "redone");
    let beyond = world.engine.reset("t", back_to(1_000)).await.unwrap_err();
    assert!(beyond.to_string().contains("the history has"), "{beyond}");
}

#[tokio::test(start_paused = true)]
async fn steps_that_the_new_way_does_not_do_are_undone_before_the_run_ends() {
    for (build, workflow) in [("less", 1), ("more", 2)] {
        let mut world = World::with(1, quick(), registry()).await;
        bring(&world, "plain", "completed").await;
        let other = transfer::registry();
        let other = match workflow {
            1 => other.workflow("plain", without_deposit),
            _ => other.workflow("plain", doubled),
        };
        world.restart_with(Unsynced::Kept, other).await;
        world.bank.next("take_back", &[Behaviour::Fail]);
        world.engine.reset("t", back_to(0)).await.unwrap();
        assert_eq!(world.end("t").await.state, RunState::Completed, "{build}");
        let outline = world.outline("t").await;
        assert!(outline.contains(&"undo leftovers".into()), "{outline:?}");
        let key = |step: &str, occurrence: u32| {
            let effect = world.bank.effect(&format!("t/{step}/{occurrence}"));
            (effect.done, effect.undone)
        };
        assert_eq!(key("deposit", 1), (1, 1), "{build}");
        if workflow == 1 {
            assert_eq!((key("withdraw", 1), key("withdraw", 2)), ((1, 0), (0, 0)));
        } else {
            // Another amount is another step.
            assert_eq!((key("withdraw", 1), key("withdraw", 2)), ((1, 1), (1, 0)));
            assert_eq!(key("deposit", 2), (1, 0));
            assert_eq!((key("announce", 1), key("announce", 2)), ((1, 0), (0, 0)));
        }
    }
}

async fn bad_story(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    cx.step(note("wrong")).await?;
    cx.signal::<Confirm>().await?;
    Ok("never".into())
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_bad_build_has_led_astray_is_put_right() {
    let bad = || shapes::registry("none").workflow("story", bad_story);
    let mut world = World::with(1, quick(), bad()).await;
    world.start_as("t", "story", &()).await.unwrap();
    world.signal("t", "confirm", "1").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.restart_with(Unsynced::Kept, shapes::registry("story")).await;
    // What comes meanwhile is not lost.
    world.signal("t", "confirm", "2").await.unwrap();
    assert_eq!(world.row("t").await.stuck_code, "SOUK-0001");
    let history = world.history("t").await;
    let outline = world.outline("t").await;
    let wrong = outline.iter().rposition(|line| line == "schedule note").unwrap();
    // Nothing that this build does not fit is kept.
    let refused = world.engine.reset("t", back_to(history.len() - 1)).await;
    assert!(matches!(refused, Err(Error::Stuck { .. })), "{refused:?}");
    let waiting = world.engine.outcome("t", LONG);
    let (outcome, reset) = futures::join!(waiting, world.engine.reset("t", back_to(wrong)));
    reset.unwrap();
    let outcome = outcome.unwrap().unwrap();
    assert_eq!((outcome.state, outcome.result.unwrap()), (RunState::Completed, r#""told""#.into()));
    let effects = world.bank.effects();
    let labels = world.bank.journal();
    assert_eq!(labels, ["one", "wrong", "two", "erase wrong for RESET"]);
    assert_eq!((effects["t/note/2"].undone, effects["t/note/3"].undone), (1, 0));
    let listed = world.engine.list(&Filter::default(), None, 10).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert!(listed.rows.len() <= 2);
    // Equal starts still join it.
    assert!(!world.start_as("t", "story", &()).await.unwrap().is_new);
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_again_unless_they_are_not_wanted() {
    for drops_messages in [false, true] {
        let world = World::with(1, quick(), registry()).await;
        world.start_as("n", "negotiation", &1).await.unwrap();
        let raise = async |id: &str, by: i64| {
            let by = format!(r#"{{"by":{by}}}"#).into();
            world.engine.update("n", "raise", id, by, LONG).await.unwrap().unwrap()
        };
        assert_eq!(raise("a", 3).await, "4");
        assert_eq!(raise("b", 5).await, "9");
        let request = ResetRequest { drops_messages, ..back_to(0) };
        world.engine.reset("n", request).await.unwrap();
        let expected = if drops_messages { "101" } else { "109" };
        assert_eq!(raise("c", 100).await, expected);
        // A repetition of one that came in again is known.
        assert_eq!(raise("a", 3).await, if drops_messages { "104" } else { "4" });
        world.signal("n", "confirm", "1").await.unwrap();
        assert_eq!(world.end("n").await.state, RunState::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_needs_an_undo_that_is_not_registered_is_refused() {
    let registry = Registry::new().workflow("plain", plain);
    let world = World::with(1, quick(), registry).await;
    bring(&world, "plain", "completed").await;
    let refused = world.engine.reset("t", back_to(0)).await.unwrap_err();
    assert!(refused.to_string().contains("give_back"), "{refused}");
    assert!(matches!(world.engine.reset("x", back_to(0)).await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn what_children_and_parents_know_is_not_changed_behind_their_backs() {
    let world = garden::world(1).await;
    let leaves = (vec![garden::waiting("a")], false);
    world.start_as("p", "row", &leaves).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let open = world.engine.reset("p", back_to(0)).await.unwrap_err();
    assert!(open.to_string().contains("its child"), "{open}");
    let outline = world.outline("p").await;
    let child = outline.iter().find_map(|line| line.strip_prefix("child leaf ")).unwrap();
    garden::go(&world, child).await;
    world.end("p").await;
    let ended = world.engine.reset(child, back_to(0)).await.unwrap_err();
    assert!(ended.to_string().contains("its parent \"p\" has been told"), "{ended}");
    let behind = world.engine.reset("p", back_to(0)).await.unwrap_err();
    assert!(behind.to_string().contains("its child"), "{behind}");
}

#[tokio::test(start_paused = true)]
async fn a_point_is_found_by_what_happened_there() {
    let world = World::with(1, quick(), registry()).await;
    world.bank.always("deposit", Behaviour::Permanent);
    world.start_as("t", "plain", &order(false, false)).await.unwrap();
    world.end("t").await;
    let outline = world.outline("t").await;
    let place = |line: &str| outline.iter().position(|found| found == line).unwrap() as u64;
    let found = async |point| world.engine.reset_point("t", &point).await;
    let withdraw = ResetPoint::LastStep("withdraw".into());
    assert_eq!(found(withdraw).await.unwrap(), place("schedule withdraw"));
    assert_eq!(found(ResetPoint::BeforeFailure).await.unwrap(), place("schedule deposit"));
    let unknown = found(ResetPoint::LastStep("dance".into())).await.unwrap_err();
    assert!(unknown.to_string().contains("never done a step \"dance\""), "{unknown}");

    world.bank.calm();
    world.start_as("u", "plain", &order(false, false)).await.unwrap();
    world.end("u").await;
    let fine = world.engine.reset_point("u", &ResetPoint::BeforeFailure).await.unwrap_err();
    assert!(fine.to_string().contains("no step of it has failed"), "{fine}");
}
