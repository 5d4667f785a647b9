//! The events that tell of orders. Each leaves by the outbox, in the write that made the change.

use souk_proto::event::v1::{Event, OrderChanged, event::Payload};
use souk_proto::order::v1::OrderState;
use souk_proto::time::timestamp;
use uuid::Uuid;

use crate::domain::{Entry, Order, State};
use crate::wire;

/// The topic of the event that brought an order into `state`.
#[must_use]
pub fn topic(state: State) -> &'static str {
    match state {
        State::Pending => "order.created",
        State::Processing => "order.updated",
        State::Shipped => "order.shipped",
        State::Delivered => "order.delivered",
        State::Cancelled => "order.cancelled",
    }
}

/// The event of `entry`, just appended to `order`, which was `previous` before.
#[must_use]
pub fn of(order: &Order, entry: &Entry, previous: Option<State>, trace_parent: String) -> Event {
    let previous_state = previous.map_or(OrderState::Unspecified, wire::state);
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: topic(entry.state).to_owned(),
        aggregate_id: order.id.to_string(),
        aggregate_version: wire::version(entry.version),
        occurred_at: Some(timestamp(entry.at_ms)),
        trace_parent,
        payload: Some(Payload::Order(OrderChanged {
            order: Some(wire::order(order)),
            previous_state: previous_state.into(),
        })),
    }
}
