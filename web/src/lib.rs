//! The pages of the shop, embedded in the binary: no Node, no build step, no file to lose.
//!
//! `/` is the page, `/static/…` its style and scripts, and `/contract.json` the shapes of all messages,
//! from which the page encodes its gRPC-web calls.

mod contract;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may load: only its own files; pictures from the shop; nothing from elsewhere.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";
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
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const PAGES: &[Page] = &[
    Page { path: "/", media_type: HTML, body: include_str!("../static/index.html") },
    Page { path: "/static/style.css", media_type: CSS, body: include_str!("../static/style.css") },
    Page {
        path: "/static/shop.js",
        media_type: JAVASCRIPT,
        body: include_str!("../static/shop.js"),
    },
    Page {
        path: "/static/order.js",
        media_type: JAVASCRIPT,
        body: include_str!("../static/order.js"),
    },
    Page {
        path: "/static/money.js",
        media_type: JAVASCRIPT,
        body: include_str!("../static/money.js"),
    },
    Page {
        path: "/static/protobuf.js",
        media_type: JAVASCRIPT,
        body: include_str!("../static/protobuf.js"),
    },
    Page {
        path: "/static/grpc-web.js",
        media_type: JAVASCRIPT,
        body: include_str!("../static/grpc-web.js"),
    },
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
    ];
    (headers, body).into_response()
}
