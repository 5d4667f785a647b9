//! The bank's challenge and the review: approved, declined, cancelled, expired; the hold lives as long.

use std::time::Duration;

use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::Clock;
use souk_orchestrator::testing::Fault;
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;

use super::world::{World, order};

/// What the contract allows a customer.
const LIMIT: Duration = Duration::from_secs(15 * 60);

async fn challenged() -> World {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    let answer = world.answer().await;
    assert_eq!(answer["placement"], "CHALLENGE");
    assert_eq!(answer["challenge_url"], "http://bank/challenge");
    world
}

async fn deliver(world: &World) {
    world.until("completed ClearCart").await;
    world.signal("shipped", "s").await.unwrap();
    world.signal("delivered", "d").await.unwrap();
    assert_eq!(world.end().await.state, RunState::Completed);
    world.check_done();
}

#[tokio::test(start_paused = true)]
async fn an_approved_challenge_goes_on_at_once_by_signal() {
    let world = challenged().await;
    // Polls have become rare by now.
    world.pass(Duration::from_secs(300)).await;
    world.shop.decide_payment(PaymentState::Authorized);
    let began_ms = world.clock.now_ms();
    world.signal("payment_resolved", "1").await.unwrap();
    world.until("completed CapturePayment").await;
    assert!(world.clock.now_ms() - began_ms < 1_000);
    deliver(&world).await;
    // The first answer stands.
    assert_eq!(world.answer().await["placement"], "CHALLENGE");
}

#[tokio::test(start_paused = true)]
async fn an_approved_challenge_goes_on_within_half_a_minute_when_the_signal_is_lost() {
    let world = challenged().await;
    world.pass(Duration::from_secs(600)).await;
    world.shop.decide_payment(PaymentState::Authorized);
    let began_ms = world.clock.now_ms();
    deliver(&world).await;
    assert!(world.clock.now_ms() - began_ms < 31_000);
}

#[tokio::test(start_paused = true)]
async fn the_hold_outlives_the_challenge() {
    let world = challenged().await;
    for _ in 0..14 {
        world.pass(Duration::from_secs(60)).await;
        let now_ms = world.clock.now_ms();
        let books = world.shop.books();
        let hold = books.reservations.values().next().unwrap();
        assert!(hold.expires_ms > now_ms + 60_000, "{hold:?} at {now_ms}");
        assert!(hold.extensions > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_lost_all_the_same_undoes_the_order() {
    let world = challenged().await;
    {
        let mut books = world.shop.books();
        books.on_hand = 0;
        books.reservations.values_mut().for_each(|hold| hold.expires_ms = 0);
    }
    assert_eq!(world.end().await.failure.unwrap().code, "RESERVATION_EXPIRED");
    world.shop.books().on_hand = super::books::STOCK;
    world.check_clean();
    assert_eq!(world.shop.order(order("").order_id).reason, "RESERVATION_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn a_failed_challenge_cancels_the_order_for_it() {
    for (state, reason) in [
        (PaymentState::Declined, "CARD_DECLINED"),
        // The provider gave it up by itself.
        (PaymentState::Cancelled, "PAYMENT_NOT_COMPLETED"),
    ] {
        let world = challenged().await;
        world.shop.decide_payment(state);
        world.signal("payment_resolved", "1").await.unwrap();
        assert_eq!(world.end().await.failure.unwrap().code, reason);
        world.check_clean();
        assert_eq!(world.shop.order(order("").order_id).reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_nobody_passes_is_cancelled_at_the_provider_before_stock_is_given_back() {
    let world = challenged().await;
    let began_ms = world.clock.now_ms();
    assert_eq!(world.end().await.failure.unwrap().code, "PAYMENT_NOT_COMPLETED");
    let took_ms = u64::try_from(world.clock.now_ms() - began_ms).unwrap();
    assert!((LIMIT.as_millis() as u64..LIMIT.as_millis() as u64 + 5_000).contains(&took_ms));
    world.check_clean();
    let journal = world.shop.journal();
    let end = ["CancelIfUnpaid", "ReturnPayment", "ReleaseStock", "CancelOrder"];
    assert_eq!(journal[journal.len() - 4..], end);
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_passes_at_the_last_moment_has_the_order() {
    let world = challenged().await;
    // The last poll has found nothing; then the customer is faster than the cancellation.
    world.shop.faults.once("CancelIfUnpaid", Fault::Away);
    world.until("attempt 1 CancelIfUnpaid").await;
    world.shop.decide_payment(PaymentState::Authorized);
    deliver(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_cancels_meanwhile_gets_everything_back_at_once() {
    let world = challenged().await;
    world.pass(Duration::from_secs(200)).await;
    let began_ms = world.clock.now_ms();
    world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
    world.signal("cancelled", "1").await.unwrap();
    assert_eq!(world.end().await.failure.unwrap().code, "CUSTOMER");
    assert!(world.clock.now_ms() - began_ms < 1_000);
    world.check_clean();
}

#[tokio::test(start_paused = true)]
async fn a_review_gives_no_answer_until_it_is_decided() {
    let world = World::new(1).await;
    world.place(&order("tok_review")).await;
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(world.row().await.answer, None);
    world.shop.decide_payment(PaymentState::Authorized);
    assert_eq!(world.answer().await["placement"], "PLACED");
    deliver(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_challenge_survives_restarts() {
    let mut world = challenged().await;
    for _ in 0..5 {
        world.pass(Duration::from_secs(60)).await;
        world.restart(souk_orchestrator::engine::log::sim::Unsynced::Lost).await;
    }
    world.shop.decide_payment(PaymentState::Authorized);
    world.signal("payment_resolved", "1").await.unwrap();
    deliver(&world).await;
}
