//! Giving money back: in parts, once per request, never more than was taken.

use futures::future::join_all;
use souk_mesh::error::metadata_of;
use souk_proto::payment::v1::{PaymentState, RefundPaymentRequest};
use tonic::Code;

use crate::lossy::Op;
use crate::shop::{Shop, euros, new_id, on_both_stores, reason};

on_both_stores! {
    refunds_on_cql:
    refunds_at_the_same_time_never_add_up_to_more_than_was_taken,
    money_is_given_back_in_parts_and_never_beyond_what_was_taken,
    what_was_not_taken_cannot_be_given_back,
    a_repeat_gives_nothing_more_and_gets_the_first_answer,
    a_refund_that_fails_at_the_provider_is_given_by_the_retry,
    a_refund_whose_asker_is_gone_is_brought_to_its_end,
}

async fn money_is_given_back_in_parts_and_never_beyond_what_was_taken(shop: &mut Shop) {
    let payment_id = shop.paid("tok_visa").await;
    let part = shop.refund(&new_id(), &payment_id, Some(400)).await.unwrap();
    assert_eq!(part.refund.unwrap().amount, Some(euros(400)));
    assert_eq!(part.payment.unwrap().state(), PaymentState::Captured);
    let beyond = shop.refund(&new_id(), &payment_id, Some(601)).await.unwrap_err();
    assert_eq!(beyond.code(), Code::FailedPrecondition);
    assert_eq!(reason(&beyond), "REFUND_EXCEEDS_CAPTURE");
    assert_eq!(metadata_of(&beyond, "refundable").as_deref(), Some("EUR 6.00"));
    let rest = shop.refund(&new_id(), &payment_id, None).await.unwrap();
    assert_eq!(rest.refund.unwrap().amount, Some(euros(600)));
    assert_eq!(rest.payment.unwrap().state(), PaymentState::Refunded);
    let none = shop.refund(&new_id(), &payment_id, None).await.unwrap_err();
    assert_eq!(reason(&none), "REFUND_EXCEEDS_CAPTURE");
    assert_eq!(shop.get(&payment_id).await.unwrap().refunds.len(), 2);
    shop.assert_books_equal().await;
}

async fn what_was_not_taken_cannot_be_given_back(shop: &mut Shop) {
    let asked = shop.asked("tok_visa");
    shop.create(&asked).await.unwrap();
    shop.confirm(&asked.payment_id).await.unwrap();
    let early = shop.refund(&new_id(), &asked.payment_id, Some(1)).await.unwrap_err();
    assert_eq!(
        (early.code(), reason(&early).as_str()),
        (Code::FailedPrecondition, "ILLEGAL_STATE")
    );
    let unknown = shop.refund(&new_id(), &new_id(), Some(1)).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "PAYMENT_NOT_FOUND"));
    let paid = shop.paid("tok_visa").await;
    let dollars = RefundPaymentRequest {
        request_id: new_id(),
        payment_id: paid,
        amount: Some(souk_proto::google::r#type::Money {
            currency_code: "USD".to_owned(),
            units: 1,
            nanos: 0,
        }),
        reason: String::new(),
    };
    let wrong = shop.client.clone().refund_payment(dollars).await.unwrap_err();
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::InvalidArgument, "WRONG_CURRENCY"));
    shop.assert_books_equal().await;
}

async fn a_repeat_gives_nothing_more_and_gets_the_first_answer(shop: &mut Shop) {
    let payment_id = shop.paid("tok_visa").await;
    let request_id = new_id();
    let first = shop.refund(&request_id, &payment_id, Some(400)).await.unwrap();
    shop.refund(&new_id(), &payment_id, Some(100)).await.unwrap();
    assert_eq!(shop.refund(&request_id, &payment_id, Some(400)).await.unwrap(), first);
    let other = shop.refund(&request_id, &payment_id, Some(401)).await.unwrap_err();
    assert_eq!(
        (other.code(), reason(&other).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(shop.ledger(&payment_id).await[0]["refunded"], 500);
    shop.assert_books_equal().await;
}

async fn refunds_at_the_same_time_never_add_up_to_more_than_was_taken(shop: &mut Shop) {
    let payment_id = shop.paid("tok_visa").await;
    let ids: Vec<_> = (0..10).map(|_| new_id()).collect();
    let refunds = ids.iter().map(|id| shop.refund(id, &payment_id, Some(300)));
    let mut given = 0;
    for refund in join_all(refunds).await {
        match refund {
            Ok(_) => given += 1,
            Err(refused) => assert_eq!(reason(&refused), "REFUND_EXCEEDS_CAPTURE"),
        }
    }
    assert_eq!(given, 3);
    assert_eq!(shop.ledger(&payment_id).await[0]["refunded"], 900);
    shop.assert_books_equal().await;
}

async fn a_refund_that_fails_at_the_provider_is_given_by_the_retry(shop: &mut Shop) {
    let payment_id = shop.paid("tok_refund_fails_once").await;
    let request_id = new_id();
    let failed = shop.refund(&request_id, &payment_id, Some(400)).await.unwrap_err();
    assert_eq!(reason(&failed), "PROVIDER_UNKNOWN_OUTCOME");
    assert!(shop.get(&payment_id).await.unwrap().refunds.is_empty());
    shop.refund(&request_id, &payment_id, Some(400)).await.unwrap();
    assert_eq!(shop.ledger(&payment_id).await[0]["refunded"], 400);
    shop.assert_books_equal().await;
}

async fn a_refund_whose_asker_is_gone_is_brought_to_its_end(shop: &mut Shop) {
    let payment_id = shop.paid("tok_visa").await;
    let request_id = new_id();
    shop.lose(Op::Refund);
    shop.refund(&request_id, &payment_id, Some(400)).await.unwrap_err();
    shop.restart().await;
    // The housekeeping at the start runs beside: look until it is done.
    let mut refunds = shop.get(&payment_id).await.unwrap().refunds;
    for _ in 0..10_000 {
        if !refunds.is_empty() {
            break;
        }
        refunds = shop.get(&payment_id).await.unwrap().refunds;
    }
    assert_eq!(refunds.len(), 1);
    assert_eq!(shop.ledger(&payment_id).await[0]["refunded"], 400);
    let answered = shop.refund(&request_id, &payment_id, Some(400)).await.unwrap();
    assert_eq!(answered.refund, Some(refunds.remove(0)));
    shop.assert_books_equal().await;
}
