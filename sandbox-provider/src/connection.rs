//! Connections: accepted within a bound, served until the drain, and hung up on without an answer
//! where a fault wants it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Connections served at the same time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a client may take to send a request's head, idle time between requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long requests in flight may take once the drain has begun.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// The pause after a failed accept (out of file descriptors), so that it is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Marks a response that must not be sent: the connection is closed in its place.
#[derive(Debug, Clone, Copy)]
pub struct HangUp;

impl HangUp {
    /// A response that closes the connection.
    pub fn reply() -> Response<Body> {
        let mut reply = Response::new(Body::empty());
        reply.extensions_mut().insert(HangUp);
        reply
    }
}

/// What hyper gets to see in place of an answer, upon which it closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("hung up without an answer, as the token wants it")]
struct HungUp;

/// Serves `routes` until `shutdown`, then finishes what is in flight.
pub async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (routes, shutdown) = (routes.clone(), shutdown.clone());
        connections.spawn(async move {
            converse(stream, routes, shutdown).await;
            drop(permit);
        });
    }
    connections.close();
    if tokio::time::timeout(DRAIN_LIMIT, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut off at the drain's end");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn converse(stream: TcpStream, routes: Router, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection was gone at once");
        return;
    }
    let service = service_fn(move |request| {
        let mut routes = routes.clone();
        async move {
            let reply = routes.call(request).await.unwrap_or_else(|never| match never {});
            if reply.extensions().get::<HangUp>().is_some() { Err(HungUp) } else { Ok(reply) }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}
