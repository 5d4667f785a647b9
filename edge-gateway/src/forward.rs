//! From the edge's port to the service that owns a method, as the contract says who may call it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use souk_mesh::client::{Channel, Directory};
use souk_mesh::error::status;
use souk_mesh::telemetry;
use souk_proto::access::{self, MethodAccess};
use souk_proto::options::v1::Access;
use tonic::Code;
use tonic::body::Body;
use tower::Service;

use crate::limits::{Class, Limits, class_of};

/// Packages of the contract and the services of the directory that they are served by.
const SERVICES: &[(&str, &str)] = &[
    ("souk.user.v1.", "user"),
    ("souk.catalog.v1.", "catalog"),
    ("souk.cart.v1.", "cart"),
    ("souk.order.v1.", "order"),
    ("souk.payment.v1.", "payment"),
    ("souk.notify.v1.", "notify"),
    ("souk.search.v1.", "search"),
];

/// Forwards calls by their path.
#[derive(Clone)]
pub struct Forward {
    /// Path of a method → the way to its service. Only what the edge lets through.
    ways: Arc<HashMap<&'static str, Way>>,
    limits: Limits,
}

/// Where a method is, and what it is counted as.
#[derive(Clone)]
struct Way {
    channel: Channel,
    class: Option<Class>,
}

impl Forward {
    /// Lets through what customers, or everybody, may call, as often as `limits` say.
    pub fn new(directory: &Directory, limits: Limits) -> Self {
        let ways = access::all().filter(|method| is_exposed(method)).filter_map(|method| {
            let (_, service) =
                SERVICES.iter().find(|(package, _)| method.service.starts_with(package))?;
            let class = class_of(&method.service, &method.method, method.is_public());
            let channel = directory.forwarding_channel(service);
            Some((method.path.as_str(), Way { channel, class }))
        });
        Self { ways: Arc::new(ways.collect()), limits }
    }
}

fn is_exposed(method: &MethodAccess) -> bool {
    method.is_public() || method.allows(Access::Customer)
}

impl Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let way = self.ways.get(request.uri().path()).cloned();
        let limits = self.limits.clone();
        Box::pin(async move {
            let Some(Way { channel, class }) = way else { return Ok(not_here(&request)) };
            let (parts, body) = request.into_parts();
            if let Some(class) = class
                && let Err(refusal) = limits.admit(class, &parts).await
            {
                return Ok(refusal.into_http());
            }
            let request = Request::from_parts(parts, body);
            let traceparent = request.headers().get(telemetry::TRACEPARENT);
            let traceparent = traceparent.and_then(|value| value.to_str().ok()).map(str::to_owned);
            let path = request.uri().path().to_owned();
            let answer =
                telemetry::in_trace(&path, traceparent.as_deref(), send(channel, request)).await;
            Ok(answer)
        })
    }
}

async fn send(mut way: Channel, request: Request<Body>) -> Response<Body> {
    way.call(request).await.unwrap_or_else(|status| status.into_http())
}

/// Whether a request wants to be a call: by native gRPC or by gRPC-web.
pub fn is_call(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn not_here(request: &Request<Body>) -> Response<Body> {
    let message = format!("the edge has no method {}", request.uri().path());
    status(Code::Unimplemented, "NOT_EXPOSED", message).into_http()
}
