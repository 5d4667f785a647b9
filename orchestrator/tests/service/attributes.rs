//! Search attributes by gRPC: given at the start, shown by lists and descriptions.

use std::time::Duration;

use souk_mesh::error::violations_of;
use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, SearchAttribute, SearchAttributeKind, StartWorkflowRequest,
    WorkflowSummary,
};
use tonic::Code;

use super::starts::start_of;
use crate::workflows::world::{World, id, order};

fn attribute(name: &str, kind: SearchAttributeKind) -> SearchAttribute {
    SearchAttribute { name: name.into(), kind: kind.into(), ..SearchAttribute::default() }
}

async fn summary(world: &World) -> WorkflowSummary {
    let request = DescribeWorkflowRequest { workflow_id: id(), ..Default::default() };
    let described = world.workflows().describe_workflow(world.staff(request)).await.unwrap();
    described.into_inner().workflow.unwrap().summary.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_is_found_by_customer_amount_and_payment() {
    let world = World::new(1).await;
    let order = order("tok_visa");
    world.shop.record_order(order.order_id);
    let mut request = start_of(&order, 2_000);
    let channel =
        SearchAttribute { text: "app".into(), ..attribute("channel", SearchAttributeKind::Text) };
    let at = SearchAttribute {
        time: Some(timestamp(5_000)),
        ..attribute("promised_at", SearchAttributeKind::Time)
    };
    request.attributes = vec![channel.clone(), at.clone()];
    world.workflows().start_workflow(world.staff(request)).await.unwrap();
    world.until("completed ClearCart").await;
    world.pass(Duration::from_secs(1)).await;
    let text = |name: &str, text: &str| SearchAttribute {
        text: text.into(),
        ..attribute(name, SearchAttributeKind::Text)
    };
    let total = SearchAttribute {
        integer: order.total_minor,
        ..attribute("total_minor", SearchAttributeKind::Integer)
    };
    let expected = [
        channel,
        text("currency", "EUR"),
        text("customer", &order.user_id.to_string()),
        text("order", &order.order_id.to_string()),
        text("payment", "captured"),
        at,
        total,
    ];
    assert_eq!(summary(&world).await.attributes, expected);
}

#[tokio::test(start_paused = true)]
async fn an_attribute_that_is_none_is_refused() {
    let world = World::new(1).await;
    let good = start_of(&order("tok_visa"), 0);
    let with = |attribute| StartWorkflowRequest { attributes: vec![attribute], ..good.clone() };
    for (request, field) in [
        (with(attribute("Loud", SearchAttributeKind::Flag)), "attributes"),
        (with(attribute("kindless", SearchAttributeKind::Unspecified)), "attributes[0].kind"),
        (with(attribute("", SearchAttributeKind::Flag)), "attributes[0].name"),
    ] {
        let refused = world.workflows().start_workflow(world.staff(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(violations_of(&refused)[0].field, field);
    }
}
