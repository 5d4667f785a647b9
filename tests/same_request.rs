//! The same request, sent again and again: what happens, happens once.

use futures::future::join_all;
use souk_mesh::error::reason_of;
use souk_proto::order::v1::{ListOrdersRequest, OrderState, Placement};
use tonic::Code;

use crate::support::{Shop, one};

/// Equal requests at once.
const REPEATS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_requests_at_once_are_one_order() {
    let mut shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let request = customer.order("tok_visa", &[(&product, 3)]);

    let answers = join_all((0..REPEATS).map(|_| customer.place(request.clone()))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let first = answers[0].clone();
    assert_eq!(first.placement(), Placement::Placed);
    for answer in &answers {
        assert_eq!(answer, &first);
    }
    let order_id = first.order.clone().unwrap().order_id;
    customer.until(&order_id, OrderState::Processing).await;

    let listed = customer.orders().list_orders(ListOrdersRequest::default()).await.unwrap();
    let listed: Vec<_> =
        listed.into_inner().orders.into_iter().map(|order| order.order_id).collect();
    assert_eq!(listed, [order_id.as_str()], "one order");
    assert_eq!(shop.ledger.of(&order_id).await.len(), 1, "one charge");
    let held = crate::support::eventually("the pieces have left the stock", async || {
        let stock = customer.stock(&product.product_id).await;
        (stock.reserved == before.reserved).then_some(stock)
    });
    assert_eq!(held.await.on_hand, before.on_hand - 3, "one reservation");

    shop.kill_9();
    shop.restart().await;
    assert_eq!(customer.place(request).await.unwrap(), first, "the same answer after a crash");
}

#[tokio::test]
async fn a_request_id_stands_for_one_request_of_one_caller() {
    let shop = Shop::start().await;
    let (customer, other) = (shop.customer().await, shop.customer().await);
    let product = customer.product().await;
    let request = customer.order("tok_visa", &one(&product));
    let first = customer.place(request.clone()).await.unwrap();

    let mut changed = customer.order("tok_visa", &[(&product, 2)]);
    changed.request_id = request.request_id.clone();
    let refused = customer.place(changed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason_of(&refused).as_deref(), Some("REQUEST_ID_REUSED"));

    let mut of_other = other.order("tok_visa", &[(&product, 2)]);
    of_other.request_id = request.request_id;
    let unrelated = other.place(of_other).await.unwrap();
    assert_eq!(unrelated.placement(), Placement::Placed);
    assert_ne!(unrelated.order.unwrap().order_id, first.order.unwrap().order_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_order_is_refused_alike_for_everybody_who_asks() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let request = customer.order("tok_declined", &one(&product));
    let answers = join_all((0..100).map(|_| customer.place(request.clone()))).await;
    let first = answers[0].clone().unwrap();
    assert_eq!(first.placement(), Placement::Refused);
    assert!(!first.refusal_reason.is_empty());
    for answer in answers {
        assert_eq!(answer.unwrap(), first);
    }
    let order_id = first.order.unwrap().order_id;
    let order = customer.until(&order_id, OrderState::Cancelled).await;
    assert_eq!(order.cancel_reason, first.refusal_reason);
    let after = crate::support::eventually("the pieces are back", async || {
        let stock = customer.stock(&product.product_id).await;
        (stock.available == before.available).then_some(stock)
    });
    assert_eq!(after.await.on_hand, before.on_hand);
    assert_eq!(shop.ledger.net(&order_id).await, 0);
}
