//! Who may see and do what.

use souk_mesh::identity::Role;
use souk_proto::payment::v1::{
    ConfirmPaymentRequest, GetPaymentRequest, ListPaymentsRequest, ListReviewsRequest, PaymentState,
};
use tonic::Code;
use uuid::Uuid;

use crate::shop::{Shop, new_id, reason};

#[tokio::test]
async fn customers_see_their_own_payments_and_nobody_elses() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    shop.create(&asked).await.unwrap();
    shop.create(&shop.asked("tok_visa")).await.unwrap();
    let owner: Uuid = asked.user_id.parse().unwrap();
    let get = GetPaymentRequest { payment_id: asked.payment_id.clone() };

    let request = shop.user(owner, Role::Customer, get.clone());
    let seen = shop.client.clone().get_payment(request).await.unwrap().into_inner();
    let seen = seen.payment.unwrap();
    assert_eq!(
        (seen.payment_id.as_str(), seen.provider_payment_id.as_str()),
        (get.payment_id.as_str(), "")
    );

    let request = shop.user(Uuid::new_v4(), Role::Customer, get.clone());
    let refused = shop.client.clone().get_payment(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "NOT_YOURS"));
    let request = shop.user(Uuid::new_v4(), Role::Staff, get);
    let seen = shop.client.clone().get_payment(request).await.unwrap().into_inner();
    assert!(!seen.payment.unwrap().provider_payment_id.is_empty());

    let list = |user_id: String| ListPaymentsRequest { user_id, ..Default::default() };
    let request = shop.user(owner, Role::Customer, list(String::new()));
    let page = shop.client.clone().list_payments(request).await.unwrap().into_inner();
    assert_eq!(page.payments.len(), 1);
    let request = shop.user(Uuid::new_v4(), Role::Customer, list(asked.user_id.clone()));
    let refused = shop.client.clone().list_payments(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOURS");
    let request = shop.user(Uuid::new_v4(), Role::Staff, list(String::new()));
    let page = shop.client.clone().list_payments(request).await.unwrap().into_inner();
    assert_eq!(page.payments.len(), 2);
}

#[tokio::test]
async fn customers_confirm_their_own_payment_on_the_way_back_from_a_challenge() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_3ds");
    shop.create(&asked).await.unwrap();
    let url = shop.confirm(&asked.payment_id).await.unwrap().challenge_url;
    shop.decide(&url, "approve").await;
    let confirm = || ConfirmPaymentRequest {
        request_id: new_id(),
        payment_id: asked.payment_id.clone(),
        not_after: None,
    };
    let request = shop.user(Uuid::new_v4(), Role::Customer, confirm());
    let refused = shop.client.clone().confirm_payment(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "NOT_YOURS"));
    let request = shop.user(asked.user_id.parse().unwrap(), Role::Customer, confirm());
    let passed = shop.client.clone().confirm_payment(request).await.unwrap().into_inner();
    let passed = passed.payment.unwrap();
    assert_eq!(passed.state(), PaymentState::Authorized);
    assert_eq!(passed.provider_payment_id, "");
}

#[tokio::test]
async fn a_payment_without_a_user_is_for_staff_and_services_alone() {
    let shop = Shop::open().await;
    let mut asked = shop.asked("tok_visa");
    asked.user_id = String::new();
    shop.create(&asked).await.unwrap();
    let get = GetPaymentRequest { payment_id: asked.payment_id };
    let request = shop.user(Uuid::new_v4(), Role::Customer, get);
    assert_eq!(reason(&shop.client.clone().get_payment(request).await.unwrap_err()), "NOT_YOURS");
}

#[tokio::test]
async fn customers_move_no_money_and_what_is_not_built_says_so() {
    let shop = Shop::open().await;
    let asked = shop.asked("tok_visa");
    let request = shop.user(asked.user_id.parse().unwrap(), Role::Customer, asked.clone());
    let refused = shop.client.clone().create_payment_intent(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "ROLE_REQUIRED")
    );
    let request = shop.user(Uuid::new_v4(), Role::Staff, ListReviewsRequest::default());
    let refused = shop.client.clone().list_reviews(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "NOT_BUILT"));
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_filtered() {
    let shop = Shop::open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(shop.paid("tok_visa").await);
    }
    let declined = shop.asked("tok_declined");
    shop.create(&declined).await.unwrap();
    shop.confirm(&declined.payment_id).await.unwrap();
    made.push(declined.payment_id.clone());
    made.reverse();

    let mut seen = Vec::new();
    let mut asked = ListPaymentsRequest { page_size: 4, ..Default::default() };
    loop {
        let page = shop.client.clone().list_payments(asked.clone()).await.unwrap().into_inner();
        seen.extend(page.payments.into_iter().map(|payment| payment.payment_id));
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
    }
    assert_eq!(seen, made);

    asked.order_id = declined.order_id;
    let refused = shop.client.clone().list_payments(asked.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_PAGE_TOKEN", "another filter than the token's");
    asked.page_token = String::new();
    let page = shop.client.clone().list_payments(asked).await.unwrap().into_inner();
    assert_eq!(page.payments.len(), 1);
    let state = PaymentState::Declined.into();
    let asked = ListPaymentsRequest { state, ..Default::default() };
    let page = shop.client.clone().list_payments(asked).await.unwrap().into_inner();
    assert_eq!(page.payments[0].payment_id, declined.payment_id);
}
