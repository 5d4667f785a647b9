//! WatchOrder: what has happened, what happens, and going on where one left.

use souk_order::Config;
use souk_proto::order::v1::{
    CancelOrderRequest, DeliverOrderRequest, Order, OrderState, ProgressKind, ShipOrderRequest,
    WatchOrderRequest, WatchOrderResponse,
};
use souk_proto::workflow::v1::HistoryEventKind::{
    StepCompleted, StepScheduled, UndoCompleted, UndoScheduled,
};
use tonic::{Code, Streaming};

use crate::shop::{Person, START_MS, Shop, append, new_id, on_each_store, refused, soon};

on_each_store!(
    steps_and_changes_arrive_as_they_happen_until_the_end,
    whoever_comes_late_or_again_gets_each_thing_once_in_the_order_of_time,
    a_change_does_not_overtake_the_steps_that_led_to_it,
    a_cancelled_order_is_followed_until_everything_is_given_back,
    a_token_of_nobodys_making_is_refused,
    a_drain_ends_watches_so_that_they_resume_elsewhere,
);
on_each_store!(of_config: a_run_that_does_not_end_keeps_nobody_waiting_for_ever);

type Updates = Streaming<WatchOrderResponse>;

async fn watch(shop: &Shop, who: &Person, order: &Order, resume_token: &str) -> Updates {
    let order_id = order.order_id.clone();
    let request = WatchOrderRequest { order_id, resume_token: resume_token.into() };
    shop.client().watch_order(who.says(request)).await.unwrap().into_inner()
}

/// The titles of the next `count` updates, and the last one's token.
async fn titles(updates: &mut Updates, count: usize) -> (Vec<String>, String) {
    let mut titles = Vec::new();
    let mut token = String::new();
    for _ in 0..count {
        let update = soon(updates.message()).await.unwrap().expect("the stream has ended");
        titles.push(update.progress.unwrap().title);
        token = update.resume_token;
    }
    (titles, token)
}

async fn delivered(shop: &Shop, order: &Order) {
    let staff = shop.staff();
    let ship = ShipOrderRequest {
        request_id: new_id(),
        order_id: order.order_id.clone(),
        carrier: "Post".into(),
        tracking_number: "AT1".into(),
    };
    shop.client().ship_order(staff.says(ship)).await.unwrap();
    let deliver = DeliverOrderRequest { request_id: new_id(), order_id: order.order_id.clone() };
    shop.client().deliver_order(staff.says(deliver)).await.unwrap();
}

async fn steps_and_changes_arrive_as_they_happen_until_the_end(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let workflows = &shop.neighbours.workflows;
    let mut updates = watch(&shop, &mara, &order, "").await;
    assert_eq!(titles(&mut updates, 1).await.0, ["Order received"]);
    workflows.tell(&order.order_id, StepScheduled, "ReserveStock", "{}", START_MS);
    workflows.tell(&order.order_id, StepCompleted, "ReserveStock", "{}", START_MS);
    assert_eq!(titles(&mut updates, 2).await.0, ["Holding stock", "Stock held"]);
    let authorized = r#"{"outcome":"AUTHORIZED"}"#;
    workflows.tell(&order.order_id, StepCompleted, "ConfirmPayment", authorized, START_MS);
    assert_eq!(titles(&mut updates, 1).await.0, ["Payment authorized"]);
    let processing = append(&order, OrderState::Processing);
    shop.orchestrator().append_order_event(processing).await.unwrap();
    assert_eq!(titles(&mut updates, 1).await.0, ["Order confirmed"]);
    shop.capture(&order.order_id);
    let captured = ["Payment captured", "Waiting for the warehouse"];
    assert_eq!(titles(&mut updates, 2).await.0, captured);
    delivered(&shop, &order).await;
    let shipped = soon(updates.message()).await.unwrap().unwrap().progress.unwrap();
    assert_eq!((shipped.title.as_str(), shipped.detail.as_str()), ("Order shipped", "Post AT1"));
    assert_eq!(titles(&mut updates, 1).await.0, ["Order delivered"]);
    workflows.close(&order.order_id);
    let end = soon(updates.message()).await.unwrap().unwrap();
    assert_eq!(end.progress.unwrap().kind(), ProgressKind::Finished);
    assert!(soon(updates.message()).await.unwrap().is_none(), "the stream ends");
    // Whoever comes back after the end gets nothing more.
    let mut after = watch(&shop, &mara, &order, &end.resume_token).await;
    assert!(soon(after.message()).await.unwrap().is_none());
}

async fn whoever_comes_late_or_again_gets_each_thing_once_in_the_order_of_time(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let workflows = &shop.neighbours.workflows;
    workflows.tell(&order.order_id, StepCompleted, "ReserveStock", "{}", START_MS + 10);
    shop.clock.advance_ms(20);
    let processing = append(&order, OrderState::Processing);
    shop.orchestrator().append_order_event(processing).await.unwrap();
    workflows.tell(&order.order_id, StepCompleted, "CommitStock", "{}", START_MS + 30);
    workflows.tell(&order.order_id, StepCompleted, "CapturePayment", "{}", START_MS + 40);
    shop.clock.advance_ms(30);
    delivered(&shop, &order).await;
    workflows.close(&order.order_id);

    let whole = [
        "Order received",
        "Stock held",
        "Order confirmed",
        "Items set aside",
        "Payment captured",
        "Waiting for the warehouse",
        "Order shipped",
        "Order delivered",
        "All done",
    ];
    let mut updates = watch(&shop, &mara, &order, "").await;
    assert_eq!(titles(&mut updates, whole.len()).await.0, whole);
    // Cut anywhere and resumed, the two parts are the whole.
    for cut in 1..whole.len() {
        let mut updates = watch(&shop, &mara, &order, "").await;
        let (_, token) = titles(&mut updates, cut).await;
        drop(updates);
        let mut updates = watch(&shop, &mara, &order, &token).await;
        assert_eq!(titles(&mut updates, whole.len() - cut).await.0, whole[cut..]);
        assert!(soon(updates.message()).await.unwrap().is_none());
    }
}

async fn a_change_does_not_overtake_the_steps_that_led_to_it(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let workflows = &shop.neighbours.workflows;
    let mut updates = watch(&shop, &mara, &order, "").await;
    assert_eq!(titles(&mut updates, 1).await.0, ["Order received"]);
    workflows.tell(&order.order_id, StepCompleted, "ReserveStock", "{}", START_MS);
    assert_eq!(titles(&mut updates, 1).await.0, ["Stock held"]);
    workflows.lag.send_replace(true);
    let authorized = r#"{"outcome":"AUTHORIZED"}"#;
    // In the same millisecond as the change.
    workflows.tell(&order.order_id, StepCompleted, "ConfirmPayment", authorized, START_MS);
    let processing = append(&order, OrderState::Processing);
    shop.orchestrator().append_order_event(processing).await.unwrap();
    assert_eq!(titles(&mut updates, 2).await.0, ["Payment authorized", "Order confirmed"]);
    workflows.lag.send_replace(false);
    workflows.tell(&order.order_id, StepCompleted, "CommitStock", "{}", START_MS);
    assert_eq!(titles(&mut updates, 1).await.0, ["Items set aside"], "each thing once");
}

async fn a_cancelled_order_is_followed_until_everything_is_given_back(shop: Shop) {
    let mara = shop.customer();
    let order = shop.paid(&mara).await;
    let mut updates = watch(&shop, &mara, &order, "").await;
    let (told, _) = titles(&mut updates, 4).await;
    assert_eq!(told.last().unwrap(), "Waiting for the warehouse");
    let request_id = new_id();
    let order_id = order.order_id.clone();
    let cancel = CancelOrderRequest { request_id, order_id, reason: "no need".into() };
    shop.client().cancel_order(mara.says(cancel)).await.unwrap();
    let cancelled = soon(updates.message()).await.unwrap().unwrap().progress.unwrap();
    assert_eq!(
        (cancelled.title.as_str(), cancelled.detail.as_str()),
        ("Order cancelled", "no need")
    );
    let workflows = &shop.neighbours.workflows;
    workflows.tell(&order.order_id, UndoScheduled, "ReturnPayment", "", START_MS);
    workflows.tell(&order.order_id, UndoCompleted, "ReturnPayment", "", START_MS);
    workflows.tell(&order.order_id, UndoCompleted, "ReleaseStock", "", START_MS);
    let (told, _) = titles(&mut updates, 3).await;
    assert_eq!(told, ["Returning payment", "Payment returned", "Stock released"]);
    workflows.close(&order.order_id);
    assert_eq!(titles(&mut updates, 1).await.0, ["All done"]);
    assert!(soon(updates.message()).await.unwrap().is_none());
}

async fn a_run_that_does_not_end_keeps_nobody_waiting_for_ever(config: Config) {
    let shop = Shop::open_with(Config { watch_linger_ms: 0, ..config }).await;
    let mara = shop.customer();
    let order = shop.paid(&mara).await;
    delivered(&shop, &order).await;
    let mut updates = watch(&shop, &mara, &order, "").await;
    let (told, _) = titles(&mut updates, 6).await;
    assert_eq!(told[5], "All done");
    assert!(soon(updates.message()).await.unwrap().is_none());
}

async fn a_token_of_nobodys_making_is_refused(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let resume_token = "yesterday".into();
    let request = WatchOrderRequest { order_id: order.order_id, resume_token };
    let outcome = shop.client().watch_order(mara.says(request)).await.map(drop);
    refused(outcome, Code::InvalidArgument, "INVALID_FIELDS");
}

async fn a_drain_ends_watches_so_that_they_resume_elsewhere(shop: Shop) {
    let mara = shop.customer();
    let order = shop.placed(&mara).await;
    let mut updates = watch(&shop, &mara, &order, "").await;
    titles(&mut updates, 1).await;
    shop.platform.tasks.token().cancel();
    let status = soon(updates.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
