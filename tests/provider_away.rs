//! The payment provider goes and comes back. Orders wait for it; none is charged twice, none is lost.

use souk_proto::order::v1::{OrderState, Placement};

use crate::support::{Load, Shop, one, pause};

/// Times that the provider is killed under load.
const KILLS: usize = 4;
/// How long it works between two kills, and how long it is away, in milliseconds.
const LIFE_MS: u64 = 1_500;
const ABSENCE_MS: u64 = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_provider_and_the_shop_still_agree() {
    let seed = crate::support::seed();
    let mut shop = Shop::start().await;
    let baseline = shop.baseline().await;
    let load = Load::start(&shop.edge, &shop.ledger, seed).await;
    for _ in 0..KILLS {
        pause(LIFE_MS).await;
        shop.provider.kill_9();
        pause(ABSENCE_MS).await;
        shop.provider.restart().await;
    }
    let acknowledged = load.finish().await;
    shop.settle(&baseline, &acknowledged).await;
    assert!(acknowledged.len() >= KILLS * 10, "only {} orders", acknowledged.len());
}

#[tokio::test]
async fn without_a_provider_orders_are_pending_until_it_comes() {
    let mut shop = Shop::start().await;
    shop.provider.kill_9();
    shop.kill_9();
    shop.restart().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let baseline = shop.baseline().await;
    let request = customer.order("tok_visa", &one(&product));
    let answer = customer.place(request.clone()).await.unwrap();
    assert_eq!(answer.placement(), Placement::Pending);
    let placed = answer.order.unwrap().order_id;
    let answer = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    let cancelled = answer.order.unwrap().order_id;
    assert_eq!(customer.cancel(&cancelled).await.unwrap().state(), OrderState::Cancelled);

    shop.provider.restart().await;
    customer.until(&placed, OrderState::Processing).await;
    shop.settle(&baseline, &[placed.clone(), cancelled.clone()]).await;
    assert_eq!(shop.ledger.net(&cancelled).await, 0);
    let again = customer.place(request).await.unwrap();
    assert_eq!(again.placement(), Placement::Placed);
    assert_eq!(again.order.unwrap().order_id, placed);
}
