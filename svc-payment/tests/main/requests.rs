//! Request ids, and requests that cannot be served as they are.

use std::sync::Arc;

use souk_mesh::error::violations_of;
use souk_mesh::identity::Role;
use souk_proto::google::r#type::Money;
use souk_proto::payment::v1::{CapturePaymentRequest, CreatePaymentIntentRequest, PaymentState};
use tonic::Code;
use uuid::Uuid;

use crate::shop::{Shop, euros, new_id, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_equal_requests_make_one_payment_with_one_charge() {
    let shop = Arc::new(Shop::open().await);
    let asked = shop.asked("tok_visa");
    let payments: Vec<_> = (0..100)
        .map(|_| {
            let (shop, asked) = (shop.clone(), asked.clone());
            tokio::spawn(async move {
                shop.create(&asked).await?;
                shop.confirm(&asked.payment_id).await?;
                shop.capture(&asked.payment_id).await
            })
        })
        .collect();
    for payment in payments {
        assert_eq!(payment.await.unwrap().unwrap().state(), PaymentState::Captured);
    }
    let lines = shop.ledger(&asked.payment_id).await;
    assert_eq!((lines.len(), lines[0]["captured"].as_i64()), (1, Some(1_000)));
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn the_same_ids_with_other_parameters_are_refused() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    shop.create(&asked).await.unwrap();
    let changed = [
        CreatePaymentIntentRequest { amount: Some(euros(999)), ..asked.clone() },
        CreatePaymentIntentRequest { order_id: new_id(), ..asked.clone() },
        CreatePaymentIntentRequest { payment_token: "tok_declined".into(), ..asked.clone() },
        CreatePaymentIntentRequest { payment_id: new_id(), ..asked.clone() },
    ];
    for other in changed {
        let refused = shop.create(&other).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{other:?}");
        assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    }
    let (first, second) = (shop.asked("tok_visa"), shop.asked("tok_visa"));
    let request_id = new_id();
    for (asked, reused) in [(&first, false), (&first, false), (&second, true)] {
        shop.create(asked).await.unwrap();
        shop.confirm(&asked.payment_id).await.unwrap();
        let capture = CapturePaymentRequest {
            request_id: request_id.clone(),
            payment_id: asked.payment_id.clone(),
            not_after: None,
        };
        let answer = shop.client.clone().capture_payment(capture.clone()).await;
        assert_eq!(answer.is_err(), reused);
        // Another caller's same id is unrelated.
        let staff = shop.user(Uuid::new_v4(), Role::Staff, capture);
        assert!(shop.client.clone().capture_payment(staff).await.is_ok());
    }
    shop.assert_books_equal().await;
}

#[tokio::test]
async fn an_unknown_token_is_the_callers_fault_and_stays_so() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_of_another_shop");
    for _ in 0..2 {
        let refused = shop.create(&asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused), "UNKNOWN_PAYMENT_TOKEN");
        assert_eq!(violations_of(&refused)[0].field, "payment_token");
    }
    assert_eq!(
        shop.get(&asked.payment_id).await.unwrap().payment.unwrap().state(),
        PaymentState::Declined
    );
    let undone = shop.cancel(&asked.payment_id).await.unwrap();
    assert_eq!(undone.state(), PaymentState::Cancelled);
    assert!(shop.ledger(&asked.payment_id).await.is_empty());
}

#[tokio::test]
async fn malformed_requests_name_the_field_and_leave_nothing() {
    let shop = Shop::open().await;
    let good = shop.asked("tok_visa");
    let money = |currency_code: &str, units, nanos| {
        Some(Money { currency_code: currency_code.to_owned(), units, nanos })
    };
    let cases = [
        ("payment_id", CreatePaymentIntentRequest { payment_id: "7".into(), ..good.clone() }),
        ("order_id", CreatePaymentIntentRequest { order_id: String::new(), ..good.clone() }),
        (
            "payment_token",
            CreatePaymentIntentRequest { payment_token: String::new(), ..good.clone() },
        ),
        ("amount", CreatePaymentIntentRequest { amount: None, ..good.clone() }),
        ("amount", CreatePaymentIntentRequest { amount: money("EUR", 0, 0), ..good.clone() }),
        ("amount", CreatePaymentIntentRequest { amount: money("EUR", -1, 0), ..good.clone() }),
        ("amount", CreatePaymentIntentRequest { amount: money("XXX", 1, 0), ..good.clone() }),
        ("amount", CreatePaymentIntentRequest { amount: money("EUR", 1, 1), ..good.clone() }),
        (
            "amount",
            CreatePaymentIntentRequest { amount: money("EUR", i64::MAX, 0), ..good.clone() },
        ),
    ];
    for (field, asked) in cases {
        let refused = shop.create(&asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{asked:?}");
        assert_eq!(reason(&refused), "INVALID_FIELDS");
        assert!(violations_of(&refused)[0].field.starts_with(field), "{refused:?}");
        assert_eq!(shop.get(&good.payment_id).await.unwrap_err().code(), Code::NotFound);
    }
    let large = CreatePaymentIntentRequest { amount: money("EUR", 1_000_000, 0), ..good };
    let refused = shop.create(&large).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "PROVIDER_REFUSED")
    );
}
