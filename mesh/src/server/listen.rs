//! Connections: accepted, bounded, kept alive, aged, and drained.
//!
//! Not tonic's own server: it answers CANCELLED to a call whose `grpc-timeout` is over (its `GrpcTimeout` layer
//! cannot be taken out), and it speaks either HTTP/2 or both to all, where the edge and the mesh differ.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

use super::linger::Lingering;

/// Connections at once; more wait in the system's backlog.
const MAX_CONNECTIONS: usize = 16_384;
/// Calls at once on one connection.
const MAX_STREAMS: u32 = 1_024;
/// The largest set of headers, in bytes: a token, and room to spare.
const MAX_HEADER_BYTES: u32 = 32 * 1_024;
/// How much of one call, and of one connection, may be under way unread, in bytes.
const STREAM_WINDOW: u32 = 1_024 * 1_024;
const CONNECTION_WINDOW: u32 = 4 * 1_024 * 1_024;
/// How often a quiet connection is asked whether it is still there, and how long the answer may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/1 client may take until it has sent its next headers, quiet time included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How old a connection gets, so that clients find new servers; up to a tenth more, so that not all go at once.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long calls on an old connection may go on after it takes no new ones.
const AGE_GRACE: Duration = Duration::from_secs(10 * 60);
/// How long to wait when the system has no more sockets for us.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge, as gRPC clients do.
    Http2,
    /// HTTP/1.1 as well, as browsers do without TLS.
    Http1And2,
}

/// Serves connections until `drain` is cancelled; then takes no new ones, lets calls that are under way finish for
/// at most `drain_limit`, and cuts what is left. The peer's address is in every request's extensions, as axum's
/// [`ConnectInfo`].
///
/// # Errors
/// When the listener itself breaks.
pub async fn listen<S, B>(
    listener: TcpListener,
    service: S,
    protocol: Protocol,
    drain: CancellationToken,
    drain_limit: Duration,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let builder = builder(protocol);
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some((stream, peer, place)) = accept(&listener, &places, &drain).await? {
        let builder = builder.clone();
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let drain = drain.clone();
        connections.spawn(async move {
            let service = TowerToHyperService::new(service);
            let connection =
                builder.serve_connection(TokioIo::new(Lingering::new(stream)), service);
            let mut connection = pin!(connection);
            let grace = tokio::select! {
                ended = connection.as_mut() => return ended_with(ended, peer),
                () = drain.cancelled() => drain_limit,
                () = sleep(MAX_AGE.mul_f64(1.0 + rand::random::<f64>() / 10.0)) => AGE_GRACE,
            };
            connection.as_mut().graceful_shutdown();
            let drained = drain_or_age_out(&drain, drain_limit, grace);
            tokio::select! {
                ended = connection.as_mut() => ended_with(ended, peer),
                () = drained => tracing::warn!(%peer, "a connection was cut with calls under way"),
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    // Every connection ends by itself within the limit; the second's worth of slack is for the scheduler.
    let _ = timeout(drain_limit + Duration::from_secs(1), connections.wait()).await;
    Ok(())
}

/// Ends when the grace of an old connection does, or the drain's limit, when one begins meanwhile.
async fn drain_or_age_out(drain: &CancellationToken, drain_limit: Duration, grace: Duration) {
    tokio::select! {
        () = sleep(grace) => {}
        () = async { drain.cancelled().await; sleep(drain_limit).await } => {}
    }
}

/// The next connection, with its place; nothing once the drain began.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    drain: &CancellationToken,
) -> io::Result<Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)>> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(None),
            place = Arc::clone(places).acquire_owned() => match place {
                Ok(place) => tokio::select! {
                    () = drain.cancelled() => return Ok(None),
                    accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, peer, place)),
                },
                Err(_closed) => return Ok(None),
            },
        };
        match accepted {
            Ok((stream, peer, place)) => {
                // Small answers must not wait for more: without it, they may by 40 ms. A failure is the peer's going.
                let _ = stream.set_nodelay(true);
                return Ok(Some((stream, peer, place)));
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether accepting failed for one connection, or for want of file handles, and not for the listener.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    /// `EMFILE` and `ENFILE`, the same on Linux, macOS and the BSDs.
    const OUT_OF_HANDLES: [i32; 2] = [24, 23];
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
        || error.raw_os_error().is_some_and(|code| OUT_OF_HANDLES.contains(&code))
}

fn builder(protocol: Protocol) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    match protocol {
        Protocol::Http2 => builder.http2_only(),
        Protocol::Http1And2 => builder,
    }
}

fn ended_with(ended: Result<(), Box<dyn StdError + Send + Sync>>, peer: SocketAddr) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}
