//! Callers who call too often, through the edge's own port.

use std::time::Duration;

use souk_edge::Config;
use souk_edge::config::RateLimits;
use souk_edge::limits::{Network, Rate, Rates};
use souk_mesh::error::{reason_of, retry_after_of};
use souk_mesh::identity::Role;
use souk_mesh::testing::signed;
use souk_proto::catalog::v1::GetProductRequest;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::order::v1::GetOrderRequest;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::user::v1::LoginRequest;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::support::{Edge, KNOWN};

/// One call a minute, three at once: no test takes a minute.
pub const FEW: Rate = Rate::new(1, 3);

pub fn few() -> Config {
    let limits = Rates { credentials: FEW, orders: FEW, writes: FEW, reads: FEW };
    Config { limits, ..Config::default() }
}

pub fn read() -> GetProductRequest {
    GetProductRequest { product_id: KNOWN.to_owned() }
}

#[track_caller]
pub fn assert_limited<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason_of(&status).as_deref(), Some("RATE_LIMITED"));
    let wait = retry_after_of(&status).unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let edge = Edge::with(&few()).await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    for _ in 0..3 {
        catalog.get_product(read()).await.unwrap();
    }
    assert_limited(catalog.get_product(read()).await);
    // Over another connection it is the same address.
    let mut again = CatalogServiceClient::new(edge.channel().await);
    assert_limited(again.get_product(read()).await);
}

#[tokio::test]
async fn plain_http_is_told_by_429_and_shares_the_count() {
    let edge = Edge::with(&few()).await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    catalog.get_product(read()).await.unwrap();
    let picture = edge.url(&format!("/pictures/{KNOWN}.svg"));
    for _ in 0..2 {
        assert_eq!(reqwest::get(&picture).await.unwrap().status(), 200);
    }
    let refused = reqwest::get(&picture).await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_limited(catalog.get_product(read()).await);
    // Pages and probes cost nothing and are for everybody.
    for path in ["/", "/health"] {
        assert_eq!(reqwest::get(edge.url(path)).await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn users_are_counted_one_by_one_wherever_they_are() {
    let edge = Edge::with(&few()).await;
    let mut orders = OrderServiceClient::new(edge.channel().await);
    let request = || GetOrderRequest { order_id: KNOWN.to_owned() };
    let (amina, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut get = async |user: &Uuid| {
        orders.get_order(signed(&edge.platform, user, Role::Customer, request())).await
    };
    for _ in 0..3 {
        get(&amina).await.unwrap();
    }
    assert_limited(get(&amina).await);
    get(&other).await.unwrap();
    // A token that is none counts for its address.
    let mut forged = Request::new(request());
    forged.metadata_mut().insert("authorization", "Bearer nonsense".parse().unwrap());
    let refused = orders.get_order(forged).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("BAD_CREDENTIALS"), "the service sees to it");
    for _ in 0..2 {
        orders.get_order(request()).await.unwrap_err();
    }
    assert_limited(orders.get_order(request()).await);
}

#[tokio::test]
async fn guessing_is_counted_by_address_also_for_those_with_a_token() {
    let edge = Edge::with(&few()).await;
    let mut users = UserServiceClient::new(edge.channel().await);
    let guess = || LoginRequest {
        email: "amina@example.com".to_owned(),
        password: "a guess".to_owned(),
        ..LoginRequest::default()
    };
    for _ in 0..3 {
        let answer = users.login(edge.signed(Role::Customer, guess())).await.unwrap_err();
        assert_eq!(answer.code(), Code::Unavailable, "no accounts behind this edge: {answer:?}");
    }
    assert_limited(users.login(edge.signed(Role::Customer, guess())).await);
    assert_limited(users.login(guess()).await);
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    catalog.get_product(read()).await.unwrap();
}

/// A read as a proxy forwards it.
pub async fn forwarded(edge: &Edge, client: &str) -> Result<(), Status> {
    let mut request = Request::new(read());
    request.metadata_mut().insert("x-forwarded-for", client.parse().unwrap());
    CatalogServiceClient::new(edge.channel().await).get_product(request).await.map(|_| ())
}

#[tokio::test]
async fn only_a_trusted_proxy_says_for_whom_it_calls() {
    let untrusting = Edge::with(&few()).await;
    for client in 0..3 {
        forwarded(&untrusting, &format!("192.0.2.{client}")).await.unwrap();
    }
    assert_limited(forwarded(&untrusting, "192.0.2.99").await);

    let proxies = vec![Network::try_from("127.0.0.0/8".to_owned()).unwrap()];
    let trusting = Edge::with(&Config { trusted_proxies: proxies, ..few() }).await;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        for _ in 0..3 {
            forwarded(&trusting, client).await.unwrap();
        }
        assert_limited(forwarded(&trusting, client).await);
        // What the client adds itself comes before what the proxy says.
        assert_limited(forwarded(&trusting, &format!("203.0.113.5, {client}")).await);
    }
}

#[tokio::test]
async fn limits_that_are_off_limit_nobody() {
    let edge = Edge::with(&Config { rate_limits: RateLimits::Off, ..few() }).await;
    let mut catalog = CatalogServiceClient::new(edge.channel().await);
    for _ in 0..50 {
        catalog.get_product(read()).await.unwrap();
    }
}
