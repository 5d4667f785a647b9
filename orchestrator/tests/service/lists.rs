//! Lists of runs: newest first, page by page, filtered.

use std::time::Duration;

use souk_mesh::error::{reason_of, violations_of};
use souk_orchestrator::engine::StartRequest;
use souk_orchestrator::engine::seams::Clock;
use souk_orchestrator::workflows::place_order::{PlaceOrder, TYPE, workflow_id};
use souk_proto::time;
use souk_proto::workflow::v1::{
    CountWorkflowsRequest, ListWorkflowsRequest, ListWorkflowsResponse, WorkflowCount,
    WorkflowState,
};
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

fn page(page_size: i32, page_token: &str, filter: &str) -> ListWorkflowsRequest {
    let (page_token, filter) = (page_token.to_owned(), filter.to_owned());
    ListWorkflowsRequest { page_size, page_token, filter }
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
        let page = list(&world, page(3, &token, "")).await.unwrap();
        listed.extend(page.workflows.into_iter().map(|run| run.workflow_id));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!((listed, pages), (placed.clone(), 3));
    let whole = list(&world, page(7, "", "")).await.unwrap();
    assert_eq!((whole.workflows.len(), whole.next_page_token.as_str()), (7, ""));

    let failed = list(&world, page(0, "", "state = failed")).await.unwrap();
    assert_eq!(failed.workflows.len(), 3);
    for run in &failed.workflows {
        assert_eq!(run.failure.as_ref().unwrap().reason, "CARD_DECLINED");
        assert!(run.close_time.is_some());
    }
    let running = list(&world, page(0, "", "state = running")).await.unwrap();
    assert_eq!(running.workflows.len(), 4);
    assert!(list(&world, page(0, "", "state = paused")).await.unwrap().workflows.is_empty());
    let other = page(0, "", "type = return_order");
    assert!(list(&world, other).await.unwrap().workflows.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_of_use_for_its_own_list_only() {
    let world = World::new(1).await;
    for number in 0..3 {
        place(&world, number * 2).await;
    }
    world.pass(Duration::from_secs(10)).await;
    let token = list(&world, page(1, "", "state = running")).await.unwrap().next_page_token;
    for bad in [
        page(1, &token, "state = failed"),
        page(1, "made up", "state = running"),
        page(-1, "", "state = running"),
        page(501, "", "state = running"),
    ] {
        let refused = list(&world, bad.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_found_by_what_their_orders_say() {
    let world = World::new(1).await;
    let mut placed = Vec::new();
    for number in 0..4 {
        placed.push(place(&world, number).await);
    }
    world.pass(Duration::from_secs(10)).await;
    for (filter, expected) in [
        ("payment = declined", vec![3, 1]),
        ("payment = captured AND total_minor >= 5980 AND currency = EUR", vec![2, 0]),
        ("total_minor > 5980", vec![]),
        ("customer = \"00000000-0000-0000-0000-000000000007\" AND state = open", vec![2, 0]),
        ("NOT (payment = declined OR payment = captured)", vec![]),
        ("started_at > -1m AND failure = CARD_DECLINED", vec![3, 1]),
    ] {
        let listed = list(&world, page(0, "", filter)).await.unwrap();
        let found: Vec<String> = listed.workflows.into_iter().map(|run| run.workflow_id).collect();
        let expected: Vec<String> =
            expected.into_iter().map(|at: usize| placed[at].clone()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_none_is_refused_with_its_place() {
    let world = World::new(1).await;
    let wrong = "state = open AND started_at > yesterday";
    let refused = list(&world, page(0, "", wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason_of(&refused).as_deref(), Some("INVALID_FILTER"));
    let violation = &violations_of(&refused)[0];
    assert_eq!(violation.field, "filter");
    assert!(violation.description.starts_with("at character 31: started_at is"), "{violation:?}");
    let count = CountWorkflowsRequest { filter: "(".into(), ..CountWorkflowsRequest::default() };
    let refused = world.workflows().count_workflows(world.staff(count)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("INVALID_FILTER"));
}

#[tokio::test(start_paused = true)]
async fn a_list_says_how_far_it_knows_and_now_stays_what_it_was_on_the_first_page() {
    let world = World::new(1).await;
    for number in 0..3 {
        place(&world, number * 2).await;
    }
    let now_ms = world.clock.now_ms();
    let fresh = list(&world, page(0, "", "")).await.unwrap();
    let as_of_ms = time::unix_ms(&fresh.as_of.unwrap());
    assert!((now_ms - 100..=now_ms).contains(&as_of_ms), "{as_of_ms} at {now_ms}");
    world.pass(Duration::from_secs(10)).await;
    let later = list(&world, page(1, "", "started_at > -12s")).await.unwrap();
    assert_eq!(time::unix_ms(&later.as_of.unwrap()), world.clock.now_ms());
    world.pass(Duration::from_secs(60)).await;
    let token = later.next_page_token;
    let rest = list(&world, page(5, &token, "started_at > -12s")).await.unwrap();
    assert_eq!(rest.workflows.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn runs_are_counted_by_type_and_state() {
    let world = World::new(1).await;
    for number in 0..5 {
        place(&world, number).await;
    }
    world.pass(Duration::from_secs(10)).await;
    let counted = async |filter: &str| {
        let request = CountWorkflowsRequest { filter: filter.into(), ..Default::default() };
        let answer = world.workflows().count_workflows(world.staff(request)).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.next_page_token, "");
        let line = |count: &WorkflowCount| (count.workflow_type.clone(), count.state(), count.runs);
        answer.counts.iter().map(line).collect::<Vec<_>>()
    };
    let running = (TYPE.to_owned(), WorkflowState::Running, 3);
    let failed = (TYPE.to_owned(), WorkflowState::Failed, 2);
    assert_eq!(counted("").await, [running, failed.clone()]);
    assert_eq!(counted("state = closed").await, [failed]);
    assert_eq!(counted("type = teleport").await, []);
}
