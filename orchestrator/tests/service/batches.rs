//! Batches by gRPC: checked before they begin, and on the record of each run.

use std::time::Duration;

use souk_mesh::error::{reason_of, violations_of};
use souk_orchestrator::testing::Fault;
use souk_proto::workflow::v1::{
    BatchOperateRequest, BatchOperateResponse, BatchOperation, CancelWorkflowRequest,
    QueryWorkflowRequest, WorkflowState,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::engine::world::LONG;
use crate::workflows::world::{STAFF, World, id, order};

fn request(operation: BatchOperation, filter: &str) -> BatchOperateRequest {
    BatchOperateRequest {
        request_id: Uuid::from_u128(77).to_string(),
        operation: operation.into(),
        filter: filter.into(),
        reason: "outage of the provider".into(),
        ..BatchOperateRequest::default()
    }
}

async fn operate(
    world: &World,
    request: BatchOperateRequest,
) -> Result<BatchOperateResponse, Status> {
    let begun = world.workflows().batch_operate(world.staff(request)).await;
    begun.map(tonic::Response::into_inner)
}

async fn progress(world: &World, workflow_id: &str) -> serde_json::Value {
    let request = QueryWorkflowRequest {
        workflow_id: workflow_id.into(),
        query: "progress".into(),
        ..QueryWorkflowRequest::default()
    };
    let shown = world.workflows().query_workflow(world.staff(request)).await.unwrap();
    serde_json::from_slice(&shown.into_inner().result).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_parked_order_is_counted_retried_and_signed() {
    let world = World::new(1).await;
    world.shop.faults.always("CommitStock", Fault::Refuse);
    world.shop.faults.always("ReturnPayment", Fault::Away);
    world.place(&order("tok_visa")).await;
    world.rest().await;
    world.pass(Duration::from_secs(1)).await;
    let retry = request(BatchOperation::RetryStep, "state = parked AND step = ReturnPayment");
    let dry = BatchOperateRequest { dry_run: true, ..retry.clone() };
    let counted = operate(&world, dry).await.unwrap();
    let [count] = &counted.counts[..] else { panic!("{counted:?}") };
    assert_eq!((count.state(), count.runs, counted.has_more), (WorkflowState::Parked, 1, false));
    assert_eq!(counted.workflow_id, "");

    world.shop.faults.repair("ReturnPayment");
    let begun = operate(&world, retry.clone()).await.unwrap();
    assert_eq!(begun.workflow_id, format!("souk.batch/{}", retry.request_id));
    // A repeat joins the batch; another one under its id is refused.
    assert_eq!(operate(&world, retry.clone()).await.unwrap(), begun);
    let other = BatchOperateRequest { operation: BatchOperation::SkipStep.into(), ..retry };
    let refused = operate(&world, other).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("WORKFLOW_ID_REUSED"));
    world.engine.outcome(&begun.workflow_id, LONG).await.unwrap().unwrap();
    let told = progress(&world, &begun.workflow_id).await;
    assert_eq!((&told["done"], &told["found"]), (&1.into(), &1.into()), "{told}");
    world.end().await;
    world.check_clean();
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_order_bears_the_batch_and_who_began_it() {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    world.pass(Duration::from_secs(2)).await;
    let begun =
        operate(&world, request(BatchOperation::Cancel, "payment = challenge")).await.unwrap();
    let failure = world.end().await.failure.unwrap();
    let expected = format!("outage of the provider (by {STAFF}) [{}]", begun.workflow_id);
    assert_eq!(failure.message, expected);
    world.check_clean();
    // The batch itself is no business of a batch, but of CancelWorkflow.
    let all = BatchOperateRequest {
        request_id: Uuid::from_u128(78).to_string(),
        runs_per_second: 1,
        ..request(BatchOperation::Pause, "type = \"souk.batch\" OR state = open")
    };
    let own = operate(&world, all).await.unwrap().workflow_id;
    let cancel = CancelWorkflowRequest { workflow_id: own.clone(), ..Default::default() };
    world.workflows().cancel_workflow(world.staff(cancel)).await.unwrap();
    world.engine.outcome(&own, LONG).await.unwrap().unwrap();
    assert_eq!(progress(&world, &own).await["found"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_batch_is_refused_and_leaves_nothing() {
    let world = World::new(1).await;
    let good = request(BatchOperation::Cancel, "state = open");
    let ids = vec![id()];
    for (bad, field) in [
        (request(BatchOperation::Cancel, " "), "filter"),
        (BatchOperateRequest { workflow_ids: ids, ..good.clone() }, "filter"),
        (request(BatchOperation::Unspecified, "state = open"), "operation"),
        (request(BatchOperation::Signal, "state = open"), "signal"),
        (BatchOperateRequest { signal: "s".into(), ..good.clone() }, "signal"),
        (BatchOperateRequest { abandon_undo: true, ..good.clone() }, "abandon_undo"),
        (
            BatchOperateRequest {
                signal: "s".into(),
                payload: "{".into(),
                ..request(BatchOperation::Signal, "state = open")
            },
            "payload",
        ),
        (BatchOperateRequest { reason: String::new(), ..good.clone() }, "reason"),
        (BatchOperateRequest { request_id: "7".into(), ..good.clone() }, "request_id"),
        (BatchOperateRequest { runs_per_second: 1_001, ..good.clone() }, "runs_per_second"),
    ] {
        let refused = operate(&world, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert_eq!(violations_of(&refused)[0].field, field);
    }
    let refused = operate(&world, request(BatchOperation::Cancel, "state =")).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("INVALID_FILTER"));
    world.pass(Duration::from_secs(1)).await;
    let all = souk_orchestrator::engine::Filter::default();
    assert_eq!(world.engine.list(&all, None, 10).await.unwrap().rows, []);
}
