//! The edge: the only thing that browsers and phones can reach.
//!
//! One port speaks native gRPC, gRPC-web with CORS, and plain HTTP for the pages, the pictures and the probes. What is
//! forwarded is decided by the contract: methods that nobody but staff and services may call are not there
//! ([`forward`]). The edge knows no business; it refuses no token either, for every service does, and adds no identity
//! of its own to what it forwards. How often one caller may call is its to say ([`limits`]).

pub mod config;
mod cors;
mod forward;
pub mod limits;
mod pictures;

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use souk_mesh::platform::Platform;
use souk_mesh::server::{Protocol, listen};
use souk_mesh::telemetry::{self, Readiness};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Service, ServiceExt as _};

pub use config::Config;

/// The edge's name in logs and metrics.
pub const NAME: &str = "edge";

/// Why the edge cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An allowed origin is not one.
    #[error(
        "edge.allowed_origins: {0:?} is not an origin such as \"https://shop.example\", nor \"*\""
    )]
    BadOrigin(String),
    /// Calls are to be counted in a Redis whose address cannot be used.
    #[error("edge.redis: {0}")]
    Redis(#[from] souk_mesh::redis::Error),
    /// The port broke.
    #[error("the edge's listener broke: {0}")]
    Listener(#[from] io::Error),
}

/// Serves the edge on `listener` until the platform drains; then calls under way finish within `drain_limit`.
///
/// # Errors
/// [`Error::BadOrigin`], [`Error::Redis`], [`Error::Listener`].
pub async fn serve(
    listener: TcpListener,
    platform: &Platform,
    readiness: Readiness,
    config: &Config,
    drain_limit: Duration,
) -> Result<(), Error> {
    let limits = limits::Limits::open(platform, config).await?;
    let router = router(platform, readiness, config, limits)?;
    let service = router.map_request(|request: Request<Incoming>| request.map(Body::new));
    let drain = platform.tasks.token();
    Ok(listen(listener, service, Protocol::Http1And2, drain, drain_limit).await?)
}

/// Everything the port answers.
fn router(
    platform: &Platform,
    readiness: Readiness,
    config: &Config,
    limits: limits::Limits,
) -> Result<Router, Error> {
    let pictures = pictures::routes(platform.directory.forwarding_channel("catalog"))
        .route_layer(from_fn_with_state(limits.clone(), limits::limit_reads));
    let calls = tower::ServiceBuilder::new()
        .layer(GrpcWebLayer::new())
        .service(forward::Forward::new(&platform.directory, limits));
    Ok(Router::new()
        .merge(souk_web::routes())
        .merge(pictures)
        .merge(telemetry::probes(readiness))
        .fallback(move |request: Request<axum::body::Body>| call(calls, request))
        .layer(cors::layer(config)?))
}

/// A browser that mistyped an address gets a plain 404; gRPC-web would tell it of a bad request.
async fn call<S>(calls: S, request: Request<axum::body::Body>) -> axum::response::Response
where
    S: Service<Request<axum::body::Body>, Response = http::Response<Body>, Error = Infallible>,
{
    if !forward::is_call(request.headers()) {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    }
    match calls.oneshot(request).await {
        Ok(answer) => answer.into_response(),
        Err(impossible) => match impossible {},
    }
}
