//! Undos that fail: sat out as long as it makes sense, then parked where people see it, and taken up again.

use std::time::Duration;

use souk_mesh::error::reason_of;
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::testing::Fault;
use souk_proto::order::v1::OrderState;
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, ListWorkflowsRequest, RetryStepRequest, SkipStepRequest,
    TerminateWorkflowRequest, WorkflowDetail, WorkflowState,
};

use super::world::{World, id, order};

/// An order that cannot be captured and whose money cannot be given back.
async fn parked() -> World {
    let world = World::new(1).await;
    world.shop.faults.always("CapturePayment", Fault::Refuse);
    world.shop.faults.always("ReturnPayment", Fault::Away);
    world.place(&order("tok_visa")).await;
    assert_eq!(world.rest().await, RunState::Parked);
    world
}

async fn describe(world: &World) -> WorkflowDetail {
    let request = DescribeWorkflowRequest { workflow_id: id(), ..Default::default() };
    let answer = world.workflows().describe_workflow(world.staff(request)).await.unwrap();
    answer.into_inner().workflow.unwrap()
}

fn retry(step: &str) -> RetryStepRequest {
    RetryStepRequest { workflow_id: id(), step: step.into(), ..RetryStepRequest::default() }
}

fn skip(step: &str) -> SkipStepRequest {
    let reason = "refunded by hand".into();
    SkipStepRequest { workflow_id: id(), step: step.into(), reason, ..SkipStepRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_says_what_it_waits_for_and_what_it_owes() {
    let world = parked().await;
    let detail = describe(&world).await;
    let summary = detail.summary.unwrap();
    assert_eq!(summary.state(), WorkflowState::Parked);
    let cause = detail.parked_cause.unwrap();
    assert_eq!((cause.step.as_str(), cause.reason.as_str()), ("ReturnPayment", "UNAVAILABLE"));
    assert_eq!(summary.failure.unwrap(), cause);
    let [pending] = &detail.pending_steps[..] else { panic!("{:?}", detail.pending_steps) };
    assert!(pending.undo && pending.next_attempt_time.is_none(), "{pending:?}");
    assert_eq!((pending.step.as_str(), pending.attempts), ("ReturnPayment", 60));
    assert_eq!(pending.effect_key, format!("{}/ReturnPayment/1", id()));
    let owed: Vec<_> = detail.open_undo.iter().map(|undo| undo.step.as_str()).collect();
    assert_eq!(owed, ["CreatePayment", "ReserveStock", "CancelOrder"]);
    // It is found by looking for what is parked.
    let request = ListWorkflowsRequest {
        filter: "state = parked AND step = ReturnPayment AND failure = UNAVAILABLE".into(),
        ..ListWorkflowsRequest::default()
    };
    world.pass(Duration::from_secs(1)).await;
    let listed = world.workflows().list_workflows(world.staff(request)).await.unwrap();
    assert_eq!(listed.into_inner().workflows[0].workflow_id, id());
}

#[tokio::test(start_paused = true)]
async fn a_retried_undo_goes_on_with_the_rest() {
    let mut world = parked().await;
    world.restart(Unsynced::Lost).await;
    let mut workflows = world.workflows();
    workflows.retry_step(world.staff(retry("ReturnPayment"))).await.unwrap();
    assert_eq!(world.rest().await, RunState::Parked, "it has had another round");
    world.shop.faults.repair("ReturnPayment");
    world.workflows().retry_step(world.staff(retry(""))).await.unwrap();
    assert_eq!(world.end().await.state, RunState::Failed);
    world.check_clean();
    let detail = describe(&world).await;
    assert!(detail.pending_steps.is_empty() && detail.open_undo.is_empty(), "{detail:?}");
}

#[tokio::test(start_paused = true)]
async fn a_skipped_undo_is_passed_over_and_the_rest_is_undone() {
    let world = parked().await;
    world.workflows().skip_step(world.staff(skip("ReturnPayment"))).await.unwrap();
    assert_eq!(world.end().await.state, RunState::Failed);
    let cancelled = world.shop.order(order("").order_id);
    assert_eq!((cancelled.state, cancelled.reason.as_str()), (OrderState::Cancelled, "BROKEN"));
    assert_eq!(world.shop.books().on_hand, super::books::STOCK);
    let outline = world.outline().await;
    assert!(outline.contains(&"skip ReturnPayment".to_owned()), "{outline:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_step_that_parked_the_run_is_retried_or_skipped() {
    let world = parked().await;
    let mut workflows = world.workflows();
    let refused = workflows.skip_step(world.staff(skip("ReleaseStock"))).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NOT_PARKED"));
    let refused = workflows.retry_step(world.staff(retry("CapturePayment"))).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NOT_PARKED"));
    assert_eq!(world.row().await.state(), RunState::Parked);
}

#[tokio::test(start_paused = true)]
async fn terminating_needs_a_word_on_what_is_owed_and_tells_what_it_gives_up() {
    let world = parked().await;
    let mut workflows = world.workflows();
    let mut end = TerminateWorkflowRequest {
        workflow_id: id(),
        reason: "settled in court".into(),
        ..TerminateWorkflowRequest::default()
    };
    let refused = workflows.terminate_workflow(world.staff(end.clone())).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("UNDO_OPEN"));
    end.abandon_undo = true;
    let ended = workflows.terminate_workflow(world.staff(end)).await.unwrap().into_inner();
    let given_up: Vec<_> = ended.abandoned.iter().map(|undo| undo.step.as_str()).collect();
    assert_eq!(given_up, ["CreatePayment", "ReserveStock", "CancelOrder"]);
    assert_eq!(world.end().await.state, RunState::Terminated);
    assert!(describe(&world).await.pending_steps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_a_participant_parks_nothing() {
    let world = World::new(1).await;
    world.shop.faults.always("CapturePayment", Fault::Refuse);
    world.shop.faults.always("ReleaseStock", Fault::Away);
    world.place(&order("tok_visa")).await;
    world.until("undo ReleaseStock").await;
    world.pass(Duration::from_secs(1800)).await;
    world.shop.faults.repair("ReleaseStock");
    assert_eq!(world.end().await.state, RunState::Failed);
    world.check_clean();
}

#[tokio::test(start_paused = true)]
async fn a_night_without_the_shop_leaves_the_undo_its_tries() {
    let mut world = World::new(1).await;
    world.shop.faults.always("CapturePayment", Fault::Refuse);
    world.shop.faults.always("ReleaseStock", Fault::Away);
    world.place(&order("tok_visa")).await;
    world.until("undo ReleaseStock").await;
    world.stop();
    world.pass(Duration::from_secs(12 * 3600)).await;
    // The catalog starts after the orchestrator.
    let registry = souk_orchestrator::workflows::registry();
    world.restart_with(Unsynced::Lost, registry).await;
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.row().await.state(), RunState::Compensating);
    world.shop.faults.repair("ReleaseStock");
    assert_eq!(world.end().await.state, RunState::Failed);
    world.check_clean();
}
