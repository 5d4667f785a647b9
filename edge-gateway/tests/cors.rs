//! Which pages may call, as browsers ask before they do.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};
use reqwest::{Method, StatusCode};
use souk_edge::{Config, Error};
use souk_mesh::platform::Platform;
use tokio::net::TcpListener;

use crate::support::Edge;

const GET_PRODUCT: &str = "/souk.catalog.v1.CatalogService/GetProduct";
const OURS: &str = "https://shop.example";
const THEIRS: &str = "https://evil.example";

async fn preflight(edge: &Edge, origin: &str) -> HeaderMap {
    let asked = "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent";
    let answer = reqwest::Client::new()
        .request(Method::OPTIONS, edge.url(GET_PRODUCT))
        .header(ORIGIN, origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.headers().clone()
}

fn only(origins: &[&str]) -> Config {
    let allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Config { allowed_origins, ..Config::default() }
}

fn names(headers: &HeaderMap, name: &str) -> Vec<String> {
    let value = headers.get(name).map(HeaderValue::to_str).unwrap().unwrap();
    value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn a_preflight_allows_what_a_grpc_web_client_sends() {
    let edge = Edge::open().await;
    let headers = preflight(&edge, OURS).await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(names(&headers, "access-control-allow-methods").contains(&"post".to_owned()));
    let allowed = names(&headers, "access-control-allow-headers");
    for header in ["authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"] {
        assert!(allowed.contains(&header.to_owned()), "{header} is not among {allowed:?}");
    }
    assert!(headers.contains_key("access-control-max-age"));
    let credentials = HeaderName::from_static("access-control-allow-credentials");
    assert!(!headers.contains_key(credentials), "no cookies: a token says who calls");
}

#[tokio::test]
async fn a_page_may_read_how_a_call_ended() {
    let edge = Edge::open().await;
    let answer = reqwest::Client::new()
        .post(edge.url(GET_PRODUCT))
        .header(ORIGIN, OURS)
        .header("content-type", "application/grpc-web+proto")
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let exposed = names(answer.headers(), "access-control-expose-headers");
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(&header.to_owned()), "{header} is not among {exposed:?}");
    }
}

#[tokio::test]
async fn a_list_of_origins_lets_in_these_and_no_others() {
    let edge = Edge::with(&only(&[OURS, "http://localhost:3000"])).await;
    let ours = preflight(&edge, OURS).await;
    assert_eq!(ours["access-control-allow-origin"], OURS);
    let local = preflight(&edge, "http://localhost:3000").await;
    assert_eq!(local["access-control-allow-origin"], "http://localhost:3000");
    let theirs = preflight(&edge, THEIRS).await;
    assert!(!theirs.contains_key("access-control-allow-origin"));
    let vary = names(&ours, "vary");
    assert!(vary.contains(&"origin".to_owned()), "a cache must keep the answers apart: {vary:?}");
}

#[tokio::test]
async fn what_is_no_origin_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let platform = Platform::for_tests(temp.path());
    for wrong in ["shop.example", "https://shop.example/", "https://shop.example/path", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (readiness, limit) = (platform.readiness.clone(), std::time::Duration::ZERO);
        let config = only(&[OURS, wrong]);
        let served = souk_edge::serve(listener, &platform, readiness, &config, limit).await;
        let Err(Error::BadOrigin(named)) = served else { panic!("{wrong:?} was taken") };
        assert_eq!(named, wrong);
    }
}
