//! An order's way: what participants are told, what customers are answered, and what cancelling does at each point.

use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::step::effect_id;
use souk_orchestrator::testing::Fault;
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;

use super::world::{TRACE_ID, World, id, order};

const STEPS: [&str; 7] = [
    "ReserveStock",
    "CreatePayment",
    "ConfirmPayment",
    "RecordOrder",
    "CommitStock",
    "CapturePayment",
    "ClearCart",
];

#[tokio::test(start_paused = true)]
async fn an_order_is_placed_shipped_and_delivered() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    let answer = world.answer().await;
    assert_eq!(answer["placement"], "PLACED");
    world.until("completed ClearCart").await;
    world.check_done();
    let placed = world.shop.order(order("").order_id);
    assert_eq!(placed.state, OrderState::Processing);
    assert_eq!(answer["payment_id"], placed.payment_id);
    world.signal("shipped", "1").await.unwrap();
    world.signal("delivered", "2").await.unwrap();
    let outcome = world.end().await;
    assert_eq!(outcome.state, RunState::Completed);
    assert_eq!(world.shop.journal(), STEPS);
}

#[tokio::test(start_paused = true)]
async fn every_call_carries_its_effect_key_its_callers_name_and_the_runs_trace() {
    let mut world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    // Also after a restart, and in undo.
    world.restart(souk_orchestrator::engine::log::sim::Unsynced::Lost).await;
    world.signal("cancelled", "1").await.unwrap();
    world.end().await;
    let calls = world.shop.calls();
    let names: Vec<&str> = calls.iter().map(|call| call.step.as_str()).collect();
    assert_eq!(names[7..], ["ReturnPayment", "ReleaseStock", "CancelOrder"]);
    for call in calls {
        let key = effect_id(&format!("{}/{}/1", id(), call.step));
        assert_eq!(call.request_id, key.to_string(), "{}", call.step);
        assert_eq!(call.caller, "service:workflow", "{}", call.step);
        assert_eq!(call.trace_id, TRACE_ID, "{}", call.step);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_cart_clears_none() {
    let world = World::new(1).await;
    let mut bare = order("tok_visa");
    bare.cart = None;
    world.place(&bare).await;
    world.until("completed CapturePayment").await;
    world.signal("shipped", "1").await.unwrap();
    world.signal("delivered", "2").await.unwrap();
    world.end().await;
    assert_eq!(world.shop.journal(), STEPS[..6]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_with_its_reason_and_the_order_is_cancelled_for_it() {
    for (token, sold, reason, words) in [
        ("tok_declined", 0, "CARD_DECLINED", "The card was declined."),
        ("tok_insufficient_funds", 0, "INSUFFICIENT_FUNDS", "The card does not have enough funds."),
        ("tok_visa", 9, "SOLD_OUT", "A product of the order is sold out."),
    ] {
        let world = World::new(1).await;
        world.shop.books().on_hand -= sold;
        world.place(&order(token)).await;
        let answer = world.answer().await;
        assert_eq!(answer["placement"], "REFUSED");
        assert_eq!((&answer["reason"], &answer["message"]), (&reason.into(), &words.into()));
        let outcome = world.end().await;
        assert_eq!(
            (outcome.state, outcome.failure.unwrap().code.as_str()),
            (RunState::Failed, reason)
        );
        world.shop.books().on_hand += sold;
        world.check_clean();
        let cancelled = world.shop.order(order("").order_id);
        assert_eq!((cancelled.reason.as_str(), cancelled.message.as_str()), (reason, words));
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_inside_is_on_record_and_not_told_to_customers() {
    let world = World::new(1).await;
    world.shop.faults.always("CreatePayment", Fault::Away);
    world.place(&order("tok_visa")).await;
    let answer = world.answer().await;
    assert_eq!(
        (&answer["placement"], &answer["reason"]),
        (&"REFUSED".into(), &"UNAVAILABLE".into())
    );
    assert!(!answer["message"].as_str().unwrap().contains("told to be away"), "{answer}");
    let failure = world.end().await.failure.unwrap();
    assert_eq!(failure.message, "told to be away");
    assert_eq!(failure.step.as_deref(), Some("CreatePayment"));
}

/// The customer cancels while `step` is under way: svc-order has it on record, and the signal comes.
async fn cancelled_during(step: &str) -> World {
    let world = World::new(1).await;
    world.shop.faults.once(step, Fault::Hang);
    world.place(&order("tok_visa")).await;
    world.until(&format!("schedule {step}")).await;
    world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
    world.signal("cancelled", "the-event").await.unwrap();
    assert_eq!(world.end().await.state, RunState::Failed, "{step}");
    world
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_cancels_during_any_step_gets_everything_back() {
    for step in STEPS {
        let world = cancelled_during(step).await;
        world.check_clean();
        let cancelled = world.shop.order(order("").order_id);
        assert_eq!(cancelled.reason, "CUSTOMER", "{step}: the customer was first");
        let outline = world.outline().await;
        let undone: Vec<_> = outline.iter().filter(|line| line.starts_with("undone")).collect();
        assert_eq!(undone, ["undone ReturnPayment", "undone ReleaseStock", "undone CancelOrder"]);
        // svc-order refuses to go on with a cancelled order, so no money is taken that the customer has asked back before.
        let was_recorded = outline.contains(&"completed RecordOrder".to_owned());
        let position = STEPS.iter().position(|name| *name == step).unwrap();
        assert_eq!(was_recorded, position > 3, "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paid_order_is_given_back_when_it_is_cancelled_before_it_ships() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
    world.signal("cancelled", "1").await.unwrap();
    let outcome = world.end().await;
    assert_eq!(outcome.failure.unwrap().code, "CUSTOMER");
    world.check_clean();
    let books = world.shop.books();
    assert!(books.payments.values().all(|payment| payment.state == PaymentState::Refunded));
}

#[tokio::test(start_paused = true)]
async fn what_has_shipped_is_not_undone_by_anything() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    world.shop.move_order(order("").order_id, OrderState::Shipped, "");
    world.signal("shipped", "1").await.unwrap();
    world.engine.cancel(&id(), "too late").await.unwrap();
    world.signal("cancelled", "2").await.unwrap();
    world.signal("delivered", "3").await.unwrap();
    assert_eq!(world.end().await.state, RunState::Completed);
    assert_eq!(world.shop.journal(), STEPS);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_staff_cancel_asks_svc_order_first() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    world.engine.cancel(&id(), "broken glass (by 42)").await.unwrap();
    let outcome = world.end().await;
    assert_eq!(outcome.state, RunState::Cancelled);
    assert_eq!(outcome.failure.unwrap().message, "broken glass (by 42)");
    world.check_clean();
    let undo = ["WithdrawOrder", "ReturnPayment", "ReleaseStock", "CancelOrder"];
    assert_eq!(world.shop.journal()[7..], undo);
    let cancelled = world.shop.order(order("").order_id);
    assert_eq!((cancelled.reason.as_str(), cancelled.changes), ("CANCELLED", 2));
    assert_eq!(cancelled.message, "The order was cancelled.");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_staff_cancel_too_late_goes_on() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    // The warehouse was faster; its event is still on its way.
    world.shop.move_order(order("").order_id, OrderState::Shipped, "");
    world.engine.cancel(&id(), "broken glass").await.unwrap();
    world.until("completed WithdrawOrder").await;
    world.signal("shipped", "1").await.unwrap();
    world.signal("delivered", "2").await.unwrap();
    assert_eq!(world.end().await.state, RunState::Completed);
    assert!(!world.shop.journal().contains(&"ReturnPayment".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_staff_cancel_during_a_step_is_undone_at_once() {
    for step in &STEPS[..6] {
        let world = World::new(1).await;
        world.shop.faults.always(step, Fault::Hang);
        world.place(&order("tok_visa")).await;
        world.until(&format!("schedule {step}")).await;
        world.engine.cancel(&id(), "enough").await.unwrap();
        assert_eq!(world.end().await.state, RunState::Cancelled, "{step}");
        world.check_clean();
        assert_eq!(world.shop.order(order("").order_id).reason, "CANCELLED");
    }
}
