//! A port with services: behind the server stack, with health and reflection.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt as _;

use super::listen::{Protocol, listen};
use super::method::services_of;
use super::stack::ServerStack;

/// Why services cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port broke.
    #[error("the listener broke: {0}")]
    Listener(#[from] io::Error),
    /// The contract's descriptors are not what reflection takes.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves these services, each by its name in the directory, until the stack's drain begins: then health says
/// NOT_SERVING, streams end, and calls under way finish within `drain_limit`.
///
/// # Errors
/// [`Error::Listener`], [`Error::Reflection`].
pub async fn serve(
    listener: TcpListener,
    stack: &ServerStack,
    services: Vec<(&'static str, Routes)>,
    drain_limit: Duration,
) -> Result<(), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut names = vec![String::new()];
    let mut router = Routes::new(health).into_axum_router();
    for (name, routes) in services {
        names.extend(services_of(name));
        router = router.merge(routes.into_axum_router().reset_fallback());
    }
    let routes = Routes::from(router)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    report(&reporter, &names, ServingStatus::Serving).await;
    let drain = stack.drain();
    let service = stack.wrap(routes);
    let service = service.map_request(|request: Request<Incoming>| request.map(Body::new));
    let served = listen(listener, service, Protocol::Http2, drain.clone(), drain_limit);
    let closing = async {
        drain.cancelled().await;
        report(&reporter, &names, ServingStatus::NotServing).await;
        pending::<Infallible>().await
    };
    tokio::select! {
        served = served => Ok(served?),
        never = closing => match never {},
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(souk_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn report(reporter: &HealthReporter, names: &[String], status: ServingStatus) {
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}
