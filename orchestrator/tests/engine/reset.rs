//! Resets: a run begins again from an event of its history, and whatever it then does, the money adds up.

use std::time::Duration;

use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::recorded::check;
use souk_orchestrator::engine::reset::{ResetPoint, ResetRequest};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::{Answer, Cx, Error, Failure, Filter, Registry};

use super::bank::Behaviour;
use super::deaths::at_every_point;
use super::shapes::{self, note};
use super::transfer::{Announce, Book, Confirm, Deposit, Transfer, Withdraw};
use super::world::{LONG, World, quick};

/// A transfer that owes nothing to its starter.
async fn plain(cx: &Cx, order: Transfer) -> Result<String, Failure> {
    let amount = order.amount;
    cx.step(Withdraw { amount }).await?;
    cx.answer(&"held");
    if order.confirm {
        cx.signal::<Confirm>().await?;
    }
    cx.sleep(Duration::from_secs(1)).await?;
    cx.step(Deposit { amount }).await?;
    cx.step(Book { amount }).await?;
    let _ = cx.step(Announce { amount }).await;
    if order.refuse && !cx.try_signal::<Confirm>().is_some_and(|_| true) {
        return Err(Failure::new("REFUSED_AT_LAST", "the workflow does not like it"));
    }
    Ok("moved".into())
}

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

fn registry() -> Registry {
    super::transfer::registry().workflow("plain", plain)
}

fn back_to(sequence: usize) -> ResetRequest {
    ResetRequest { sequence: sequence as u64, reason: "tested".into(), ..ResetRequest::default() }
}

fn order(confirm: bool, refuse: bool) -> Transfer {
    Transfer { amount: 7, confirm, refuse }
}

/// Where a run is when it is reset.
const STANDS: [&str; 9] = [
    "waiting",
    "trying",
    "completed",
    "failed",
    "cancelled",
    "parked",
    "paused",
    "terminated",
    "unknown",
];

/// Brings run `t` of a type there.
async fn bring(world: &World, workflow_type: &str, stand: &str) {
    let bank = &world.bank;
    match stand {
        "waiting" | "paused" | "cancelled" | "terminated" => {
            world.start_as("t", workflow_type, &order(true, false)).await.unwrap();
            world.engine.answer("t", LONG).await.unwrap();
            match stand {
                "paused" => {
                    world.engine.pause("t", "tested").await.unwrap();
                    world.signal("t", "confirm", "1").await.unwrap();
                }
                "cancelled" => world.engine.cancel("t", "tested").await.unwrap(),
                "terminated" => world.engine.terminate("t", "tested", true).await.unwrap(),
                _ => {}
            }
        }
        "trying" => {
            bank.always("book", Behaviour::LoseReply);
            world.start_as("t", workflow_type, &order(true, false)).await.unwrap();
            world.signal("t", "confirm", "1").await.unwrap();
            world.pass(Duration::from_millis(1_500)).await;
        }
        "completed" => {
            world.start_as("t", workflow_type, &order(false, false)).await.map(|_| ()).unwrap();
        }
        "failed" => {
            bank.always("book", Behaviour::Permanent);
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
        }
        "unknown" => {
            bank.next(
                "deposit",
                &[Behaviour::LoseReply, Behaviour::LoseReply, Behaviour::LoseReply],
            );
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
        }
        "parked" => {
            bank.always("book", Behaviour::Permanent);
            bank.always("give_back", Behaviour::LoseReply);
            world.start_as("t", workflow_type, &order(false, false)).await.unwrap();
            until(world, RunState::Parked).await;
        }
        other => panic!("nobody knows how to come to {other}"),
    }
    if ["completed", "failed", "cancelled", "unknown"].contains(&stand) {
        world.end("t").await;
    }
}

async fn until(world: &World, state: RunState) {
    while world.row("t").await.state() != state {
        world.pass(Duration::from_secs(1)).await;
    }
}

/// Everything works again, and who must decide has decided.
async fn heal(world: &World) -> RunState {
    world.bank.calm();
    for _ in 0..100 {
        let state = world.row("t").await.state();
        match state {
            RunState::Paused => world.engine.resume("t", "tested").await.unwrap(),
            RunState::Parked => world.engine.retry_step("t").await.unwrap(),
            state if state.is_closed() => break,
            _ => {
                // The one that waits for it takes it; all others do not mind.
                let _ = world.signal("t", "confirm", "1").await;
            }
        }
        world.pass(Duration::from_secs(3)).await;
    }
    world.end("t").await.state
}

/// How often a step was done and not undone.
fn standing(world: &World, step: &str) -> u32 {
    let prefix = format!("t/{step}/");
    let effects = world.bank.effects();
    let of_step = effects.iter().filter(|(key, _)| key.starts_with(&prefix));
    of_step.map(|(_, effect)| effect.done - effect.undone).sum()
}

fn the_money_adds_up(world: &World, state: RunState, place: &str) {
    let moved = u32::from(state == RunState::Completed);
    for step in ["withdraw", "deposit"] {
        assert_eq!(standing(world, step), moved, "{place}: {step} ({state:?})");
    }
    if state == RunState::Completed {
        // Nothing undoes it, so that it is not done a second time.
        assert_eq!(standing(world, "announce"), 1, "{place}");
    }
    let done_twice = world.bank.effects().into_iter().find(|(_, effect)| effect.done > 1);
    assert_eq!(done_twice, None, "{place}");
}

async fn whole_and_replayable(world: &World, place: &str) {
    let (row, history) = (world.row("t").await, world.history("t").await);
    assert_eq!(row.next_sequence, history.len() as u64, "{place}");
    assert!(row.open_steps.is_empty() && row.open_timers.is_empty(), "{place}: {row:?}");
    if row.state() != RunState::Completed {
        assert_eq!(row.open_undo, 0, "{place}");
    }
    check(&registry(), row.id(), &history).unwrap_or_else(|misfit| panic!("{place}: {misfit:?}"));
}

#[tokio::test(start_paused = true)]
async fn the_money_adds_up_after_a_reset_to_any_event_of_any_run() {
    let (mut resets, mut refusals) = (0, 0);
    for workflow_type in ["plain", "transfer"] {
        for stand in STANDS {
            for at in 0.. {
                let place = format!("{workflow_type} {stand} to event {}", at + 1);
                let world = World::with(1, quick(), registry()).await;
                bring(&world, workflow_type, stand).await;
                if at % 3 == 0 {
                    // It is found on disk alone.
                    world.pass(Duration::from_secs(2)).await;
                }
                let before = world.history("t").await;
                if at == before.len() {
                    break;
                }
                let old = world.row("t").await;
                match world.engine.reset("t", back_to(at)).await {
                    Ok(done) => {
                        resets += 1;
                        assert_eq!(world.row("t").await.id(), done.run_id, "{place}");
                        assert!(done.kept <= at as u64 && done.run_id > old.id(), "{place}");
                        let now = world.history("t").await;
                        let kept = 1.max(done.kept as usize);
                        assert_eq!(now[1..kept], before[1..kept], "{place}");
                    }
                    Err(Error::CannotReset { problem, .. }) => {
                        refusals += 1;
                        let undone = ["failed", "cancelled", "parked", "unknown", "terminated"];
                        assert!(undone.contains(&stand), "{place}: {problem}");
                        assert_eq!(world.row("t").await.id(), old.id(), "{place}");
                    }
                    Err(error) => panic!("{place}: {error}"),
                }
                let state = heal(&world).await;
                if state != RunState::Terminated {
                    the_money_adds_up(&world, state, &place);
                    whole_and_replayable(&world, &place).await;
                }
            }
        }
    }
    assert!(resets > 100 && refusals > 20, "{resets} resets, {refusals} refusals");
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
        let other = super::transfer::registry();
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

/// Resets the run where it waits, and lets it go on; again and again until it has ended.
async fn drive(world: &World) {
    world.start_as("t", "plain", &order(true, false)).await.unwrap();
    let answer = world.engine.answer("t", LONG).await.unwrap();
    assert_eq!(answer, Answer::Answered(r#""held""#.into()));
    let outline = world.outline("t").await;
    if !outline.contains(&"reset".into()) && !world.row("t").await.state().is_closed() {
        world.engine.reset("t", back_to(0)).await.unwrap();
    }
    match world.signal("t", "confirm", "1").await {
        Ok(()) | Err(Error::Closed { state: RunState::Completed, .. }) => {}
        Err(error) => panic!("{error}"),
    }
    world.end("t").await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_every_append_leaves_one_run_that_was_reset_once() {
    let check = async |world: &World, place: &str| {
        let state = world.end("t").await.state;
        assert_eq!(state, RunState::Completed, "{place}");
        the_money_adds_up(world, state, place);
        whole_and_replayable(world, place).await;
        assert_eq!(world.bank.effect("t/withdraw/2").calls, 0, "{place}");
        world.pass(Duration::from_secs(2)).await;
        let page = world.engine.list(&Filter::default(), None, 10).await.unwrap();
        let states: Vec<RunState> = page.rows.iter().map(|row| row.state()).collect();
        assert_eq!(states, [RunState::Completed, RunState::Continued], "{place}");
    };
    let points = at_every_point(
        async |seed| World::with(seed, quick(), registry()).await,
        |_| registry(),
        drive,
        check,
    )
    .await;
    assert!(points > 20, "only {points} points were tried");
}

/// Small and good enough to choose by.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[tokio::test(start_paused = true)]
async fn resets_of_resets_add_up_too() {
    let mut deep = 0;
    for seed in 0..150u64 {
        let stand = STANDS[(mix(seed) % 7) as usize];
        let mut world = World::with(seed, quick(), registry()).await;
        bring(&world, "plain", stand).await;
        let mut resets = 0;
        for step in 0..4 {
            let dice = mix(seed * 1_000 + step);
            let length = world.history("t").await.len() as u64;
            match world.engine.reset("t", back_to((dice % length) as usize)).await {
                Ok(_) => resets += 1,
                Err(Error::CannotReset { .. }) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
            match dice >> 32 & 3 {
                0 => world.bank.calm(),
                1 => world.bank.always("deposit", Behaviour::LoseReply),
                2 => world.bank.always("book", Behaviour::Refuse),
                _ => world.bank.next("withdraw", &[Behaviour::LoseReply]),
            }
            let _ = world.signal("t", "confirm", "1").await;
            world.pass(Duration::from_millis(dice >> 40 & 0xfff)).await;
            if dice >> 60 == 0 {
                world.restart_with(Unsynced::Lost, registry()).await;
            }
        }
        deep += u32::from(resets > 2);
        let place = format!("seed {seed} from {stand}, {resets} resets");
        let state = heal(&world).await;
        the_money_adds_up(&world, state, &place);
        whole_and_replayable(&world, &place).await;
    }
    assert!(deep > 30, "only {deep} runs were reset three times");
}

#[tokio::test(start_paused = true)]
async fn what_children_and_parents_know_is_not_changed_behind_their_backs() {
    let world = super::garden::world(1).await;
    let leaves = (vec![super::garden::waiting("a")], false);
    world.start_as("p", "row", &leaves).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    let open = world.engine.reset("p", back_to(0)).await.unwrap_err();
    assert!(open.to_string().contains("its child"), "{open}");
    let outline = world.outline("p").await;
    let child = outline.iter().find_map(|line| line.strip_prefix("child leaf ")).unwrap();
    super::garden::go(&world, child).await;
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
