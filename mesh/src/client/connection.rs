//! One HTTP/2 connection to one replica of a service.
//!
//! Not tonic's own channel: it connects behind the call's back, so nobody can tell a call that never left from one
//! that broke on its way, and a request that could not be sent is gone. Here it comes back.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri, uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tower::Service;

use super::heard::Heard;
use super::kept;

/// How long a connection may take to come up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is asked whether it is still there: half-open ones are found in this time and
/// [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to that may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The port of `http`, where an address names none.
const DEFAULT_PORT: u16 = 80;

/// What became of a call that went to a replica.
pub(super) type Answer = Result<Response<Body>, Failure>;

/// Why a call has no answer.
pub(super) enum Failure {
    /// It was certainly not served, and may go elsewhere: it never left this process, or the replica said that it takes
    /// it no more.
    Unserved(Box<Request<Body>>),
    /// It broke on its way. Whether it was served is not known.
    Broken(hyper::Error),
}

/// The sending half of a connection. Clones send over the same one.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    authority: uri::Authority,
    /// Whether the replica has refused a call: it drains, and hyper may not have noticed yet that it does.
    refuses: Arc<AtomicBool>,
}

/// The connection has ended.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
pub(super) struct Ended;

/// Resolves when the connection takes no more calls; makes progress only while it is polled.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// Connects to the replica at `address`, and waits until it has spoken: until then nobody may be there to serve a call.
///
/// # Errors
/// When nobody answers there in time, or not as HTTP/2 has it.
pub(super) async fn open(address: &Uri) -> io::Result<(Connection, Driver)> {
    let Some(authority) = address.authority().cloned() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the address names no host"));
    };
    let opening = async {
        let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
        let stream = TcpStream::connect(format!("{}:{port}", authority.host())).await?;
        // Small calls must not wait for more of them.
        stream.set_nodelay(true)?;
        let (reading, writing) = stream.into_split();
        let (reading, heard) = Heard::new(reading);
        let stream = TokioIo::new(tokio::io::join(reading, writing));
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let mut driver: Driver = Box::pin(connection);
        tokio::select! {
            ended = &mut driver => {
                let error = ended.err().map_or_else(|| io::ErrorKind::ConnectionAborted.into(), io::Error::other);
                return Err(error);
            }
            // An error: the socket is gone, and the driver is about to say why.
            Ok(()) = heard => {}
        }
        let refuses = Arc::default();
        Ok((Connection { sender, authority: authority.clone(), refuses }, driver))
    };
    timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Service<Request<Body>> for Connection {
    type Response = Answer;
    type Error = Ended;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Ended>> + Send>>;

    /// Never pending: a connection takes calls, or it has ended.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let has_ended = self.sender.is_closed() || self.refuses.load(Ordering::Relaxed);
        Poll::Ready(if has_ended { Err(Ended) } else { Ok(()) })
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let target = std::mem::take(request.uri_mut());
        *request.uri_mut() = at(target, self.authority.clone());
        let (request, copy) = kept::keep(request);
        let sent = self.sender.try_send_request(request);
        let refuses = Arc::clone(&self.refuses);
        Box::pin(async move {
            let mut error = match sent.await {
                Ok(response) => return Ok(Ok(response.map(Body::new))),
                Err(error) => error,
            };
            if let Some(request) = error.take_message() {
                return Ok(Err(Failure::Unserved(Box::new(request))));
            }
            let error = error.into_error();
            if !is_refused(&error) {
                return Ok(Err(Failure::Broken(error)));
            }
            refuses.store(true, Ordering::Relaxed);
            Ok(Err(match copy.into_request() {
                Some(request) => Failure::Unserved(Box::new(request)),
                None => Failure::Broken(error),
            }))
        })
    }
}

/// Whether the replica says that it has not looked at the call: it came behind the last one that its GOAWAY names, or was
/// reset as REFUSED_STREAM (RFC 9113, 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

/// The same path, at this replica.
fn at(target: Uri, authority: uri::Authority) -> Uri {
    let mut parts = target.into_parts();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme, authority and path make an address")
}
