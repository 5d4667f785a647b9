//! What other services are told: one event per change, with its version, and nothing of refusals.

use std::sync::Arc;

use souk_mesh::bus::consume;
use souk_proto::event::v1::Event;
use souk_proto::event::v1::event::Payload;
use souk_proto::order::v1::{
    CancelOrderRequest, DeliverOrderRequest, Order, OrderState, ShipOrderRequest,
};
use tokio::sync::mpsc;

use crate::shop::{Shop, new_id, on_each_store, soon, wish};

on_each_store!(
    every_change_is_told_once_with_its_version,
    a_cancellation_is_told_with_its_reason_and_equal_requests_tell_once,
);

const TOPICS: &[&str] =
    &["order.created", "order.updated", "order.shipped", "order.delivered", "order.cancelled"];

async fn listen(shop: &Shop) -> mpsc::UnboundedReceiver<Event> {
    let (sender, events) = mpsc::unbounded_channel();
    let handler = move |event| {
        sender.send(event).unwrap();
        std::future::ready(Ok(()))
    };
    let bus = Arc::clone(&shop.platform.bus);
    consume(bus, &shop.platform.tasks, "test.orders", TOPICS, handler).await.unwrap();
    events
}

/// The next events of an order by version, as queues may deliver side by side.
async fn next(events: &mut mpsc::UnboundedReceiver<Event>, count: usize) -> Vec<Event> {
    let mut found = Vec::new();
    while found.len() < count {
        found.push(soon(events.recv()).await.unwrap());
    }
    found.sort_by_key(|event| event.aggregate_version);
    found
}

fn told(event: &Event) -> (&str, i64, OrderState, Order) {
    let Some(Payload::Order(change)) = &event.payload else { panic!("not of an order: {event:?}") };
    let order = change.order.clone().unwrap();
    assert_eq!(event.aggregate_id, order.order_id);
    assert_eq!(event.aggregate_version, order.version);
    (&event.r#type, order.version, change.previous_state(), order)
}

async fn every_change_is_told_once_with_its_version(shop: Shop) {
    let mut events = listen(&shop).await;
    let (mara, staff) = (shop.customer(), shop.staff());
    let order = shop.paid(&mara).await;
    let ship = ShipOrderRequest {
        request_id: new_id(),
        order_id: order.order_id.clone(),
        carrier: "Post".into(),
        tracking_number: "AT1".into(),
    };
    // A repeat and a refusal are no changes.
    for _ in 0..2 {
        shop.client().ship_order(staff.says(ship.clone())).await.unwrap();
    }
    let request_id = new_id();
    let cancel =
        CancelOrderRequest { request_id, order_id: order.order_id.clone(), reason: String::new() };
    shop.client().cancel_order(mara.says(cancel)).await.unwrap_err();
    let deliver = DeliverOrderRequest { request_id: new_id(), order_id: order.order_id.clone() };
    shop.client().deliver_order(staff.says(deliver)).await.unwrap();

    let found = next(&mut events, 4).await;
    let changes: Vec<_> =
        found.iter().map(told).map(|(t, v, previous, _)| (t, v, previous)).collect();
    let expected = [
        ("order.created", 1, OrderState::Unspecified),
        ("order.updated", 2, OrderState::Pending),
        ("order.shipped", 3, OrderState::Processing),
        ("order.delivered", 4, OrderState::Shipped),
    ];
    assert_eq!(changes, expected);
    let shipped = told(&found[2]).3;
    assert_eq!(
        (shipped.user_id, shipped.email.as_str()),
        (mara.user_id.to_string(), "mara@example.com")
    );
    assert_eq!((shipped.lines.len(), shipped.tracking.unwrap().tracking_number), (1, "AT1".into()));
    assert!(found.iter().all(|event| !event.trace_parent.is_empty()));
}

async fn a_cancellation_is_told_with_its_reason_and_equal_requests_tell_once(shop: Shop) {
    let mut events = listen(&shop).await;
    let mara = shop.customer();
    let request = wish(shop.neighbours.catalog.sell(250, 9), 1, 250);
    let order = shop.place(&mara, request.clone()).await.unwrap().order.unwrap();
    shop.place(&mara, request).await.unwrap();
    let cancel = CancelOrderRequest {
        request_id: new_id(),
        order_id: order.order_id,
        reason: "changed my mind".into(),
    };
    shop.client().cancel_order(mara.says(cancel)).await.unwrap();
    let found = next(&mut events, 2).await;
    assert_eq!(told(&found[0]).0, "order.created");
    let (topic, version, previous, order) = told(&found[1]);
    assert_eq!((topic, version, previous), ("order.cancelled", 2, OrderState::Pending));
    assert_eq!(
        (order.cancel_reason.as_str(), order.cancel_message.as_str()),
        ("CUSTOMER", "changed my mind")
    );
}
