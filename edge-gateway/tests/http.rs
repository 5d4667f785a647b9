//! What a browser and a load balancer get without gRPC: probes, pages, the contract, pictures.

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Edge, KNOWN, PICTURE, UNKNOWN};

async fn get(edge: &Edge, path: &str) -> reqwest::Response {
    reqwest::get(edge.url(path)).await.unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_probes_tell_alive_from_ready() {
    let edge = Edge::open().await;
    assert_eq!(get(&edge, "/health").await.status(), StatusCode::OK);
    assert_eq!(get(&edge, "/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    edge.platform.readiness.set_ready();
    assert_eq!(get(&edge, "/ready").await.status(), StatusCode::OK);
    assert_eq!(get(&edge, "/metrics").await.status(), StatusCode::NOT_FOUND, "metrics stay inside");
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_run_nothing_inline() {
    let edge = Edge::open().await;
    let page = get(&edge, "/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&page, "cache-control"), "no-cache");
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    let policy = header(&page, "content-security-policy");
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    let body = page.text().await.unwrap();
    assert!(!body.contains("<style") && !body.contains("style="), "the policy stops inline styles");
    let parts = body.split('"').filter(|part| part.starts_with("/static/"));
    let mut count = 0;
    for part in parts {
        assert_eq!(get(&edge, part).await.status(), StatusCode::OK, "{part}");
        count += 1;
    }
    assert!(count >= 2, "a page has a style and a script");
}

#[tokio::test]
async fn every_module_that_a_script_imports_is_served() {
    let edge = Edge::open().await;
    let mut waiting = vec!["/static/shop.js".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        let script = get(&edge, &path).await;
        assert_eq!(script.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&script, "content-type"), "text/javascript; charset=utf-8");
        let text = script.text().await.unwrap();
        seen.push(path);
        let imports = text.lines().filter(|line| line.starts_with("import "));
        for name in imports.filter_map(|line| line.split("\"./").nth(1)?.split('"').next()) {
            let path = format!("/static/{name}");
            if !seen.contains(&path) && !waiting.contains(&path) {
                waiting.push(path);
            }
        }
    }
    assert!(seen.len() > 3, "{seen:?}");
}

#[tokio::test]
async fn the_contract_has_the_numbers_that_a_page_encodes_by() {
    let edge = Edge::open().await;
    let answer = get(&edge, "/contract.json").await;
    assert_eq!(header(&answer, "content-type"), "application/json");
    let contract: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let fields = contract["messages"]["souk.order.v1.PlaceOrderRequest"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("request_id")["number"], 1);
    assert_eq!(field("lines")["repeated"], true);
    assert_eq!(field("lines")["type"], "souk.order.v1.PlaceOrderLine");
    assert_eq!(contract["enums"]["souk.order.v1.OrderState"]["1"], "ORDER_STATE_PENDING");
    let kinds = contract["messages"].as_object().unwrap().iter().flat_map(|(message, fields)| {
        let fields = fields.as_array().unwrap();
        fields.iter().map(move |field| (message, &field["name"], &field["kind"]))
    });
    let ours = kinds.filter(|(message, ..)| message.starts_with("souk."));
    for (message, name, kind) in ours {
        assert_ne!(kind, "unsupported", "{message}.{name}: the page cannot read it");
    }
}

#[tokio::test]
async fn a_picture_is_served_as_one_and_cannot_run_anything() {
    let edge = Edge::open().await;
    let picture = get(&edge, &format!("/pictures/{KNOWN}.svg")).await;
    assert_eq!(picture.status(), StatusCode::OK);
    assert_eq!(header(&picture, "content-type"), "image/svg+xml");
    assert_eq!(header(&picture, "x-content-type-options"), "nosniff");
    assert!(header(&picture, "cache-control").contains("max-age"));
    assert!(header(&picture, "content-security-policy").contains("default-src 'none'"));
    assert_eq!(picture.text().await.unwrap(), PICTURE);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let edge = Edge::open().await;
    for path in [
        format!("/pictures/{UNKNOWN}.svg"),
        format!("/pictures/{KNOWN}.png"),
        "/pictures/..%2F..%2Fetc.svg".to_owned(),
        "/static/none.js".to_owned(),
        "/favicon.ico".to_owned(),
    ] {
        assert_eq!(get(&edge, &path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_picture_of_a_catalog_that_is_away_may_be_asked_for_again() {
    let edge = Edge::without_services(&Default::default()).await;
    let path = format!("/pictures/{KNOWN}.svg");
    let away = get(&edge, &path).await;
    assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!header(&away, "cache-control").contains("max-age"));
    edge.bind_services();
    assert_eq!(get(&edge, &path).await.status(), StatusCode::OK);
}
