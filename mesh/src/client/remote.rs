//! Calls over sockets.

use std::error::Error as _;
use std::time::Duration;

use http::{Request, Response, Uri};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, TimeoutExpired};
use tower::{Service as _, ServiceExt as _};

use crate::error;
use crate::server::deadline;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is asked whether it is still there: half-open ones are found in this time and
/// [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to that may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// When to try again a service that could not be reached.
const UNREACHABLE_RETRY: Duration = Duration::from_millis(250);

/// A connection that comes up with its first call, and again after it broke.
pub(super) fn connect(uri: Uri) -> Channel {
    Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .connect_lazy()
}

/// Makes one call; what happens below gRPC becomes a status with a reason.
pub(super) async fn call(
    service: &'static str,
    mut channel: Channel,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let answer = match channel.ready().await {
        Ok(ready) => ready.call(request).await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| status_of(service, &error))
}

fn status_of(service: &str, error: &tonic::transport::Error) -> Status {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<TimeoutExpired>() {
            return deadline::exceeded();
        }
        cause = inner.source();
    }
    // Whether a call that broke on its way was served is not known: UNAVAILABLE, which callers retry under the
    // same request id.
    tracing::debug!(service, error = %error, cause = ?error.source(), "a call broke below gRPC");
    let message = format!("the {service} service cannot be reached");
    error::retriable(Code::Unavailable, "UNREACHABLE", message, UNREACHABLE_RETRY)
}
