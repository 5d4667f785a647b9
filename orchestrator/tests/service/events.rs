//! The shop's events become signals: on the real bus and the real store.

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::bus::DeadLetterQuery;
use souk_mesh::platform::Platform;
use souk_orchestrator::Config;
use souk_orchestrator::engine::seams::TokioClock;
use souk_orchestrator::workflows::place_order::{PlaceOrder, workflow_id};
use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, OrderChanged, PaymentChanged};
use souk_proto::order::v1::{Order, OrderState};
use souk_proto::payment::v1::{Payment, PaymentState};
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, HistoryEvent, HistoryEventKind as Kind,
    WorkflowState,
};
use uuid::Uuid;

use super::starts::start_of;
use crate::workflows::shop::Shop;
use crate::workflows::world::order;

/// Everything here is over in a moment, or never.
const LIMIT: Duration = Duration::from_secs(60);

/// An orchestrator in a shop.
struct Node {
    platform: Platform,
    shop: Shop,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform::for_tests(folder.path());
        let shop = Shop::new(Arc::new(TokioClock::starting_at(platform.clock.now_ms())));
        shop.bind(&platform.directory);
        let routes = souk_orchestrator::start(&platform, Config::default()).await.unwrap();
        platform.directory.bind_local("workflow", routes);
        Node { platform, shop, _folder: folder }
    }

    async fn place(&self, token: &str) -> Uuid {
        let order = PlaceOrder { order_id: Uuid::now_v7(), lines: vec![], ..order(token) };
        self.shop.record_order(order.order_id);
        let channel = self.platform.directory.channel("workflow");
        let mut workflows = WorkflowServiceClient::new(channel);
        workflows.start_workflow(start_of(&order, 4_000)).await.unwrap();
        order.order_id
    }

    async fn publish(&self, events: Vec<Event>) {
        self.platform.bus.publish(events).await.unwrap();
    }

    /// The whole history, once the run has ended in `state`.
    async fn history(&self, order_id: Uuid, state: WorkflowState) -> Vec<HistoryEvent> {
        self.history_until(order_id, |message| message.state() == state).await
    }

    /// The history up to the message that is waited for.
    async fn history_until(
        &self,
        order_id: Uuid,
        is_it: impl Fn(&GetWorkflowHistoryResponse) -> bool,
    ) -> Vec<HistoryEvent> {
        let channel = self.platform.directory.channel("workflow");
        let mut workflows = WorkflowServiceClient::new(channel);
        let request = GetWorkflowHistoryRequest {
            workflow_id: workflow_id(&order_id.to_string()),
            from_sequence: 0,
            follow: true,
            ..Default::default()
        };
        let reading = async {
            let opened = workflows.get_workflow_history(request).await;
            let mut stream = opened.unwrap().into_inner();
            let mut events = Vec::new();
            while let Some(message) = stream.message().await.unwrap() {
                events.extend(message.events.clone());
                if is_it(&message) {
                    return events;
                }
            }
            panic!("the run has ended otherwise: {events:?}");
        };
        tokio::time::timeout(LIMIT, reading).await.expect("in time")
    }

    /// Ends the node as a process ends.
    async fn stop(self) {
        self.platform.tasks.drain(LIMIT).await.unwrap();
    }
}

fn signals(history: &[HistoryEvent]) -> Vec<&str> {
    let signals = history.iter().filter(|event| event.kind() == Kind::SignalReceived);
    signals.map(|event| event.name.as_str()).collect()
}

/// All in one lane, so that each comes when the one before is settled.
fn event(kind: &str, payload: Payload) -> Event {
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: kind.into(),
        aggregate_id: "lane".into(),
        payload: Some(payload),
        ..Event::default()
    }
}

fn of_order(kind: &str, order_id: Uuid) -> Event {
    let order = Order {
        order_id: order_id.to_string(),
        cancel_reason: "CUSTOMER".into(),
        cancel_message: "changed my mind".into(),
        ..Order::default()
    };
    event(kind, Payload::Order(OrderChanged { order: Some(order), ..OrderChanged::default() }))
}

fn of_payment(kind: &str, order_id: Uuid) -> Event {
    let payment = Payment { order_id: order_id.to_string(), ..Payment::default() };
    let changed = PaymentChanged { payment: Some(payment), ..PaymentChanged::default() };
    event(kind, Payload::Payment(changed))
}

#[tokio::test]
async fn events_are_signals_and_an_event_that_comes_twice_is_one() {
    let node = Node::start().await;
    let order_id = node.place("tok_visa").await;
    let shipped = of_order("order.shipped", order_id);
    let created = of_order("order.created", order_id);
    let captured = of_payment("payment.succeeded", order_id);
    let delivered = of_order("order.delivered", order_id);
    node.publish(vec![created, captured, shipped.clone(), shipped, delivered]).await;
    let history = node.history(order_id, WorkflowState::Completed).await;
    assert_eq!(signals(&history), ["shipped", "delivered"]);
    node.stop().await;
}

#[tokio::test]
async fn a_cancelled_order_is_undone_for_its_reason() {
    let node = Node::start().await;
    let order_id = node.place("tok_visa").await;
    let is_paid = |event: &HistoryEvent| {
        (event.kind(), event.name.as_str()) == (Kind::StepCompleted, "CapturePayment")
    };
    node.history_until(order_id, |message| message.events.iter().any(is_paid)).await;
    node.shop.move_order(order_id, OrderState::Cancelled, "CUSTOMER");
    node.publish(vec![of_order("order.cancelled", order_id)]).await;
    let history = node.history(order_id, WorkflowState::Failed).await;
    let failure = history.last().unwrap().failure.clone().unwrap();
    let told = (failure.reason.as_str(), failure.message.as_str());
    assert_eq!(told, ("CUSTOMER", "changed my mind"));
    node.stop().await;
}

#[tokio::test]
async fn a_passed_challenge_wakes_its_order() {
    let node = Node::start().await;
    let order_id = node.place("tok_3ds").await;
    node.shop.decide_payment(PaymentState::Authorized);
    let authorized = of_payment("payment.authorized", order_id);
    let events = ["order.shipped", "order.delivered"].map(|kind| of_order(kind, order_id));
    node.publish([vec![authorized], events.to_vec()].concat()).await;
    let history = node.history(order_id, WorkflowState::Completed).await;
    assert_eq!(signals(&history), ["payment_resolved", "shipped", "delivered"]);
    node.stop().await;
}

#[tokio::test]
async fn what_concerns_no_open_run_is_settled_and_holds_nobody_up() {
    let node = Node::start().await;
    let closed = node.place("tok_declined").await;
    node.history(closed, WorkflowState::Failed).await;
    let open = node.place("tok_visa").await;
    let empty = event("order.cancelled", Payload::Order(OrderChanged::default()));
    node.publish(vec![
        of_order("order.cancelled", closed),
        of_order("order.cancelled", Uuid::now_v7()),
        of_payment("payment.failed", Uuid::now_v7()),
        empty,
        of_order("order.shipped", open),
        of_order("order.delivered", open),
    ])
    .await;
    node.history(open, WorkflowState::Completed).await;
    let dead = node
        .platform
        .bus
        .dead_letters(DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() })
        .await
        .unwrap();
    assert!(dead.is_empty(), "{dead:?}");
    node.stop().await;
}
