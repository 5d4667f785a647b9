//! Native gRPC through the edge: phones, and everybody's tools.

use souk_mesh::error::reason_of;
use souk_mesh::identity::Role;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{GetProductRequest, RestockRequest, WatchInventoryRequest};
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{GetOrderRequest, ShipOrderRequest};
use souk_proto::workflow::v1::ListWorkflowsRequest;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::support::{Edge, KNOWN, UNKNOWN};

fn product(product_id: &str) -> GetProductRequest {
    GetProductRequest { product_id: product_id.to_owned() }
}

#[tokio::test]
async fn calls_reach_their_service_and_answers_come_back() {
    let edge = Edge::open().await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    let answer = catalog.get_product(product(KNOWN)).await.unwrap().into_inner();
    assert_eq!(answer.product.unwrap().name, "Teapot");
    let refused = catalog.get_product(product(UNKNOWN)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(reason_of(&refused).as_deref(), Some("PRODUCT_NOT_FOUND"));
}

#[tokio::test]
async fn streams_come_message_by_message_and_end_with_their_error() {
    let edge = Edge::open().await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    let request = WatchInventoryRequest { product_id: UNKNOWN.to_owned() };
    let mut stock = catalog.watch_inventory(request).await.unwrap().into_inner();
    for available in [2, 1] {
        let answer = stock.message().await.unwrap().unwrap();
        assert_eq!(answer.inventory.unwrap().available, available);
    }
    let end = stock.message().await.unwrap_err();
    assert_eq!(reason_of(&end).as_deref(), Some("PRODUCT_NOT_FOUND"));
}

#[tokio::test]
async fn a_caller_is_who_their_token_says_and_nobody_without_one() {
    let edge = Edge::open().await;
    let mut orders = OrderServiceClient::new(edge.channel().await);
    let request = GetOrderRequest { order_id: KNOWN.to_owned() };
    let order = orders.get_order(edge.signed(Role::Customer, request.clone())).await.unwrap();
    assert!(!order.into_inner().order.unwrap().user_id.is_empty());

    let nobody = orders.get_order(request).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn what_only_staff_and_services_may_call_is_not_there_for_anybody() {
    let edge = Edge::open().await;
    let channel = edge.channel().await;
    let ship = ShipOrderRequest::default();
    let shipped = OrderServiceClient::new(channel.clone())
        .ship_order(edge.signed(Role::Staff, ship))
        .await
        .unwrap_err();
    let restock = edge.signed(Role::Staff, RestockRequest::default());
    let restocked = CatalogServiceClient::new(channel.clone()).restock(restock).await.unwrap_err();
    let list = edge.signed(Role::Staff, ListWorkflowsRequest::default());
    let listed = WorkflowServiceClient::new(channel).list_workflows(list).await.unwrap_err();
    for refused in [shipped, restocked, listed] {
        assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
        assert_eq!(reason_of(&refused).as_deref(), Some("NOT_EXPOSED"), "{refused}");
    }
}

#[tokio::test]
async fn reflection_stays_inside() {
    let edge = Edge::open().await;
    let mut reflection = ServerReflectionClient::new(edge.channel().await);
    let asked = futures::stream::iter([ServerReflectionRequest::default()]);
    let refused = reflection.server_reflection_info(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_service_that_is_not_up_yet_is_said_to_be_so_and_found_once_it_is() {
    let edge = Edge::without_services(&Default::default()).await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    let away = catalog.get_product(product(KNOWN)).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert_eq!(reason_of(&away).as_deref(), Some("NOT_BOUND"));
    edge.bind_services();
    catalog.get_product(product(KNOWN)).await.unwrap();
}
