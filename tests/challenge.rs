//! 3-D Secure: the customer decides at her bank's page, and the order follows.

use souk_proto::order::v1::{OrderState, Placement};

use crate::support::{Caller, Shop, eventually, one};

/// Places an order whose bank asks back; its id and the bank's page.
async fn challenged(customer: &Caller, shop: &Shop) -> (String, String, i64) {
    let product = customer.product().await;
    let answer = customer.place(customer.order("tok_3ds", &one(&product))).await.unwrap();
    assert_eq!(answer.placement(), Placement::Challenge, "{answer:?}");
    let order = answer.order.unwrap();
    assert!(answer.challenge_url.starts_with(&shop.provider.url), "{}", answer.challenge_url);
    let total = souk_mesh::money::Money::try_from(order.total.unwrap()).unwrap();
    (order.order_id, answer.challenge_url, total.minor)
}

#[tokio::test]
async fn a_challenge_that_is_passed_makes_an_order_and_one_that_is_failed_undoes_it() {
    let mut shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;

    let (passed, page, total) = challenged(&customer, &shop).await;
    assert_eq!(customer.read(&passed).await.state(), OrderState::Pending);
    assert_eq!(customer.stock(&product.product_id).await.reserved, before.reserved + 1);
    // An order that waits for its customer outlives a crash of the shop.
    shop.kill_9();
    shop.restart().await;
    shop.ledger.decide(&page, "approve").await;
    customer.until(&passed, OrderState::Processing).await;
    eventually("the payment is captured", async || {
        (shop.ledger.net(&passed).await == total).then_some(())
    })
    .await;

    let (failed, page, _) = challenged(&customer, &shop).await;
    shop.ledger.decide(&page, "decline").await;
    let order = customer.until(&failed, OrderState::Cancelled).await;
    assert!(!order.cancel_reason.is_empty(), "{order:?}");
    let after = eventually("nothing is held", async || {
        let stock = customer.stock(&product.product_id).await;
        (stock.reserved == before.reserved).then_some(stock)
    });
    assert_eq!(after.await.on_hand, before.on_hand - 1, "only the first one is sold");
    assert_eq!(shop.ledger.net(&failed).await, 0);
}

#[tokio::test]
async fn an_open_challenge_can_be_cancelled() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let (order_id, _, _) = challenged(&customer, &shop).await;
    assert_eq!(customer.cancel(&order_id).await.unwrap().state(), OrderState::Cancelled);
    eventually("stock and payment are given back", async || {
        let stock = customer.stock(&product.product_id).await;
        let charges = shop.ledger.of(&order_id).await;
        let given_back = charges.iter().all(|charge| charge.status == "canceled");
        (stock.available == before.available && given_back).then_some(())
    })
    .await;
}
