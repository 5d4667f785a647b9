//! The page in a real browser. What customers do is in browser/page.mjs; what they must see, here.

use std::process::Stdio;

use serde_json::Value;
use souk_proto::catalog::v1::{AdjustInventoryRequest, ListProductsRequest};
use souk_proto::order::v1::{ListOrdersRequest, Order, OrderState};
use uuid::Uuid;

use crate::support::{PATIENCE, Shop};
use crate::tools;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/page.mjs");
/// How an order goes that nothing stops.
const WAY: [&str; 7] = [
    "Order received",
    "Stock held",
    "Payment prepared",
    "Payment authorized",
    "Order confirmed",
    "Items set aside",
    "Payment captured",
];

/// What a customer saw who did `scenario`; `None` where there is no browser. A page that complains has failed.
async fn visit(shop: &Shop, scenario: &str) -> Option<Value> {
    let (node, chromium) = (tools::program("node")?, tools::program("chromium")?);
    let packages = tools::node_modules("playwright-core")?;
    let mut command = tokio::process::Command::new(node);
    command.arg(SCRIPT).args([scenario, &shop.edge.url()]).arg(chromium);
    command.env("NODE_PATH", packages).stdin(Stdio::null()).kill_on_drop(true);
    let visited = tokio::time::timeout(PATIENCE * 2, command.output()).await;
    let visited = visited.expect("the visit ends").unwrap();
    let errors = String::from_utf8_lossy(&visited.stderr);
    assert!(visited.status.success(), "{scenario}: {errors}");
    let seen: Value = serde_json::from_slice(&visited.stdout).unwrap();
    assert_eq!(seen["complaints"], Value::Array(Vec::new()), "{scenario}: the console is clean");
    Some(seen)
}

fn texts(seen: &Value) -> Vec<&str> {
    seen.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The order that the page shows, as the shop has it.
async fn order(shop: &Shop, shown: &Value) -> Order {
    shop.staff().read(shown["order_id"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_shown_and_found() {
    let shop = Shop::start().await;
    let products = ListProductsRequest { page_size: 1, ..Default::default() };
    let listed = shop.stranger().catalog().list_products(products).await.unwrap().into_inner();
    let first = &listed.products[0];
    let sell_out = AdjustInventoryRequest {
        request_id: Uuid::new_v4().to_string(),
        product_id: first.product_id.clone(),
        delta: -first.available_quantity.unwrap(),
        ..Default::default()
    };
    shop.staff().catalog().adjust_inventory(sell_out).await.unwrap();

    let Some(seen) = visit(&shop, "browse").await else { return };
    assert_eq!(texts(&seen["everything"]).len(), 24, "a page of products");
    assert!(seen["pictures"].as_u64().unwrap() > 0, "a picture that can be drawn");
    assert_eq!(texts(&seen["sold_out"]), [first.name.as_str()]);
    assert_eq!(seen["sold_out_can_be_added"], 0);
    let category = texts(&seen["category"]);
    assert!(category.contains(&"Ivory Porcelain Teapot"), "{category:?}");
    assert!(!category.contains(&"Belt-Drive Turntable"), "{category:?}");
    assert!(texts(&seen["suggestions"]).contains(&"Ivory Porcelain Teapot"));
    assert_eq!(seen["chosen"], "teapot", "the first suggestion");
    assert_eq!(texts(&seen["found"]), ["Ivory Porcelain Teapot"]);
    assert!(texts(&seen["nothing"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_its_steps_are_shown_in_order() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "order").await else { return };
    assert_eq!(texts(&seen["invalid"]), ["email", "password"]);
    let problem = seen["problem"].as_str().unwrap();
    assert!(problem.contains("E-mail") && problem.contains("Password"), "{problem}");

    let shown = &seen["order"];
    assert_eq!(texts(&shown["steps"])[..WAY.len()], WAY);
    assert_eq!(shown["state"], "ORDER_STATE_PROCESSING");
    assert_eq!(shown["basket"], 0, "what is ordered leaves the basket");
    let order = order(&shop, shown).await;
    assert_eq!(order.state(), OrderState::Processing);
    assert_eq!(order.lines[0].quantity, 2, "one before and one after the form was complete");
    let total = order.total.unwrap();
    let total = format!("€{}.{:02}", total.units, total.nanos / 10_000_000);
    assert_eq!(shown["total"], total);
    assert!(shop.ledger.net(&order.order_id).await > 0, "the provider took it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_placed_once() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "lost_answer").await else { return };
    assert_eq!(seen["tries"], 2);
    let listed =
        shop.staff().orders().list_orders(ListOrdersRequest::default()).await.unwrap().into_inner();
    let [order] = listed.orders.as_slice() else { panic!("one order: {:?}", listed.orders) };
    assert_eq!(seen["order"]["order_id"], order.order_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_is_undone_before_the_customers_eyes() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "cancel").await else { return };
    let shown = &seen["order"];
    let steps = texts(&shown["steps"]);
    assert_eq!(steps[..WAY.len()], WAY);
    let undone = ["Order cancelled (changed my mind)", "Payment returned", "Stock released"];
    assert_eq!(steps[steps.len() - undone.len()..], undone);
    assert_eq!(shown["headline"], "Cancelled");
    assert_eq!(seen["can_cancel"], false);
    let order = order(&shop, shown).await;
    assert_eq!(order.state(), OrderState::Cancelled);
    assert_eq!(shop.ledger.net(&order.order_id).await, 0, "the money is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_told_and_the_basket_kept_for_another_one() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "declined").await else { return };
    let refused = &seen["refused"];
    assert_eq!(refused["headline"], "Not ordered");
    let words = refused["words"].as_str().unwrap();
    assert!(words.contains("declined") && words.contains("Nothing was charged"), "{words}");
    assert!(texts(&refused["steps"]).contains(&"Payment declined"));
    assert_eq!(refused["basket"], 1, "nothing is ordered yet");
    assert_eq!(order(&shop, refused).await.state(), OrderState::Cancelled);

    let placed = &seen["order"];
    assert_ne!(placed["order_id"], refused["order_id"]);
    assert_eq!(texts(&placed["steps"])[..WAY.len()], WAY);
    assert_eq!(placed["basket"], 0);
    assert_eq!(order(&shop, placed).await.state(), OrderState::Processing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_approved_at_the_bank_and_the_order_goes_on() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "challenge").await else { return };
    assert_eq!(seen["waiting"]["headline"], "One more step");
    assert_eq!(seen["waiting"]["state"], "ORDER_STATE_PENDING");
    let steps = texts(&seen["order"]["steps"]);
    let asked = ["Your bank asks for your approval", "Waiting for your approval"];
    let rest = [&WAY[..3], &asked, &WAY[3..]].concat();
    assert_eq!(steps[..rest.len()], rest);
    assert_eq!(seen["order"]["headline"], "Thank you!");
    let order = order(&shop, &seen["order"]).await;
    assert_eq!(order.state(), OrderState::Processing);
    assert!(shop.ledger.net(&order.order_id).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_dropped_and_a_shop_that_is_away_is_said_to_be() {
    let shop = Shop::start().await;
    let Some(seen) = visit(&shop, "away").await else { return };
    assert!(!texts(&seen["with_stale_token"]).is_empty(), "products are for everybody");
    assert_eq!(seen["token"], Value::Null);
    assert_eq!(seen["away"], "The shop cannot be reached.");
    assert!(!texts(&seen["back"]).is_empty());
    let without_contract = seen["without_contract"].as_str().unwrap();
    assert!(without_contract.contains("The shop cannot be reached."), "{without_contract}");
}
