//! Lists of runs: newest first, page by page, filtered.

use std::time::Duration;

use souk_orchestrator::engine::StartRequest;
use souk_orchestrator::workflows::place_order::{PlaceOrder, TYPE, workflow_id};
use souk_proto::workflow::v1::{ListWorkflowsRequest, ListWorkflowsResponse, WorkflowState};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::workflows::world::{World, order};

/// Order number `number`, by a card that is declined if the number is odd.
async fn place(world: &World, number: u128) -> String {
    let token = if number % 2 == 1 { "tok_declined" } else { "tok_visa" };
    let order = PlaceOrder { order_id: Uuid::from_u128(number), lines: vec![], ..order(token) };
    world.shop.record_order(order.order_id);
    let workflow_id = workflow_id(&order.order_id.to_string());
    world.engine.start(StartRequest::new(&workflow_id, TYPE, &order).unwrap()).await.unwrap();
    world.pass(Duration::from_millis(10)).await;
    workflow_id
}

async fn list(
    world: &World,
    request: ListWorkflowsRequest,
) -> Result<ListWorkflowsResponse, Status> {
    let listed = world.workflows().list_workflows(world.staff(request)).await;
    listed.map(tonic::Response::into_inner)
}

fn page(page_size: i32, page_token: &str, state: WorkflowState) -> ListWorkflowsRequest {
    let (page_token, workflow_type) = (page_token.to_owned(), String::new());
    ListWorkflowsRequest { page_size, page_token, state: state.into(), workflow_type }
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_newest_first_page_by_page() {
    let world = World::new(1).await;
    let mut placed = Vec::new();
    for number in 0..7 {
        placed.insert(0, place(&world, number).await);
    }
    world.pass(Duration::from_secs(10)).await;
    let (mut listed, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = list(&world, page(3, &token, WorkflowState::Unspecified)).await.unwrap();
        listed.extend(page.workflows.into_iter().map(|run| run.workflow_id));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!((listed, pages), (placed.clone(), 3));
    let whole = list(&world, page(7, "", WorkflowState::Unspecified)).await.unwrap();
    assert_eq!((whole.workflows.len(), whole.next_page_token.as_str()), (7, ""));

    let failed = list(&world, page(0, "", WorkflowState::Failed)).await.unwrap();
    assert_eq!(failed.workflows.len(), 3);
    for run in &failed.workflows {
        assert_eq!(run.failure.as_ref().unwrap().reason, "CARD_DECLINED");
        assert!(run.close_time.is_some());
    }
    let running = list(&world, page(0, "", WorkflowState::Running)).await.unwrap();
    assert_eq!(running.workflows.len(), 4);
    assert!(list(&world, page(0, "", WorkflowState::Paused)).await.unwrap().workflows.is_empty());
    let mut other = page(0, "", WorkflowState::Unspecified);
    other.workflow_type = "return_order".into();
    assert!(list(&world, other).await.unwrap().workflows.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_of_use_for_its_own_list_only() {
    let world = World::new(1).await;
    for number in 0..3 {
        place(&world, number * 2).await;
    }
    world.pass(Duration::from_secs(10)).await;
    let token = list(&world, page(1, "", WorkflowState::Running)).await.unwrap().next_page_token;
    for bad in [
        page(1, &token, WorkflowState::Failed),
        page(1, "made up", WorkflowState::Running),
        page(-1, "", WorkflowState::Running),
        page(501, "", WorkflowState::Running),
    ] {
        let refused = list(&world, bad.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
    }
}
