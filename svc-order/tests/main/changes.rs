//! Cancel, ship, deliver and the workflow's own changes: one arbiter, each repeat answered alike.

use async_trait::async_trait;
use futures::future::join_all;
use souk_mesh::identity::Role;
use souk_mesh::testing::do_undo::{self, Participant};
use souk_proto::order::v1::{
    AppendOrderEventRequest, CancelOrderRequest, DeliverOrderRequest, GetOrderRequest,
    GetTrackingRequest, Order, OrderState, ShipOrderRequest,
};
use souk_proto::time::timestamp;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::shop::{Person, START_MS, Shop, append, new_id, on_each_store, refused, wish};

on_each_store!(
    an_order_goes_from_placed_to_delivered,
    a_shipped_order_cannot_be_cancelled_nor_a_cancelled_one_shipped,
    nothing_leaves_the_house_unpaid,
    of_cancel_and_ship_at_once_one_wins,
    only_those_who_may_change_an_order_do,
    a_workflows_change_may_carry_conditions,
    do_and_undo_come_to_the_same_end_in_any_order,
    an_unknown_order_is_not_found_for_do_and_undo,
);

fn cancel(order: &Order) -> CancelOrderRequest {
    CancelOrderRequest {
        request_id: new_id(),
        order_id: order.order_id.clone(),
        reason: "too late for the party".into(),
    }
}

fn ship(order: &Order) -> ShipOrderRequest {
    ShipOrderRequest {
        request_id: new_id(),
        order_id: order.order_id.clone(),
        carrier: "Post".into(),
        tracking_number: "AT1".into(),
    }
}

fn deliver(order: &Order) -> DeliverOrderRequest {
    DeliverOrderRequest { request_id: new_id(), order_id: order.order_id.clone() }
}

async fn cancelled(
    shop: &Shop,
    who: &Person,
    request: CancelOrderRequest,
) -> Result<Order, Status> {
    let response = shop.client().cancel_order(who.says(request)).await?;
    Ok(response.into_inner().order.unwrap())
}

async fn shipped(shop: &Shop, who: &Person, request: ShipOrderRequest) -> Result<Order, Status> {
    let response = shop.client().ship_order(who.says(request)).await?;
    Ok(response.into_inner().order.unwrap())
}

async fn delivered(
    shop: &Shop,
    who: &Person,
    request: DeliverOrderRequest,
) -> Result<Order, Status> {
    let response = shop.client().deliver_order(who.says(request)).await?;
    Ok(response.into_inner().order.unwrap())
}

async fn appended(shop: &Shop, request: AppendOrderEventRequest) -> Result<Order, Status> {
    let response = shop.orchestrator().append_order_event(request).await?;
    Ok(response.into_inner().order.unwrap())
}

async fn an_order_goes_from_placed_to_delivered(shop: Shop) {
    let (mara, staff) = (shop.customer(), shop.staff());
    let order = shop.paid(&mara).await;
    let request = ship(&order);
    let on_its_way = shipped(&shop, &staff, request.clone()).await.unwrap();
    assert_eq!((on_its_way.state(), on_its_way.version), (OrderState::Shipped, 3));
    shop.clock.advance_ms(5_000);
    let there = delivered(&shop, &staff, deliver(&order)).await.unwrap();
    assert_eq!((there.state(), there.version), (OrderState::Delivered, 4));
    assert_eq!(shipped(&shop, &staff, request).await.unwrap(), on_its_way, "a repeat");

    let tracking = GetTrackingRequest { order_id: order.order_id };
    let tracking = shop.client().get_tracking(mara.says(tracking)).await.unwrap().into_inner();
    let parcel = tracking.tracking.unwrap();
    assert_eq!((parcel.carrier.as_str(), parcel.tracking_number.as_str()), ("Post", "AT1"));
    assert_eq!(parcel.shipped_time, Some(timestamp(START_MS)));
    assert_eq!(parcel.delivered_time, Some(timestamp(START_MS + 5_000)));
    let actors: Vec<_> =
        tracking.timeline.iter().map(|entry| (entry.version, entry.actor.as_str())).collect();
    let (mara, staff) = (mara.user_id.to_string(), staff.user_id.to_string());
    assert_eq!(actors, [(1, &*mara), (2, "service:orchestrator"), (3, &*staff), (4, &*staff)]);
}

async fn a_shipped_order_cannot_be_cancelled_nor_a_cancelled_one_shipped(shop: Shop) {
    let (mara, staff) = (shop.customer(), shop.staff());
    let order = shop.paid(&mara).await;
    shipped(&shop, &staff, ship(&order)).await.unwrap();
    let code = Code::FailedPrecondition;
    refused(cancelled(&shop, &mara, cancel(&order)).await, code, "ORDER_SHIPPED");
    refused(shipped(&shop, &staff, ship(&order)).await, code, "ORDER_SHIPPED");

    let order = shop.paid(&mara).await;
    let request = cancel(&order);
    let first = cancelled(&shop, &mara, request.clone()).await.unwrap();
    assert_eq!((first.state(), first.cancel_reason.as_str()), (OrderState::Cancelled, "CUSTOMER"));
    assert_eq!(first.cancel_message, "too late for the party");
    assert_eq!(cancelled(&shop, &mara, request.clone()).await.unwrap(), first);
    assert_eq!(cancelled(&shop, &mara, cancel(&order)).await.unwrap(), first, "cancelled already");
    let other_words = CancelOrderRequest { reason: "no".into(), ..request };
    let outcome = cancelled(&shop, &mara, other_words).await;
    refused(outcome, Code::InvalidArgument, "REQUEST_ID_REUSED");
    refused(shipped(&shop, &staff, ship(&order)).await, code, "ORDER_CANCELLED");
    refused(delivered(&shop, &staff, deliver(&order)).await, code, "ORDER_CANCELLED");
}

async fn nothing_leaves_the_house_unpaid(shop: Shop) {
    let (mara, staff) = (shop.customer(), shop.staff());
    let order = shop.placed(&mara).await;
    let code = Code::FailedPrecondition;
    refused(shipped(&shop, &staff, ship(&order)).await, code, "ORDER_PENDING");
    appended(&shop, append(&order, OrderState::Processing)).await.unwrap();
    refused(delivered(&shop, &staff, deliver(&order)).await, code, "ORDER_PROCESSING");
    let closed = shop.placed(&mara).await;
    appended(&shop, append(&closed, OrderState::Processing)).await.unwrap();
    shop.neighbours.workflows.close(&closed.order_id);
    refused(shipped(&shop, &staff, ship(&closed)).await, code, "ORDER_NOT_PAID");
    // A capture that is under way is waited for.
    let request = ship(&order);
    let shipping = shipped(&shop, &staff, request);
    let capturing = async { shop.capture(&order.order_id) };
    let (outcome, ()) = tokio::join!(shipping, capturing);
    assert_eq!(outcome.unwrap().state(), OrderState::Shipped);
}

async fn of_cancel_and_ship_at_once_one_wins(shop: Shop) {
    let (mara, staff) = (shop.customer(), shop.staff());
    for _ in 0..20 {
        let order = shop.paid(&mara).await;
        let rivals = (0..16).map(|_| {
            let (shipping, cancelling) = (staff.says(ship(&order)), mara.says(cancel(&order)));
            let (mut one, mut other) = (shop.client(), shop.client());
            let shipping = tokio::spawn(async move { one.ship_order(shipping).await.map(drop) });
            let cancelling =
                tokio::spawn(async move { other.cancel_order(cancelling).await.map(drop) });
            (shipping, cancelling)
        });
        let (ships, cancels): (Vec<_>, Vec<_>) = rivals.unzip();
        let finished = |outcome: Result<_, _>| outcome.unwrap();
        let ships: Vec<Result<(), Status>> =
            join_all(ships).await.into_iter().map(finished).collect();
        let cancels: Vec<_> = join_all(cancels).await.into_iter().map(finished).collect();
        let won = ships.iter().filter(|outcome| outcome.is_ok()).count();
        let given_up = cancels.iter().filter(|outcome| outcome.is_ok()).count();
        // Cancelling what is cancelled already is fine; shipping twice is not.
        assert!(matches!((won, given_up), (1, 0) | (0, 16)), "{won} shipped, {given_up} cancelled");
        let reason = if won == 1 { "ORDER_SHIPPED" } else { "ORDER_CANCELLED" };
        for lost in ships.into_iter().chain(cancels).filter(Result::is_err) {
            refused(lost, Code::FailedPrecondition, reason);
        }
        let read = GetOrderRequest { order_id: order.order_id };
        let read = shop.client().get_order(mara.says(read)).await.unwrap().into_inner();
        assert_eq!(read.order.unwrap().version, 3, "one change beyond processing");
    }
}

async fn only_those_who_may_change_an_order_do(shop: Shop) {
    let (mara, zoe, staff) = (shop.customer(), shop.customer(), shop.staff());
    let order = shop.paid(&mara).await;
    let denied = Code::PermissionDenied;
    refused(cancelled(&shop, &zoe, cancel(&order)).await, denied, "NOT_YOURS");
    refused(shipped(&shop, &mara, ship(&order)).await, denied, "ROLE_REQUIRED");
    refused(delivered(&shop, &mara, deliver(&order)).await, denied, "ROLE_REQUIRED");
    let outcome =
        shop.client().append_order_event(mara.says(append(&order, OrderState::Cancelled))).await;
    refused(outcome, denied, "ROLE_REQUIRED");
    let by_staff = cancelled(&shop, &staff, cancel(&order)).await.unwrap();
    assert_eq!(by_staff.cancel_reason, "STAFF");
    let unknown = Order { order_id: new_id(), ..Order::default() };
    let both = shop.person(Role::Customer);
    refused(cancelled(&shop, &both, cancel(&unknown)).await, Code::NotFound, "ORDER_NOT_FOUND");
}

async fn a_workflows_change_may_carry_conditions(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let processing = append(&order, OrderState::Processing);
    let late =
        AppendOrderEventRequest { not_after: Some(timestamp(START_MS - 1)), ..processing.clone() };
    refused(appended(&shop, late).await, Code::FailedPrecondition, "TOO_LATE");
    let other = AppendOrderEventRequest { expected_version: 2, ..processing.clone() };
    refused(appended(&shop, other).await, Code::Aborted, "VERSION_MISMATCH");
    for state in [OrderState::Pending, OrderState::Shipped, OrderState::Delivered] {
        let outcome = appended(&shop, append(&order, state)).await;
        refused(outcome, Code::InvalidArgument, "INVALID_FIELDS");
    }
    let payment_id = new_id();
    let in_time = AppendOrderEventRequest {
        not_after: Some(timestamp(START_MS)),
        expected_version: 1,
        payment_id: payment_id.clone(),
        ..processing
    };
    let first = appended(&shop, in_time.clone()).await.unwrap();
    assert_eq!((first.state(), &first.payment_id), (OrderState::Processing, &payment_id));
    // Another try of the step brings another not_after, and maybe too late: it was done in time.
    shop.clock.advance_ms(1_000);
    let again = AppendOrderEventRequest { not_after: Some(timestamp(START_MS + 1)), ..in_time };
    assert_eq!(appended(&shop, again).await.unwrap(), first);

    let undo = AppendOrderEventRequest {
        reason: "CAPTURE_FAILED".into(),
        message: "The payment could not be captured.".into(),
        ..append(&order, OrderState::Cancelled)
    };
    let undone = appended(&shop, undo).await.unwrap();
    assert_eq!(undone.cancel_reason, "CAPTURE_FAILED");
    assert_eq!(undone.payment_id, payment_id);
}

/// RecordOrder and its undo, as the workflow calls them.
struct Recording<'a> {
    shop: &'a Shop,
    product_id: Uuid,
    mara: Person,
}

impl Recording<'_> {
    /// The order of this key: recorded before its workflow could do anything.
    async fn order(&self, key: Uuid) -> Order {
        let request = souk_proto::order::v1::PlaceOrderRequest {
            request_id: key.to_string(),
            ..wish(self.product_id, 1, 250)
        };
        self.shop.place(&self.mara, request).await.unwrap().order.unwrap()
    }

    async fn append(&self, key: Uuid, step: &str, state: OrderState) -> Result<(), Status> {
        let order = self.order(key).await;
        let request_id = Uuid::new_v5(&key, step.as_bytes()).to_string();
        let reason = "STOCK_GONE".into();
        let request = AppendOrderEventRequest { request_id, reason, ..append(&order, state) };
        appended(self.shop, request).await.map(drop)
    }

    async fn state(&self, key: Uuid) -> (OrderState, i64) {
        let order_id = self.order(key).await.order_id;
        let read = self.shop.orchestrator().get_order(GetOrderRequest { order_id }).await.unwrap();
        let order = read.into_inner().order.unwrap();
        (order.state(), order.version)
    }
}

#[async_trait]
impl Participant for Recording<'_> {
    async fn forward(&self, key: Uuid) -> Result<(), Status> {
        self.append(key, "RecordOrder", OrderState::Processing).await
    }

    async fn undo(&self, key: Uuid) -> Result<(), Status> {
        self.append(key, "undo RecordOrder", OrderState::Cancelled).await
    }

    async fn is_clean(&self, key: Uuid) -> bool {
        self.state(key).await.0 != OrderState::Processing
    }

    async fn is_done(&self, key: Uuid) -> bool {
        self.state(key).await == (OrderState::Processing, 2)
    }
}

async fn do_and_undo_come_to_the_same_end_in_any_order(shop: Shop) {
    let product_id = shop.neighbours.catalog.sell(250, 100);
    let mara = shop.customer();
    do_undo::run(&Recording { shop: &shop, product_id, mara }).await;
}

async fn an_unknown_order_is_not_found_for_do_and_undo(shop: Shop) {
    let unknown = Order { order_id: new_id(), ..Order::default() };
    for state in [OrderState::Processing, OrderState::Cancelled] {
        refused(appended(&shop, append(&unknown, state)).await, Code::NotFound, "ORDER_NOT_FOUND");
    }
}
