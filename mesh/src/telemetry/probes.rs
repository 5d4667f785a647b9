//! What probes and Prometheus ask over HTTP: `/health`, `/ready` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

/// The content type of Prometheus' text format 0.0.4.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether this process wants calls: not before it is up, and not once it drains. Clones are the same.
#[derive(Clone)]
pub struct Readiness {
    up: Arc<AtomicBool>,
    drain: CancellationToken,
}

impl Readiness {
    /// Not ready yet; not ready any more once `drain` is cancelled.
    #[must_use]
    pub fn new(drain: CancellationToken) -> Self {
        Self { up: Arc::default(), drain }
    }

    /// Everything is up.
    pub fn set_ready(&self) {
        self.up.store(true, Ordering::Release);
    }

    /// Whether calls are welcome.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.up.load(Ordering::Acquire) && !self.drain.is_cancelled()
    }
}

/// The probes, and `/metrics` in Prometheus' text format.
pub fn router(readiness: Readiness) -> Router {
    probes(readiness).route("/metrics", get(metrics))
}

/// `/health`: 200 while the process answers at all. `/ready`: 200 or 503.
pub fn probes(readiness: Readiness) -> Router {
    let ready = move || {
        let (status, text) = if readiness.is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        std::future::ready((status, text))
    };
    Router::new().route("/health", get(|| std::future::ready("ok\n"))).route("/ready", get(ready))
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT_FORMAT)], super::render_metrics())
}
