//! Recorded orders, which every later build must replay: orders are open for weeks, builds are not.
//!
//! `SOUK_RECORD=1 cargo test -p souk-orchestrator golden` writes those that are missing. A recorded history is never written
//! anew because the code has changed: that is what `cx.version` is for. See docs/WORKFLOWS.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_mesh::error::reason_of;
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::error::{Misfit, StuckCode};
use souk_orchestrator::engine::event::{Body, Event};
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::recorded::{check, from_text, to_text};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::testing::Fault;
use souk_orchestrator::workflows;
use souk_orchestrator::workflows::place_order::{PlaceOrder, TYPE};
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;
use souk_proto::workflow::v1::{DescribeWorkflowRequest, RetryStepRequest, WorkflowState};

use super::world::{World, id, order};

const NAMES: [&str; 13] = [
    "delivered",
    "waiting-to-ship",
    "declined",
    "challenge-approved",
    "challenge-expired",
    "challenge-open",
    "cancelled-after-placing",
    "cancelled-by-staff",
    "failed-and-undone",
    "replies-lost",
    "parked-and-skipped",
    "found-and-delivered",
    "found-and-declined",
];

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/place_order");
    folder.join(format!("{name}.history"))
}

fn load(name: &str) -> (RunId, Vec<Event>) {
    from_text(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// Makes one history of each kind.
async fn record(name: &str) -> (RunId, Vec<Event>) {
    let world = World::new(1).await;
    let faults = &world.shop.faults;
    let token = match name {
        "declined" | "found-and-declined" => "tok_insufficient_funds",
        _ if name.starts_with("challenge") => "tok_3ds",
        _ => "tok_visa",
    };
    match name {
        "failed-and-undone" => faults.always("CommitStock", Fault::Refuse),
        "replies-lost" => {
            for step in ["ReserveStock", "ConfirmPayment", "CapturePayment", "ClearCart"] {
                faults.once(step, Fault::LoseReply);
            }
        }
        "parked-and-skipped" => {
            faults.always("CapturePayment", Fault::Refuse);
            faults.always("ReleaseStock", Fault::Away);
        }
        _ => {}
    }
    world.place(&order(token)).await;
    let is_open = ["waiting-to-ship", "challenge-open"].contains(&name);
    go_on(&world, name).await;
    if !is_open {
        world.end().await;
    }
    (world.row().await.id(), world.history().await)
}

async fn go_on(world: &World, name: &str) {
    let paid = "completed ClearCart";
    match name {
        "waiting-to-ship" => world.until(paid).await,
        "challenge-open" => world.pass(Duration::from_secs(60)).await,
        "challenge-approved" => {
            world.pass(Duration::from_secs(10)).await;
            world.shop.decide_payment(PaymentState::Authorized);
            world.signal("payment_resolved", "r").await.unwrap();
        }
        "cancelled-after-placing" => {
            world.until(paid).await;
            world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
            world.signal("cancelled", "c").await.unwrap();
        }
        "cancelled-by-staff" => {
            world.until(paid).await;
            world.engine.cancel(&id(), "recorded").await.unwrap();
        }
        "parked-and-skipped" => {
            assert_eq!(world.rest().await, RunState::Parked);
            world.engine.skip_step(&id(), "recorded").await.unwrap();
        }
        _ => {}
    }
    if ["delivered", "challenge-approved", "replies-lost", "found-and-delivered"].contains(&name) {
        world.signal("shipped", "s").await.unwrap();
        world.signal("delivered", "d").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn every_recorded_order_still_replays() {
    for name in NAMES {
        if !path(name).exists() && std::env::var_os("SOUK_RECORD").is_some() {
            let (run_id, history) = record(name).await;
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), to_text(run_id, &history)).unwrap();
        }
        let (run_id, history) = load(name);
        check(&workflows::registry(), run_id, &history)
            .unwrap_or_else(|misfit| panic!("{name}: {} {}", misfit.code, misfit.message));
    }
}

/// Whether a file lies in the folder that no test reads.
#[test]
fn every_recorded_order_is_on_the_list() {
    for file in std::fs::read_dir(path("").parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(NAMES.contains(&name), "{name}");
    }
}

/// Whoever adds a step with an undo has histories of it recorded; a reset must find that undo without its step.
#[test]
fn every_undo_that_was_ever_on_record_is_registered_for_resets() {
    let registry = souk_orchestrator::replay::registry();
    let mut found = BTreeSet::new();
    for folder in ["place_order", "schedule", "batch"] {
        let folder = path("").parent().unwrap().with_file_name(folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let (_, history) = from_text(&text).unwrap();
            let undo = history.into_iter().filter_map(|event| match event.body? {
                Body::StepScheduled(step) => step.undo,
                Body::UndoOwed(owed) => owed.undo,
                Body::ChildScheduled(child) => child.undo,
                _ => None,
            });
            found.extend(undo.map(|undo| undo.name));
        }
    }
    let missing: Vec<&String> =
        found.iter().filter(|name| !registry.has_compensation(name)).collect();
    assert!(missing.is_empty(), "Registry::compensation lacks {missing:?}");
    let known: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(known, ["CancelOrder", "ReleaseStock", "ReturnPayment"]);
}

fn misfit(run_id: RunId, history: &[Event]) -> Misfit {
    check(&workflows::registry(), run_id, history).unwrap_err()
}

#[test]
fn a_step_under_another_name_does_not_fit() {
    for name in NAMES {
        let (run_id, history) = load(name);
        for index in 0..history.len() {
            let mut other = history.clone();
            match &mut other[index].body {
                Some(Body::StepScheduled(step)) => step.name = format!("New{}", step.name),
                Some(Body::UndoScheduled(undo)) => undo.name = format!("New{}", undo.name),
                _ => continue,
            }
            let misfit = misfit(run_id, &other);
            assert_eq!(misfit.code.code(), "SOUK-0001", "{name} at {index}");
        }
    }
}

#[test]
fn steps_in_another_order_do_not_fit() {
    let (run_id, history) = load("delivered");
    let scheduled: Vec<usize> = (0..history.len())
        .filter(|index| matches!(history[*index].body, Some(Body::StepScheduled(_))))
        .collect();
    for pair in scheduled.windows(2) {
        let mut other = history.clone();
        other.swap(pair[0], pair[1]);
        assert_eq!(misfit(run_id, &other).code, StuckCode::Nondeterminism, "{pair:?}");
    }
}

#[test]
fn a_result_that_this_build_cannot_read_does_not_fit() {
    let (run_id, mut history) = load("delivered");
    let completed = history.iter_mut().find_map(|event| match &mut event.body {
        Some(Body::StepCompleted(step)) if step.name == "ConfirmPayment" => Some(step),
        _ => None,
    });
    completed.unwrap().output = r#"{"outcome":"PAID_IN_SHELLS"}"#.into();
    assert_eq!(misfit(run_id, &history).code.code(), "SOUK-0004");
}

/// A step as it was called once upon a time.
#[derive(Serialize, Deserialize)]
struct HoldStock;

impl Step for HoldStock {
    const NAME: &'static str = "HoldStock";
    type Output = ();
    type Undo = Irreversible;

    async fn run(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }
}

#[derive(Deserialize)]
struct Shipped {}

impl Signal for Shipped {
    const NAME: &'static str = "shipped";
}

/// place_order as it was once upon a time.
async fn once_upon_a_time(cx: &Cx, _: PlaceOrder) -> Result<(), Failure> {
    cx.step(HoldStock).await?;
    cx.signal::<Shipped>().await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn an_order_of_other_code_is_stuck_and_not_lost() {
    let old = || Registry::new().workflow(TYPE, once_upon_a_time);
    let mut world = World::with(1, old()).await;
    world.place(&order("tok_visa")).await;
    world.until("completed HoldStock").await;
    world.pass(Duration::from_secs(1)).await;

    world.stop();
    world.restart_with(Unsynced::Lost, workflows::registry()).await;
    // What is told to it meanwhile is kept.
    world.signal("shipped", "s").await.unwrap();
    let mut workflows = world.workflows();
    let request = DescribeWorkflowRequest { workflow_id: id(), ..Default::default() };
    let described = workflows.describe_workflow(world.staff(request)).await.unwrap().into_inner();
    let detail = described.workflow.unwrap();
    assert_eq!(detail.summary.unwrap().state(), WorkflowState::Parked);
    assert_eq!(detail.parked_cause.unwrap().reason, "SOUK-0001");
    let request = RetryStepRequest { workflow_id: id(), ..RetryStepRequest::default() };
    let refused = workflows.retry_step(world.staff(request)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("WORKFLOW_STUCK"));
    assert_eq!(world.shop.journal(), [""; 0], "code that does not fit does nothing");

    world.stop();
    world.restart_with(Unsynced::Lost, old()).await;
    assert_eq!(world.end().await.state, RunState::Completed);
}
