//! From intent to capture with every token, and what happens when answers get lost.

use souk_mesh::error::retry_after_of;
use souk_proto::payment::v1::PaymentState;
use tonic::Code;

use crate::lossy::Op;
use crate::shop::{HOUR_MS, Shop, euros, reason};

#[tokio::test]
async fn a_payment_is_created_authorized_and_captured() {
    let shop = Shop::open().await;
    for token in ["tok_visa", "tok_mastercard", "tok_refund_fails_once"] {
        let asked = shop.asked(token);
        let created = shop.create(&asked).await.unwrap();
        assert_eq!(created.state(), PaymentState::Created);
        assert_eq!((created.order_id, created.amount), (asked.order_id, asked.amount));
        let authorized = shop.confirm(&asked.payment_id).await.unwrap();
        assert_eq!(authorized.state(), PaymentState::Authorized);
        assert_eq!(authorized.captured, Some(euros(0)));
        let captured = shop.capture(&asked.payment_id).await.unwrap();
        assert_eq!(captured.state(), PaymentState::Captured);
        assert_eq!(captured.captured, Some(euros(1_000)));
        assert!(captured.version > authorized.version);
        assert_eq!(shop.get(&asked.payment_id).await.unwrap().payment, Some(captured));
    }
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn a_decline_is_an_answer_and_stays_one() {
    let shop = Shop::open().await;
    for (token, code) in
        [("tok_declined", "generic_decline"), ("tok_insufficient_funds", "insufficient_funds")]
    {
        let asked = shop.asked(token);
        shop.create(&asked).await.unwrap();
        let declined = shop.confirm(&asked.payment_id).await.unwrap();
        assert_eq!(
            (declined.state(), declined.decline_code.as_str()),
            (PaymentState::Declined, code)
        );
        assert_eq!(shop.confirm(&asked.payment_id).await.unwrap(), declined);
        let refused = shop.capture(&asked.payment_id).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "ILLEGAL_STATE")
        );
    }
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn a_challenge_is_told_and_its_outcome_found_by_confirming_again() {
    let shop = Shop::open().await;
    for (decision, state) in
        [("approve", PaymentState::Authorized), ("decline", PaymentState::Declined)]
    {
        let asked = shop.asked("tok_3ds");
        shop.create(&asked).await.unwrap();
        let challenged = shop.confirm(&asked.payment_id).await.unwrap();
        assert_eq!(challenged.state(), PaymentState::RequiresAction);
        assert!(challenged.challenge_url.starts_with("http://"), "{challenged:?}");
        assert_eq!(shop.confirm(&asked.payment_id).await.unwrap(), challenged);
        let early = shop.capture(&asked.payment_id).await.unwrap_err();
        assert_eq!(reason(&early), "ILLEGAL_STATE");
        shop.decide(&challenged.challenge_url, decision).await;
        let decided = shop.confirm(&asked.payment_id).await.unwrap();
        assert_eq!((decided.state(), decided.challenge_url.as_str()), (state, ""));
    }
    // Capturing looks for itself whether the customer has passed meanwhile.
    let asked = shop.asked("tok_3ds");
    shop.create(&asked).await.unwrap();
    let url = shop.confirm(&asked.payment_id).await.unwrap().challenge_url;
    shop.decide(&url, "approve").await;
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn charged_and_the_reply_lost_is_charged_once() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_charge_then_drop_reply");
    shop.create(&asked).await.unwrap();
    let lost = shop.confirm(&asked.payment_id).await.unwrap_err();
    assert_eq!(
        (lost.code(), reason(&lost).as_str()),
        (Code::Unavailable, "PROVIDER_UNKNOWN_OUTCOME")
    );
    assert!(retry_after_of(&lost).is_some());
    assert_eq!(shop.confirm(&asked.payment_id).await.unwrap().state(), PaymentState::Authorized);
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
    let ledger = shop.ledger(&asked.payment_id).await;
    assert_eq!(ledger.len(), 1);
    let events = ledger[0]["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["type"] == "captured").count(), 1);
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown_and_found_by_a_retry() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_slow");
    shop.create(&asked).await.unwrap();
    let slow = shop.confirm(&asked.payment_id).await.unwrap_err();
    assert_eq!(reason(&slow), "PROVIDER_UNKNOWN_OUTCOME");
    assert_eq!(shop.confirm(&asked.payment_id).await.unwrap().state(), PaymentState::Authorized);
    shop.capture(&asked.payment_id).await.unwrap();
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn any_one_answer_can_be_lost_and_the_retry_has_one_effect() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    shop.lose(Op::Create);
    assert_eq!(shop.create(&asked).await.unwrap_err().code(), Code::Unavailable);
    shop.create(&asked).await.unwrap();
    shop.lose(Op::Confirm);
    assert_eq!(shop.confirm(&asked.payment_id).await.unwrap_err().code(), Code::Unavailable);
    // Even if nobody confirms again: capturing finds the money set aside.
    shop.lose(Op::Capture);
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
    let ledger = shop.ledger(&asked.payment_id).await;
    assert_eq!((ledger.len(), ledger[0]["captured"].as_i64()), (1, Some(1_000)));
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn a_creation_of_unknown_outcome_is_looked_up_once_its_key_is_forgotten() {
    let mut shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    shop.lose(Op::Create);
    shop.create(&asked).await.unwrap_err();
    shop.close_bank().await;
    shop.clock.advance_ms(25 * HOUR_MS);
    shop.reopen_bank().await;
    let authorized = shop.confirm(&asked.payment_id).await.unwrap();
    assert_eq!(authorized.state(), PaymentState::Authorized);
    assert_eq!(shop.ledger(&asked.payment_id).await.len(), 1, "made once");
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_as_such_and_nothing_is_lost() {
    let mut shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    shop.close_bank().await;
    let away = shop.create(&asked).await.unwrap_err();
    assert_eq!(
        (away.code(), reason(&away).as_str()),
        (Code::Unavailable, "PROVIDER_UNKNOWN_OUTCOME")
    );
    shop.reopen_bank().await;
    shop.create(&asked).await.unwrap();
    shop.restart().await;
    assert_eq!(shop.confirm(&asked.payment_id).await.unwrap().state(), PaymentState::Authorized);
    shop.restart().await;
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
    shop.assert_books_equal().await;
}
