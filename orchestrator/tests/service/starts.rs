//! Starting, signalling and cancelling by gRPC.

use std::time::Duration;

use souk_mesh::error::{reason_of, violations_of};
use souk_mesh::telemetry;
use souk_orchestrator::engine::seams::Clock;
use souk_orchestrator::testing::Fault;
use souk_orchestrator::workflows::place_order::{PlaceOrder, TYPE, workflow_id};
use souk_proto::time::duration;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    CancelWorkflowRequest, DescribeWorkflowRequest, ListWorkflowTurnsRequest,
    ListWorkflowTurnsResponse, SignalWorkflowRequest, StartWorkflowRequest, StartWorkflowResponse,
    UpdateWorkflowRequest, WorkflowIdReuse, WorkflowState,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::workflows::world::{STAFF, TRACE_ID, World, id, order};

pub fn start_of(order: &PlaceOrder, wait_ms: i64) -> StartWorkflowRequest {
    StartWorkflowRequest {
        workflow_id: workflow_id(&order.order_id.to_string()),
        workflow_type: TYPE.into(),
        input: serde_json::to_vec(order).unwrap().into(),
        wait_for_answer: (wait_ms > 0).then(|| duration(wait_ms)),
        ..StartWorkflowRequest::default()
    }
}

/// Starts as svc-order does.
async fn start(
    world: &World,
    request: StartWorkflowRequest,
) -> Result<StartWorkflowResponse, Status> {
    world.workflows();
    let channel = world.directory.for_service("order").channel("workflow");
    let mut workflows = WorkflowServiceClient::new(channel);
    workflows.start_workflow(request).await.map(tonic::Response::into_inner)
}

fn signal(name: &str, request_id: u128) -> SignalWorkflowRequest {
    SignalWorkflowRequest {
        request_id: Uuid::from_u128(request_id).to_string(),
        workflow_id: id(),
        signal: name.into(),
        payload: "{}".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn equal_starts_join_one_run_and_get_one_answer() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    let starts = (0..50).map(|_| start(&world, start_of(&order, 2_000)));
    let started = futures::future::join_all(starts).await;
    let started: Vec<_> = started.into_iter().map(Result::unwrap).collect();
    assert_eq!(started.iter().filter(|started| !started.already_started).count(), 1);
    for other in &started {
        assert_eq!((&other.run_id, &other.answer), (&started[0].run_id, &started[0].answer));
        assert_eq!(other.state(), WorkflowState::Running);
    }
    let answer: serde_json::Value =
        serde_json::from_slice(started[0].answer.as_ref().unwrap()).unwrap();
    assert_eq!(answer["placement"], "PLACED");
    world.until("completed ClearCart").await;
    world.check_done();

    // For ever, also when the run has ended and has left memory.
    for name in ["shipped", "delivered"] {
        world.signal(name, name).await.unwrap();
    }
    world.end().await;
    world.pass(Duration::from_secs(60)).await;
    let again = start(&world, start_of(&order, 2_000)).await.unwrap();
    assert_eq!((&again.run_id, &again.answer), (&started[0].run_id, &started[0].answer));
    assert!(again.already_started);
    assert_eq!(again.state(), WorkflowState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_start_with_another_input_is_refused() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    start(&world, start_of(&order, 2_000)).await.unwrap();
    let dearer = PlaceOrder { total_minor: 1, ..order };
    let refused = start(&world, start_of(&dearer, 2_000)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(reason_of(&refused).as_deref(), Some("WORKFLOW_ID_REUSED"));
    world.until("completed ClearCart").await;
    world.check_done();
}

#[tokio::test(start_paused = true)]
async fn bad_starts_name_the_field_and_leave_nothing() {
    let world = World::new(1).await;
    let good = start_of(&order("tok_visa"), 0);
    let unknown = StartWorkflowRequest { workflow_type: "teleport".into(), ..good.clone() };
    let unfit = StartWorkflowRequest { input: r#"{"order_id":7}"#.into(), ..good.clone() };
    let large = StartWorkflowRequest { input: vec![b' '; 600_000].into(), ..good.clone() };
    let nameless = StartWorkflowRequest { workflow_id: String::new(), ..good.clone() };
    let own = StartWorkflowRequest { workflow_type: "souk.batch".into(), ..good.clone() };
    let posing = StartWorkflowRequest { workflow_id: "souk.batch/1".into(), ..good.clone() };
    let patient = StartWorkflowRequest { wait_for_answer: Some(duration(31_000)), ..good };
    for (request, field) in [
        (unknown, "workflow_type"),
        (unfit, "input"),
        (large, "input"),
        (nameless, "workflow_id"),
        (own, "workflow_type"),
        (posing, "workflow_id"),
        (patient, "wait_for_answer"),
    ] {
        let refused = start(&world, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert_eq!(violations_of(&refused)[0].field, field);
    }
    let request = DescribeWorkflowRequest { workflow_id: id(), ..Default::default() };
    let unknown = world.workflows().describe_workflow(world.staff(request)).await.unwrap_err();
    assert_eq!(reason_of(&unknown).as_deref(), Some("WORKFLOW_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_waited_for_as_long_as_asked() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    world.shop.faults.once("ConfirmPayment", Fault::Hang);
    let began_ms = world.clock.now_ms();
    let started = start(&world, start_of(&order, 0)).await.unwrap();
    assert_eq!((started.answer, world.clock.now_ms() - began_ms), (None, 0));
    let joined = start(&world, start_of(&order, 2_000)).await.unwrap();
    assert_eq!(joined.answer, None);
    assert!((2_000..2_010).contains(&(world.clock.now_ms() - began_ms)));
    // The hanging attempt is given up, and the next one works: the answer ends the wait.
    let mut request = tonic::Request::new(start_of(&order, 30_000));
    request.set_timeout(Duration::from_secs(30));
    let channel = world.directory.for_service("order").channel("workflow");
    let joined = WorkflowServiceClient::new(channel).start_workflow(request).await.unwrap();
    assert!(joined.into_inner().answer.is_some());
    assert!(world.clock.now_ms() - began_ms < 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_refused_order_is_answered_with_where_its_run_stands() {
    let world = World::new(1).await;
    let order = order("tok_declined");
    world.shop.record_order(order.order_id);
    let started = start(&world, start_of(&order, 2_000)).await.unwrap();
    assert_eq!(started.state(), WorkflowState::Compensating);
    assert!(started.answer.is_some());
}

#[tokio::test(start_paused = true)]
async fn steps_run_in_the_trace_of_the_call_that_started_the_run() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    let call = start(&world, start_of(&order, 2_000));
    telemetry::in_trace("test", Some(&traceparent), call).await.unwrap();
    world.until("completed ClearCart").await;
    let calls = world.shop.calls();
    assert_eq!(calls.len(), 7);
    assert!(calls.iter().all(|call| call.trace_id == TRACE_ID), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_signal_is_told_apart_from_a_new_one() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    let mut workflows = world.workflows();
    let mut tell = async |request| {
        let told = workflows.signal_workflow(world.staff(request)).await;
        told.map(|told| told.into_inner().duplicate)
    };
    assert!(!tell(signal("shipped", 1)).await.unwrap());
    assert!(tell(signal("shipped", 1)).await.unwrap());
    assert!(!tell(signal("delivered", 2)).await.unwrap());
    world.end().await;
    let outline = world.outline().await;
    assert_eq!(outline.iter().filter(|line| *line == "signal shipped").count(), 1);

    world.pass(Duration::from_secs(60)).await;
    let closed = tell(signal("shipped", 3)).await.unwrap_err();
    assert_eq!(closed.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&closed).as_deref(), Some("WORKFLOW_CLOSED"));
    let unknown = SignalWorkflowRequest { workflow_id: "order/none".into(), ..signal("a", 4) };
    assert_eq!(tell(unknown).await.unwrap_err().code(), Code::NotFound);
    let nameless = SignalWorkflowRequest { request_id: String::new(), ..signal("a", 5) };
    assert_eq!(violations_of(&tell(nameless).await.unwrap_err())[0].field, "request_id");
    let garbled = SignalWorkflowRequest { payload: "{".into(), ..signal("a", 6) };
    assert_eq!(violations_of(&tell(garbled).await.unwrap_err())[0].field, "payload");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_bears_the_name_of_who_asked_for_it() {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    world.answer().await;
    let request = CancelWorkflowRequest {
        workflow_id: id(),
        reason: "stolen card".into(),
        ..CancelWorkflowRequest::default()
    };
    world.workflows().cancel_workflow(world.staff(request)).await.unwrap();
    let failure = world.end().await.failure.unwrap();
    assert_eq!(failure.message, format!("stolen card (by {STAFF})"));
    world.check_clean();
    assert!(!world.shop.order(order("").order_id).message.contains("stolen"));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_the_run_does_not_take_is_refused() {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    let request = UpdateWorkflowRequest {
        request_id: Uuid::from_u128(1).to_string(),
        workflow_id: id(),
        update: "haggle".into(),
        ..UpdateWorkflowRequest::default()
    };
    let refused = world.workflows().update_workflow(world.staff(request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&refused).as_deref(), Some("UPDATE_NOT_ACCEPTED"));
}

#[tokio::test(start_paused = true)]
async fn a_workflow_id_that_is_used_again_shows_all_its_runs() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    world.shop.faults.always("HoldStock", Fault::Hang);
    let begin = |request_id: u128, id_reuse: WorkflowIdReuse| StartWorkflowRequest {
        request_id: Uuid::from_u128(request_id).to_string(),
        id_reuse: id_reuse.into(),
        ..start_of(&order, 0)
    };
    let first = start(&world, begin(1, WorkflowIdReuse::AllowIfClosed)).await.unwrap();
    // It owes the undo of what the shop did before the start.
    let refused = start(&world, begin(2, WorkflowIdReuse::TerminateIfOpen)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("UNDO_OPEN"));
    let joined = start(&world, begin(2, WorkflowIdReuse::AllowIfClosed)).await.unwrap();
    assert!(joined.already_started && joined.run_id == first.run_id);
    let cancel = CancelWorkflowRequest {
        workflow_id: id(),
        reason: "again".into(),
        ..CancelWorkflowRequest::default()
    };
    world.workflows().cancel_workflow(world.staff(cancel)).await.unwrap();
    world.end().await;
    world.shop.faults.calm();
    let second = start(&world, begin(2, WorkflowIdReuse::AllowIfFailed)).await.unwrap();
    assert!(!second.already_started && second.run_id != first.run_id);
    let again = start(&world, begin(1, WorkflowIdReuse::AllowIfFailed)).await.unwrap();
    assert_eq!((again.run_id.as_str(), again.state()), (&*first.run_id, WorkflowState::Cancelled));
    let request =
        |page_token| ListWorkflowTurnsRequest { workflow_id: id(), page_size: 1, page_token };
    let list = async |page_token| {
        let page = world.workflows().list_workflow_turns(world.staff(request(page_token))).await;
        page.unwrap().into_inner()
    };
    let newest = list(String::new()).await;
    let oldest = list(newest.next_page_token.clone()).await;
    assert_eq!(oldest.next_page_token, "");
    let told =
        |page: &ListWorkflowTurnsResponse| (page.turns[0].run_id.clone(), page.turns[0].generation);
    assert_eq!((told(&newest), told(&oldest)), ((second.run_id, 2), (first.run_id.clone(), 1)));
    let describe = async |run_id: &str| {
        let request = DescribeWorkflowRequest { workflow_id: id(), run_id: run_id.into() };
        world.workflows().describe_workflow(world.staff(request)).await
    };
    let described = describe(&first.run_id).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!(described.summary.unwrap().state(), WorkflowState::Cancelled);
    let unknown = describe(&Uuid::from_u128(9).to_string()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let nameless = StartWorkflowRequest {
        request_id: String::new(),
        ..begin(3, WorkflowIdReuse::AllowIfClosed)
    };
    let refused = start(&world, nameless).await.unwrap_err();
    assert_eq!(violations_of(&refused)[0].field, "request_id");
}
