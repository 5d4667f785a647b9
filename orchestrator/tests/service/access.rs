//! Who may look at runs, and who may steer them.

use souk_mesh::error::reason_of;
use souk_mesh::identity::Role;
use souk_orchestrator::engine::row::RunState;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, DescribeWorkflowResponse, ListWorkflowsRequest, PauseWorkflowRequest,
    QueryWorkflowRequest, ResetPoint, ResetWorkflowRequest, ResumeWorkflowRequest,
    SignalWorkflowRequest, TerminateWorkflowRequest, WorkflowState,
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::starts::start_of;
use crate::workflows::world::{World, id, order};

fn is_refused(status: Status, code: Code, reason: &str) {
    assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)));
}

#[tokio::test(start_paused = true)]
async fn customers_neither_see_nor_touch_runs_not_even_their_own() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.place(&order).await;
    let mut workflows = world.workflows();
    let (denied, reason) = (Code::PermissionDenied, "ROLE_REQUIRED");
    fn by<T>(world: &World, user_id: Uuid, message: T) -> Request<T> {
        world.signed(user_id, Role::Customer, message)
    }
    let me = order.user_id;

    let start = start_of(&order, 0);
    is_refused(workflows.start_workflow(by(&world, me, start)).await.unwrap_err(), denied, reason);
    let look = DescribeWorkflowRequest { workflow_id: id(), ..Default::default() };
    is_refused(
        workflows.describe_workflow(by(&world, me, look)).await.unwrap_err(),
        denied,
        reason,
    );
    let list = ListWorkflowsRequest::default();
    is_refused(workflows.list_workflows(by(&world, me, list)).await.unwrap_err(), denied, reason);
    let signal = SignalWorkflowRequest {
        request_id: Uuid::from_u128(1).to_string(),
        workflow_id: id(),
        signal: "delivered".into(),
        ..SignalWorkflowRequest::default()
    };
    is_refused(
        workflows.signal_workflow(by(&world, me, signal.clone())).await.unwrap_err(),
        denied,
        reason,
    );
    let nobody = workflows.signal_workflow(signal).await.unwrap_err();
    is_refused(nobody, Code::Unauthenticated, "NO_CREDENTIALS");
    world.until("completed ClearCart").await;
    assert!(!world.outline().await.contains(&"signal delivered".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn only_people_end_runs_by_force() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.workflows();
    let channel = world.directory.for_service("order").channel("workflow");
    let end = TerminateWorkflowRequest {
        workflow_id: id(),
        reason: "because".into(),
        abandon_undo: true,
        ..TerminateWorkflowRequest::default()
    };
    let refused = WorkflowServiceClient::new(channel).terminate_workflow(end).await.unwrap_err();
    is_refused(refused, Code::PermissionDenied, "ROLE_REQUIRED");
}

#[tokio::test(start_paused = true)]
async fn staff_reset_a_run_and_nothing_is_done_twice() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    let before = world.history().await;
    let to = |sequence: i64| ResetWorkflowRequest {
        workflow_id: id(),
        sequence,
        reason: "tested".into(),
        ..ResetWorkflowRequest::default()
    };
    let mut workflows = world.workflows();
    let customer = world.signed(order("").user_id, Role::Customer, to(1));
    let refused = workflows.reset_workflow(customer).await.unwrap_err();
    is_refused(refused, Code::PermissionDenied, "ROLE_REQUIRED");
    let refused = workflows.reset_workflow(world.staff(to(1_000))).await.unwrap_err();
    is_refused(refused, Code::FailedPrecondition, "CANNOT_RESET");
    let both = ResetPoint { last_step: "ReserveStock".into(), before_failure: true };
    let request = ResetWorkflowRequest { reset_to: Some(both), ..to(0) };
    let refused = workflows.reset_workflow(world.staff(request)).await.unwrap_err();
    is_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let unfailed = ResetPoint { before_failure: true, ..ResetPoint::default() };
    let request = ResetWorkflowRequest { reset_to: Some(unfailed), ..to(0) };
    let refused = workflows.reset_workflow(world.staff(request)).await.unwrap_err();
    is_refused(refused, Code::FailedPrecondition, "CANNOT_RESET");
    let calls = world.shop.calls().len();
    let done = workflows.reset_workflow(world.staff(to(1))).await.unwrap().into_inner();
    assert_eq!(done.kept, 0);
    world.until("completed ClearCart").await;
    assert!(world.shop.calls().len() > calls, "everything is asked for again");
    world.check_done();
    let now = world.history().await;
    // The reset is on record, and the answer that was given stands: it is not given again.
    assert_eq!(now.len(), before.len(), "{:?}", world.outline().await);
    for name in ["shipped", "delivered"] {
        world.signal(name, name).await.unwrap();
    }
    assert_eq!(world.end().await.state, RunState::Completed);
    world.check_done();
}

#[tokio::test(start_paused = true)]
async fn staff_pause_and_resume_a_run_and_ask_for_views() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    let mut workflows = world.workflows();
    let pause = PauseWorkflowRequest { workflow_id: id(), ..PauseWorkflowRequest::default() };
    workflows.pause_workflow(world.staff(pause)).await.unwrap();
    let look = || world.staff(DescribeWorkflowRequest { workflow_id: id(), ..Default::default() });
    let state = |described: tonic::Response<DescribeWorkflowResponse>| {
        described.into_inner().workflow.unwrap().summary.unwrap().state()
    };
    let paused = workflows.describe_workflow(look()).await.unwrap();
    assert_eq!(state(paused), WorkflowState::Paused);
    let resume = ResumeWorkflowRequest { workflow_id: id(), ..ResumeWorkflowRequest::default() };
    workflows.resume_workflow(world.staff(resume)).await.unwrap();
    let running = workflows.describe_workflow(look()).await.unwrap();
    assert_eq!(state(running), WorkflowState::Running);
    world.until("completed ClearCart").await;
    let query = QueryWorkflowRequest {
        workflow_id: id(),
        query: "nothing".into(),
        ..QueryWorkflowRequest::default()
    };
    let refused = workflows.query_workflow(world.staff(query)).await.unwrap_err();
    is_refused(refused, Code::FailedPrecondition, "NOT_PUBLISHED");
}
