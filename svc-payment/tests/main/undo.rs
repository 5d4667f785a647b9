//! The undo: net captured is 0 afterwards, from every state, in every order, whatever got lost.

use async_trait::async_trait;
use souk_mesh::testing::do_undo::{self, Participant};
use souk_proto::payment::v1::{CreatePaymentIntentRequest, PaymentState};
use souk_proto::time::timestamp;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::lossy::Op;
use crate::shop::{HOUR_MS, Shop, euros, new_id, on_both_stores, reason};

/// Creates, confirms and captures a payment under the key; the ledger tells what is charged.
struct Charging<'a>(&'a Shop);

impl Charging<'_> {
    fn asked(&self, key: Uuid) -> CreatePaymentIntentRequest {
        let id = |name: &str| Uuid::new_v5(&key, name.as_bytes()).to_string();
        CreatePaymentIntentRequest {
            request_id: id("request"),
            payment_id: key.to_string(),
            order_id: id("order"),
            user_id: id("user"),
            amount: Some(euros(1_000)),
            payment_token: "tok_visa".to_owned(),
            not_after: Some(timestamp(self.0.now_ms() + HOUR_MS)),
        }
    }
}

#[async_trait]
impl Participant for Charging<'_> {
    async fn forward(&self, key: Uuid) -> Result<(), Status> {
        self.0.create(&self.asked(key)).await?;
        self.0.confirm(&key.to_string()).await?;
        self.0.capture(&key.to_string()).await?;
        Ok(())
    }

    async fn undo(&self, key: Uuid) -> Result<(), Status> {
        self.0.cancel(&key.to_string()).await?;
        Ok(())
    }

    async fn is_clean(&self, key: Uuid) -> bool {
        self.0.ledger(&key.to_string()).await.iter().all(|line| {
            line["captured"] == line["refunded"]
                && (line["status"] == "canceled" || line["status"] == "succeeded")
        })
    }

    async fn is_done(&self, key: Uuid) -> bool {
        let lines = self.0.ledger(&key.to_string()).await;
        lines.len() == 1 && lines[0]["captured"] == 1_000 && lines[0]["refunded"] == 0
    }
}

async fn do_and_undo_serialize_on_one_key_in_every_order(shop: &mut Shop) {
    let charging = Charging(shop);
    do_undo::run(&charging).await;
    charging.0.assert_books_equal().await;
}

on_both_stores! {
    undoing_on_cql:
    do_and_undo_serialize_on_one_key_in_every_order,
    each_state_is_undone_in_the_way_the_provider_asks_for,
    a_part_that_was_refunded_is_not_given_back_twice,
    an_undo_that_comes_first_leaves_a_tombstone,
    a_tombstone_outlives_the_creation_that_it_refuses,
    a_creation_after_its_time_is_refused_and_leaves_nothing,
    whatever_answer_was_lost_the_undo_finds_what_was_done,
    an_undo_whose_own_answers_get_lost_ends_the_same,
    a_creation_that_never_arrived_is_undone_even_when_its_key_would_be_forgotten,
    the_timeout_of_a_challenge_leaves_money_alone_that_is_set_aside,
}

async fn each_state_is_undone_in_the_way_the_provider_asks_for(shop: &mut Shop) {
    for (token, steps, ours, theirs) in [
        ("tok_visa", 0, PaymentState::Cancelled, "canceled"),
        ("tok_visa", 1, PaymentState::Cancelled, "canceled"),
        ("tok_3ds", 1, PaymentState::Cancelled, "canceled"),
        ("tok_declined", 1, PaymentState::Cancelled, "canceled"),
        ("tok_visa", 2, PaymentState::Refunded, "succeeded"),
    ] {
        let asked = shop.asked(token);
        shop.create(&asked).await.unwrap();
        if steps > 0 {
            shop.confirm(&asked.payment_id).await.unwrap();
        }
        if steps > 1 {
            shop.capture(&asked.payment_id).await.unwrap();
        }
        let undone = shop.cancel(&asked.payment_id).await.unwrap();
        assert_eq!(undone.state(), ours, "{token} {steps}");
        assert_eq!(undone.captured, undone.refunded);
        assert_eq!(
            shop.cancel(&asked.payment_id).await.unwrap(),
            undone,
            "a repeat changes nothing"
        );
        let line = shop.ledger(&asked.payment_id).await.remove(0);
        assert_eq!((&line["status"], &line["captured"]), (&theirs.into(), &line["refunded"]));
        let late = shop.capture(&asked.payment_id).await.unwrap_err();
        assert_eq!((late.code(), reason(&late).as_str()), (Code::FailedPrecondition, "UNDONE"));
    }
    shop.assert_books_equal().await;
}

async fn a_part_that_was_refunded_is_not_given_back_twice(shop: &mut Shop) {
    let payment_id = shop.paid("tok_visa").await;
    shop.refund(&new_id(), &payment_id, Some(300)).await.unwrap();
    let undone = shop.cancel(&payment_id).await.unwrap();
    assert_eq!((undone.state(), undone.refunded), (PaymentState::Refunded, Some(euros(1_000))));
    let refunds = shop.get(&payment_id).await.unwrap().refunds;
    let amounts: Vec<_> = refunds.iter().map(|refund| refund.amount.clone().unwrap()).collect();
    assert_eq!(amounts, [euros(300), euros(700)]);
    assert_eq!(refunds[1].reason, "order cancelled");
    shop.assert_books_equal().await;
}

async fn an_undo_that_comes_first_leaves_a_tombstone(shop: &mut Shop) {
    let asked = shop.asked("tok_visa");
    let buried = shop.cancel(&asked.payment_id).await.unwrap();
    assert_eq!((buried.state(), &buried.payment_id), (PaymentState::Cancelled, &asked.payment_id));
    for late in [
        shop.create(&asked).await.unwrap_err(),
        shop.confirm(&asked.payment_id).await.unwrap_err(),
        shop.capture(&asked.payment_id).await.unwrap_err(),
    ] {
        assert_eq!((late.code(), reason(&late).as_str()), (Code::FailedPrecondition, "UNDONE"));
    }
    assert_eq!(shop.get(&asked.payment_id).await.unwrap_err().code(), Code::NotFound);
    assert!(shop.ledger(&asked.payment_id).await.is_empty(), "never made");
}

async fn a_tombstone_outlives_the_creation_that_it_refuses(shop: &mut Shop) {
    let asked = shop.asked("tok_visa");
    shop.cancel(&asked.payment_id).await.unwrap();
    shop.clock.advance_ms(HOUR_MS);
    shop.restart().await;
    assert_eq!(reason(&shop.create(&asked).await.unwrap_err()), "UNDONE");
    // Long after, the tombstone may be gone: by then the creation is too late.
    shop.clock.advance_ms(48 * HOUR_MS);
    shop.restart().await;
    let mut refused = shop.create(&asked).await.unwrap_err();
    for _ in 0..1_000 {
        // The housekeeping at the start runs beside.
        if reason(&refused) == "TOO_LATE" {
            break;
        }
        assert_eq!(reason(&refused), "UNDONE");
        refused = shop.create(&asked).await.unwrap_err();
    }
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TOO_LATE"));
}

async fn a_creation_after_its_time_is_refused_and_leaves_nothing(shop: &mut Shop) {
    let asked = shop.asked("tok_visa");
    shop.clock.advance_ms(HOUR_MS + 1);
    let late = shop.create(&asked).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::FailedPrecondition, "TOO_LATE"));
    assert_eq!(shop.get(&asked.payment_id).await.unwrap_err().code(), Code::NotFound);
    assert!(shop.ledger(&asked.payment_id).await.is_empty());
}

async fn whatever_answer_was_lost_the_undo_finds_what_was_done(shop: &mut Shop) {
    for lost in [Op::Create, Op::Confirm, Op::Capture] {
        let asked = shop.asked("tok_visa");
        shop.lose(lost);
        let mut failures = 0;
        failures += usize::from(shop.create(&asked).await.is_err());
        if lost != Op::Create {
            failures += usize::from(shop.confirm(&asked.payment_id).await.is_err());
        }
        if lost == Op::Capture {
            failures += usize::from(shop.capture(&asked.payment_id).await.is_err());
        }
        assert_eq!(failures, 1, "{lost:?}");
        let undone = shop.cancel(&asked.payment_id).await.unwrap();
        assert!(matches!(undone.state(), PaymentState::Cancelled | PaymentState::Refunded));
        let lines = shop.ledger(&asked.payment_id).await;
        assert_eq!((lines.len(), &lines[0]["captured"]), (1, &lines[0]["refunded"]), "{lost:?}");
        assert_ne!(lines[0]["status"], "requires_capture", "{lost:?}");
    }
    shop.assert_books_equal().await;
}

async fn an_undo_whose_own_answers_get_lost_ends_the_same(shop: &mut Shop) {
    let held = shop.asked("tok_visa");
    shop.create(&held).await.unwrap();
    shop.confirm(&held.payment_id).await.unwrap();
    shop.lose(Op::Cancel);
    assert_eq!(shop.cancel(&held.payment_id).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(shop.cancel(&held.payment_id).await.unwrap().state(), PaymentState::Cancelled);

    let paid = shop.paid("tok_visa").await;
    shop.lose(Op::Refund);
    assert_eq!(shop.cancel(&paid).await.unwrap_err().code(), Code::Unavailable);
    shop.restart().await;
    assert_eq!(shop.cancel(&paid).await.unwrap().state(), PaymentState::Refunded);
    let line = shop.ledger(&paid).await.remove(0);
    assert_eq!(line["refunded"], 1_000);
    assert_eq!(shop.get(&paid).await.unwrap().refunds.len(), 1);
    shop.assert_books_equal().await;
}

async fn a_creation_that_never_arrived_is_undone_even_when_its_key_would_be_forgotten(
    shop: &mut Shop,
) {
    for wait_ms in [0, 25 * HOUR_MS] {
        let asked = shop.asked("tok_visa");
        shop.close_bank().await;
        shop.create(&asked).await.unwrap_err();
        shop.clock.advance_ms(wait_ms);
        shop.reopen_bank().await;
        assert_eq!(shop.cancel(&asked.payment_id).await.unwrap().state(), PaymentState::Cancelled);
        for line in shop.ledger(&asked.payment_id).await {
            assert_eq!(line["status"], "canceled");
        }
        assert_eq!(reason(&shop.create(&asked).await.unwrap_err()), "UNDONE");
    }
}

async fn the_timeout_of_a_challenge_leaves_money_alone_that_is_set_aside(shop: &mut Shop) {
    let asked = shop.asked("tok_3ds");
    shop.create(&asked).await.unwrap();
    let url = shop.confirm(&asked.payment_id).await.unwrap().challenge_url;
    shop.decide(&url, "approve").await;
    let kept = shop.cancel_as(&asked.payment_id, true).await.unwrap();
    assert_eq!(kept.state(), PaymentState::Authorized);
    assert_eq!(shop.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
    assert_eq!(
        shop.cancel_as(&asked.payment_id, true).await.unwrap().state(),
        PaymentState::Captured
    );

    let unanswered = shop.asked("tok_3ds");
    shop.create(&unanswered).await.unwrap();
    shop.confirm(&unanswered.payment_id).await.unwrap();
    let given_up = shop.cancel_as(&unanswered.payment_id, true).await.unwrap();
    assert_eq!(given_up.state(), PaymentState::Cancelled);
    shop.assert_books_equal().await;
}
