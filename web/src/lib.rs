//! The pages of the shop, embedded in the binary: no Node, no build step, no file to lose.
//!
//! `/` is the page, `/static/…` its style and scripts, and `/contract.json` the shapes of all messages,
//! from which the page encodes its gRPC-web calls.

mod contract;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may load: only its own files; pictures from the shop; nothing from elsewhere.
const POLICY: &str =
    "default-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
/// Pages change with the binary, so a browser asks again rather than keep an old one.
const REVALIDATE: &str = "no-cache";

/// An embedded file: the path that it is served at, its media type, its bytes.
struct Page {
    path: &'static str,
    media_type: &'static str,
    body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A script of the page: a module below `/static/`.
macro_rules! script {
    ($name:literal) => {
        Page {
            path: concat!("/static/", $name),
            media_type: JAVASCRIPT,
            body: include_str!(concat!("../static/", $name)),
        }
    };
}

const PAGES: &[Page] = &[
    Page { path: "/", media_type: HTML, body: include_str!("../static/index.html") },
    Page { path: "/static/style.css", media_type: CSS, body: include_str!("../static/style.css") },
    Page { path: "/static/icon.svg", media_type: SVG, body: include_str!("../static/icon.svg") },
    script!("shop.js"),
    script!("products.js"),
    script!("search.js"),
    script!("basket.js"),
    script!("session.js"),
    script!("checkout.js"),
    script!("order.js"),
    script!("dom.js"),
    script!("money.js"),
    script!("protobuf.js"),
    script!("grpc-web.js"),
];

/// The routes of all pages; the edge merges them into its own.
pub fn routes() -> Router {
    let contract = contract::json();
    let pages = PAGES.iter().fold(Router::new(), |router, page| {
        router.route(page.path, get(|| async { answer(page.media_type, page.body) }))
    });
    pages.route(
        "/contract.json",
        get(move || async move { answer("application/json", contract.clone()) }),
    )
}

fn answer(media_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, REVALIDATE),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ];
    (headers, body).into_response()
}
