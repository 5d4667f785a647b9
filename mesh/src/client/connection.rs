//! One HTTP/2 connection to one replica of a service.
//!
//! Not tonic's own channel: it connects behind the call's back, so nobody can tell a call that never left from one
//! that broke on its way, and a request that could not be sent is gone. Here it comes back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri, uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tower::Service;

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
    /// It never left this process, and may go elsewhere.
    Unsent(Box<Request<Body>>),
    /// It broke on its way. Whether it was served is not known.
    Broken(hyper::Error),
}

/// The sending half of a connection. Clones send over the same one.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    authority: uri::Authority,
}

/// The connection has ended.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
pub(super) struct Ended;

/// Resolves when the connection takes no more calls; makes progress only while it is polled.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// Connects to the replica at `address`.
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
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver: Driver = Box::pin(connection);
        Ok((Connection { sender, authority: authority.clone() }, driver))
    };
    timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Service<Request<Body>> for Connection {
    type Response = Answer;
    type Error = Ended;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Ended>> + Send>>;

    /// Never pending: a connection takes calls, or it has ended.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        Poll::Ready(if self.sender.is_closed() { Err(Ended) } else { Ok(()) })
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let target = std::mem::take(request.uri_mut());
        *request.uri_mut() = at(target, self.authority.clone());
        let sent = self.sender.try_send_request(request);
        Box::pin(async move {
            Ok(sent.await.map(|response| response.map(Body::new)).map_err(|mut error| match error
                .take_message()
            {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::Broken(error.into_error()),
            }))
        })
    }
}

/// The same path, at this replica.
fn at(target: Uri, authority: uri::Authority) -> Uri {
    let mut parts = target.into_parts();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme, authority and path make an address")
}
