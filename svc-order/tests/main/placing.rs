//! PlaceOrder: one order per request id, priced by the server, refused without a trace.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use souk_mesh::error::{metadata_of, violations_of};
use souk_order::Config;
use souk_proto::order::v1::{
    CartReference, ListOrdersRequest, OrderState, PlaceOrderLine, PlaceOrderRequest,
    PlaceOrderResponse, Placement,
};
use souk_proto::user::v1::Address;
use tonic::Code;
use uuid::Uuid;

use crate::fakes::{PLACED, euro};
use crate::shop::{Person, Shop, address, append, new_id, on_each_store, refused, wish};

/// Of a request whose answer takes longer than a call waits for it.
const MOST_REPEATS: usize = 100;

on_each_store!(
    an_order_is_priced_recorded_and_carried_out,
    a_repeat_gets_the_first_answer_whatever_has_happened_since,
    a_request_id_is_its_callers_and_for_one_wish,
    what_cannot_be_ordered_is_refused_and_leaves_no_trace,
    a_cart_is_ordered_at_the_version_that_was_seen,
    a_thousand_equal_requests_at_once_are_one_order,
    an_address_comes_from_the_request_or_the_address_book,
);
on_each_store!(
    of_config:
    challenges_and_refusals_are_kept_too,
    an_order_that_is_not_settled_in_time_is_pending_until_it_is,
);

/// How many orders somebody has.
async fn orders(shop: &Shop, of: &Person) -> usize {
    let request = ListOrdersRequest { user_id: of.user_id.to_string(), ..Default::default() };
    shop.orchestrator().list_orders(request).await.unwrap().into_inner().orders.len()
}

async fn an_order_is_priced_recorded_and_carried_out(shop: Shop) {
    let mara = shop.customer();
    let product_id = shop.neighbours.catalog.sell(250, 10);
    let response = shop.place(&mara, wish(product_id, 3, 750)).await.unwrap();
    assert_eq!(response.placement(), Placement::Placed);
    let order = response.order.unwrap();
    assert_eq!((order.state(), order.version), (OrderState::Pending, 1));
    assert_eq!(order.total, Some(euro(750)));
    assert_eq!(order.payment_id, "9a3f6c1e-1c57-5d0e-8a52-7d6f1b0e2c33");
    assert_eq!(order.shipping_address, Some(address()));
    let expected = serde_json::json!({
        "order_id": order.order_id,
        "user_id": mara.user_id.to_string(),
        "currency": "EUR",
        "total_minor": 750,
        "lines": [{ "product_id": product_id.to_string(), "quantity": 3, "unit_price_minor": 250 }],
        "payment_token": "tok_visa",
        "cart": null,
        "email": "mara@example.com",
    });
    assert_eq!(shop.neighbours.workflows.input(&order.order_id), expected);
    // One read of the catalog and one start: that is what an order costs here.
    assert_eq!(shop.neighbours.catalog.reads.load(Ordering::SeqCst), 1);
    assert_eq!(shop.neighbours.workflows.starts.load(Ordering::SeqCst), 1);
}

async fn a_thousand_equal_requests_at_once_are_one_order(shop: Shop) {
    let mara = shop.customer();
    let product_id = shop.neighbours.catalog.sell(250, 10_000);
    *shop.neighbours.workflows.answer.lock() = None;
    let request = wish(product_id, 1, 250);
    let calls = (0..1_000).map(|_| {
        let call = mara.says(request.clone());
        let mut client = shop.client();
        tokio::spawn(async move { client.place_order(call).await.unwrap().into_inner() })
    });
    let calls: Vec<_> = calls.collect();
    shop.neighbours.workflows.wait_for(1).await;
    let started = shop.neighbours.workflows.started();
    let order_id = started[0].strip_prefix("order/").unwrap();
    shop.neighbours.workflows.give_answer(order_id, PLACED);
    let answers: Vec<PlaceOrderResponse> =
        join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers[0].placement(), Placement::Placed);
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    assert_eq!(shop.neighbours.workflows.started().len(), 1);
    assert_eq!(orders(&shop, &mara).await, 1);
    let starts = shop.neighbours.workflows.starts.load(Ordering::SeqCst);
    let reads = shop.neighbours.catalog.reads.load(Ordering::SeqCst);
    assert!(starts < 100 && reads < 100, "{starts} starts and {reads} reads: not coalesced");
}

async fn a_repeat_gets_the_first_answer_whatever_has_happened_since(shop: Shop) {
    let mara = shop.customer();
    let product_id = shop.neighbours.catalog.sell(250, 1);
    let request = wish(product_id, 1, 250);
    let first = shop.place(&mara, request.clone()).await.unwrap();
    // The last piece is gone, the price is another, the order has moved on, the process was restarted.
    shop.neighbours.catalog.change(product_id, |product| {
        product.available_quantity = Some(0);
        product.price = Some(euro(999));
    });
    let order = first.order.clone().unwrap();
    let processing = append(&order, OrderState::Processing);
    shop.orchestrator().append_order_event(processing).await.unwrap();
    assert_eq!(shop.place(&mara, request.clone()).await.unwrap(), first);
    let shop = shop.restart().await;
    assert_eq!(shop.place(&mara, request).await.unwrap(), first);
}

async fn challenges_and_refusals_are_kept_too(config: Config) {
    let challenge = r#"{"placement":"CHALLENGE","challenge_url":"http://c/1","payment_id":null}"#;
    let refusal = r#"{"placement":"REFUSED","reason":"CARD_DECLINED","message":"Declined."}"#;
    for (answer, placement) in [(challenge, Placement::Challenge), (refusal, Placement::Refused)] {
        let shop = Shop::open_with(config.clone()).await;
        let mara = shop.customer();
        let product_id = shop.neighbours.catalog.sell(250, 1);
        *shop.neighbours.workflows.answer.lock() = Some(answer.into());
        let request = wish(product_id, 1, 250);
        let first = shop.place(&mara, request.clone()).await.unwrap();
        assert_eq!(first.placement(), placement);
        let expected = match placement {
            Placement::Challenge => ("http://c/1", "", ""),
            _ => ("", "CARD_DECLINED", "Declined."),
        };
        let PlaceOrderResponse { challenge_url, refusal_reason, refusal_message, .. } = &first;
        let found = (challenge_url.as_str(), refusal_reason.as_str(), refusal_message.as_str());
        assert_eq!(found, expected);
        // From the store now: the workflow is not even asked.
        *shop.neighbours.workflows.away.lock() = true;
        let shop = shop.restart().await;
        assert_eq!(shop.place(&mara, request).await.unwrap(), first);
    }
}

async fn an_order_that_is_not_settled_in_time_is_pending_until_it_is(config: Config) {
    let shop = Shop::open_with(Config { answer_wait_ms: 20, ..config }).await;
    let mara = shop.customer();
    let product_id = shop.neighbours.catalog.sell(250, 1);
    *shop.neighbours.workflows.answer.lock() = None;
    let request = wish(product_id, 1, 250);
    let pending = shop.place(&mara, request.clone()).await.unwrap();
    assert_eq!(pending.placement(), Placement::Pending);
    let order_id = pending.order.unwrap().order_id;
    shop.neighbours.workflows.give_answer(&order_id, PLACED);
    // On a busy machine the answer, too, may take longer than is waited for.
    for _ in 0..MOST_REPEATS {
        let repeated = shop.place(&mara, request.clone()).await.unwrap();
        assert_eq!(repeated.order.as_ref().unwrap().order_id, order_id);
        if repeated.placement() != Placement::Pending {
            assert_eq!(repeated.placement(), Placement::Placed);
            return;
        }
    }
    panic!("it stays pending");
}

async fn a_request_id_is_its_callers_and_for_one_wish(shop: Shop) {
    let (mara, zoe) = (shop.customer(), shop.customer());
    let product_id = shop.neighbours.catalog.sell(250, 10);
    let request = wish(product_id, 1, 250);
    let first = shop.place(&mara, request.clone()).await.unwrap().order.unwrap();
    let mut other = wish(product_id, 2, 500);
    other.request_id = request.request_id.clone();
    let status =
        refused(shop.place(&mara, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(violations_of(&status)[0].field, "request_id");
    // Also when the other wish would be refused by itself.
    let mut other = wish(Uuid::now_v7(), 2, 500);
    other.request_id = request.request_id.clone();
    refused(shop.place(&mara, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let hers = shop.place(&zoe, request).await.unwrap().order.unwrap();
    assert_ne!(hers.order_id, first.order_id);
    assert_eq!(hers.user_id, zoe.user_id.to_string());
    assert_eq!((orders(&shop, &mara).await, orders(&shop, &zoe).await), (1, 1));
}

async fn what_cannot_be_ordered_is_refused_and_leaves_no_trace(shop: Shop) {
    let mara = shop.customer();
    let tea = shop.neighbours.catalog.sell(250, 5);
    let gone = shop.neighbours.catalog.sell(250, 5);
    shop.neighbours.catalog.change(gone, |product| product.archived = true);
    let unknown = Uuid::now_v7();

    let status = refused(
        shop.place(&mara, wish(unknown, 1, 250)).await,
        Code::NotFound,
        "PRODUCT_NOT_FOUND",
    );
    assert_eq!(metadata_of(&status, "product_ids"), Some(unknown.to_string()));
    refused(shop.place(&mara, wish(gone, 1, 250)).await, Code::NotFound, "PRODUCT_NOT_FOUND");
    let status = refused(
        shop.place(&mara, wish(tea, 1, 240)).await,
        Code::FailedPrecondition,
        "PRICE_CHANGED",
    );
    assert_eq!(metadata_of(&status, "total_minor"), Some("250".into()));
    let status =
        refused(shop.place(&mara, wish(tea, 6, 1_500)).await, Code::FailedPrecondition, "SOLD_OUT");
    assert_eq!(metadata_of(&status, "product_ids"), Some(tea.to_string()));

    let empty = PlaceOrderRequest { lines: vec![], ..wish(tea, 1, 250) };
    refused(shop.place(&mara, empty).await, Code::FailedPrecondition, "CART_EMPTY");
    let mut dollars = wish(tea, 1, 250);
    dollars.currency = "USD".into();
    refused(shop.place(&mara, dollars.clone()).await, Code::InvalidArgument, "WRONG_CURRENCY");
    dollars.request_id = new_id();
    dollars.expected_total.as_mut().unwrap().currency_code = "USD".into();
    refused(shop.place(&mara, dollars).await, Code::InvalidArgument, "WRONG_CURRENCY");
    let status = refused(
        shop.place(&mara, wish(tea, -1, 250)).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(violations_of(&status)[0].field, "lines[0].quantity");
    // Two lines of one product are one line, and bounded together.
    let mut twice = wish(tea, 600, 1);
    let line = twice.lines[0].clone();
    twice.lines.push(PlaceOrderLine { quantity: 500, ..line });
    refused(shop.place(&mara, twice).await, Code::InvalidArgument, "INVALID_FIELDS");
    let nobody = shop.client().place_order(wish(tea, 1, 250)).await;
    refused(nobody, Code::Unauthenticated, "NO_CREDENTIALS");

    assert_eq!(orders(&shop, &mara).await, 0);
    assert_eq!(shop.neighbours.workflows.starts.load(Ordering::SeqCst), 0);
}

async fn a_cart_is_ordered_at_the_version_that_was_seen(shop: Shop) {
    let mara = shop.customer();
    let (tea, cup) = (shop.neighbours.catalog.sell(250, 5), shop.neighbours.catalog.sell(100, 5));
    let request = |version| PlaceOrderRequest {
        cart: Some(CartReference { cart_version: version }),
        lines: vec![],
        request_id: new_id(),
        ..wish(tea, 1, 600)
    };
    refused(shop.place(&mara, request(1)).await, Code::FailedPrecondition, "CART_EMPTY");
    shop.neighbours.carts.put(mara.user_id, 7, &[(tea, 2), (cup, 1)]);
    refused(shop.place(&mara, request(6)).await, Code::FailedPrecondition, "CART_CHANGED");
    let both =
        PlaceOrderRequest { cart: Some(CartReference { cart_version: 7 }), ..wish(tea, 1, 600) };
    refused(shop.place(&mara, both).await, Code::InvalidArgument, "INVALID_FIELDS");

    let placing = request(7);
    let placed = shop.place(&mara, placing.clone()).await.unwrap();
    let order = placed.order.clone().unwrap();
    assert_eq!(order.lines.len(), 2);
    let input = shop.neighbours.workflows.input(&order.order_id);
    assert_eq!(input["cart"], serde_json::json!({ "version": 7 }));
    // The workflow has cleared the cart; a repeat still gets its order.
    shop.neighbours.carts.put(mara.user_id, 8, &[]);
    assert_eq!(shop.place(&mara, placing).await.unwrap(), placed);
}

async fn an_address_comes_from_the_request_or_the_address_book(shop: Shop) {
    let mara = shop.customer();
    let tea = shop.neighbours.catalog.sell(250, 5);
    let request = |address_id: &str| PlaceOrderRequest {
        shipping_address: None,
        address_id: address_id.into(),
        ..wish(tea, 1, 250)
    };
    refused(shop.place(&mara, request("")).await, Code::InvalidArgument, "INVALID_FIELDS");
    let work = new_id();
    refused(shop.place(&mara, request(&work)).await, Code::NotFound, "ADDRESS_NOT_FOUND");

    let entry = |address_id: &str, is_default, city: &str| Address {
        address_id: address_id.into(),
        is_default,
        postal: Some(souk_proto::user::v1::PostalAddress { city: city.into(), ..address() }),
        ..Address::default()
    };
    let book = vec![entry(&work, false, "Wien"), entry(&new_id(), true, "Linz")];
    shop.neighbours.users.0.lock().insert(mara.user_id.to_string(), book);
    for (address_id, city) in [("", "Linz"), (work.as_str(), "Wien")] {
        let order = shop.place(&mara, request(address_id)).await.unwrap().order.unwrap();
        assert_eq!(order.shipping_address.unwrap().city, city);
    }
}
