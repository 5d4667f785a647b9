//! What the rest of the shop is told of the catalog.

use souk_proto::event::v1::{Event, InventoryChanged, ProductUpdated, event::Payload};
use souk_proto::time::timestamp;
use uuid::Uuid;

use crate::domain::{Inventory, Listed, Reservation, StockEffect};
use crate::wire;

/// A product was made or changed, or its last piece went or its first came back. `event_version`
/// counts all of these.
pub fn product_updated(
    listed: &Listed,
    category_name: &str,
    event_version: i64,
    now_ms: i64,
) -> Event {
    let payload = ProductUpdated {
        product: Some(wire::product(&listed.product)),
        category_name: category_name.to_owned(),
        in_stock: listed.available > 0,
    };
    let id = listed.product.id;
    event("product.updated", id, event_version, now_ms, Payload::Product(payload))
}

/// What a step did to stock: `inventory.reserved`, `inventory.released`, or nothing worth telling.
pub fn inventory_changed(
    reservation: &Reservation,
    effect: StockEffect,
    inventories: &[Inventory],
    reason: &str,
    now_ms: i64,
) -> Option<Event> {
    let topic = match effect {
        StockEffect::Hold | StockEffect::HoldAndTake => "inventory.reserved",
        StockEffect::Free | StockEffect::PutBack => "inventory.released",
        StockEffect::None | StockEffect::Take => return None,
    };
    let payload = InventoryChanged {
        reservation: Some(wire::reservation(reservation)),
        inventories: inventories.iter().map(wire::inventory).collect(),
        reason: reason.to_owned(),
    };
    let payload = Payload::Inventory(payload);
    Some(event(topic, reservation.id, reservation.version, now_ms, payload))
}

fn event(
    topic: &str,
    aggregate_id: Uuid,
    aggregate_version: i64,
    now_ms: i64,
    payload: Payload,
) -> Event {
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: topic.to_owned(),
        aggregate_id: aggregate_id.to_string(),
        aggregate_version,
        occurred_at: Some(timestamp(now_ms)),
        trace_parent: String::new(),
        payload: Some(payload),
    }
}
