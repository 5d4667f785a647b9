//! What the shop's events mean to runs: an order that was cancelled, shipped or delivered, a payment that the customer or the bank has decided on.
//!
//! Nodes share one queue: an event comes to any of them, and its signal goes to the one that serves the run.
//!
//! The signal's id is the event's, so an event that is delivered twice is one signal. A run that has ended, or never
//! was, hears nothing more: that is no reason to deliver the event again.

#![allow(clippy::disallowed_methods)] // it waits outside of the engine

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use souk_mesh::bus::{self, HandlerError};
use souk_mesh::platform::Platform;
use souk_proto::event::v1::Event;
use souk_proto::event::v1::event::Payload;
use tokio::time::sleep;

use crate::engine::{self, Engine};
use crate::workflows::place_order;

/// The queue on the bus.
const QUEUE: &str = "orchestrator.signals";
/// What may concern a run. A capture or a refund is the run's own doing: hearing of it would cost each order a commit.
const TOPICS: &[&str] = &[
    "order.cancelled",
    "order.shipped",
    "order.delivered",
    "payment.authorized",
    "payment.failed",
];

/// The pause before a signal is given again whose run moves to another node: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Behind the longest one, the event goes back to the bus, which waits longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Begins to turn events into signals.
pub async fn consume(engine: Engine, platform: &Platform) -> Result<(), bus::Error> {
    bus::consume(Arc::clone(&platform.bus), &platform.tasks, QUEUE, TOPICS, move |event| {
        let engine = engine.clone();
        async move { deliver(&engine, event).await }
    })
    .await
}

async fn deliver(engine: &Engine, event: Event) -> Result<(), HandlerError> {
    let Some((workflow_id, name, payload)) = signal_of(&event) else { return Ok(()) };
    let payload: Bytes = payload.to_string().into_bytes().into();
    let runs = engine.anywhere();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match runs
            .signal(&workflow_id, name, &event.event_id, Bytes::clone(&payload))
            .await
        {
            Ok(_) | Err(engine::Error::Closed { .. } | engine::Error::NotFound(_)) => return Ok(()),
            Err(error) => error,
        };
        let may_pass =
            matches!(error, engine::Error::NotOwner { .. } | engine::Error::PeerUnreachable(_));
        if !may_pass || pause > LONGEST_PAUSE {
            // The bus delivers it again.
            return Err(error.into());
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// The run, the signal and its content.
fn signal_of(event: &Event) -> Option<(String, &'static str, serde_json::Value)> {
    match event.payload.as_ref()? {
        Payload::Order(changed) => {
            let order = changed.order.as_ref()?;
            let id = place_order::workflow_id(&order.order_id);
            match event.r#type.as_str() {
                "order.cancelled" => {
                    let reason = if order.cancel_reason.is_empty() {
                        "CANCELLED"
                    } else {
                        &order.cancel_reason
                    };
                    let content =
                        serde_json::json!({ "reason": reason, "message": order.cancel_message });
                    Some((id, "cancelled", content))
                }
                "order.shipped" => Some((id, "shipped", serde_json::json!({}))),
                "order.delivered" => Some((id, "delivered", serde_json::json!({}))),
                _ => None,
            }
        }
        Payload::Payment(changed) => {
            let order_id = &changed.payment.as_ref()?.order_id;
            Some((place_order::workflow_id(order_id), "payment_resolved", serde_json::json!({})))
        }
        _ => None,
    }
}
