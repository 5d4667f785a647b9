//! Which pages may call: CORS as gRPC-web needs it.
//!
//! Protocol: github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md, "CORS support".

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{Config, Error};

/// How long a browser may remember the answer to a preflight.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// What a page's client sends.
const REQUEST_HEADERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("tracestate"),
];
/// What it must be let to read of the answer.
const RESPONSE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// The layer of the configured origins.
pub fn layer(config: &Config) -> Result<CorsLayer, Error> {
    Ok(CorsLayer::new()
        .allow_origin(origins(&config.allowed_origins)?)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(RESPONSE_HEADERS)
        .max_age(MAX_AGE))
}

fn origins(allowed: &[String]) -> Result<AllowOrigin, Error> {
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(AllowOrigin::any());
    }
    let parsed: Result<Vec<HeaderValue>, Error> = allowed
        .iter()
        .map(|origin| {
            let is_origin = origin
                .parse::<http::Uri>()
                .is_ok_and(|uri| uri.scheme().is_some() && uri.path().len() <= 1);
            HeaderValue::from_str(origin)
                .ok()
                .filter(|_| is_origin && !origin.ends_with('/'))
                .ok_or_else(|| Error::BadOrigin(origin.clone()))
        })
        .collect();
    Ok(AllowOrigin::list(parsed?))
}
