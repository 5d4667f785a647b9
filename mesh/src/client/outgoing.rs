//! What every call carries out: trace, what is left of the deadline, and who calls.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::clock::SharedClock;
use crate::context::{CallContext, TraceContext};
use crate::error;
use crate::identity::{Caller, Keys, Role};
use crate::server::deadline;
use crate::telemetry;

/// How long a service's own token is good for.
const TOKEN_TTL: Duration = Duration::from_secs(300);
/// How long before a token's end it is made anew: longer than any deadline.
const RENEW_BEFORE_MS: i64 = 60_000;

/// What an in-process call hands over beside its headers. It is a request extension, which no socket can set.
#[derive(Debug, Clone)]
pub(crate) struct InProcess {
    /// The service that calls, unless the request carries another's token.
    pub(crate) caller: Option<Caller>,
    /// The trace that the call belongs to, if it has begun.
    pub(crate) trace: Option<TraceContext>,
    /// When the caller stops waiting, if ever.
    pub(crate) deadline: Option<Instant>,
}

/// The service that makes a channel's calls.
pub(super) struct Identity {
    caller: Caller,
    keys: Arc<Keys>,
    clock: SharedClock,
    token: Mutex<Option<Token>>,
}

struct Token {
    bearer: HeaderValue,
    renew_at_ms: i64,
}

impl Identity {
    pub(super) fn new(service: &str, keys: Arc<Keys>, clock: SharedClock) -> Self {
        Self { caller: Caller::service(service), keys, clock, token: Mutex::new(None) }
    }

    /// `Bearer …`, for an `authorization` header.
    fn bearer(&self) -> Result<HeaderValue, Status> {
        let now_ms = self.clock.now_ms();
        let mut token = self.token.lock();
        if let Some(token) = token.as_ref().filter(|token| now_ms < token.renew_at_ms) {
            return Ok(token.bearer.clone());
        }
        let no_token = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "cannot sign a service's own token");
            error::status(Code::Internal, "NO_SERVICE_TOKEN", "cannot sign a service's own token")
        };
        let signed = self
            .keys
            .signer
            .sign(&self.caller.subject, Role::Service, TOKEN_TTL, now_ms)
            .map_err(|error| no_token(&error))?;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {signed}")).map_err(|error| no_token(&error))?;
        bearer.set_sensitive(true);
        let ttl_ms = i64::try_from(TOKEN_TTL.as_millis()).unwrap_or(i64::MAX);
        *token = Some(Token {
            bearer: bearer.clone(),
            renew_at_ms: now_ms.saturating_add(ttl_ms - RENEW_BEFORE_MS),
        });
        Ok(bearer)
    }
}

/// Hands the running call's context and the caller over to a server stack in this process.
pub(super) fn attach_local<B>(request: &mut Request<B>, identity: Option<&Identity>) {
    let (trace, deadline) = carried(request.headers());
    let caller = match identity {
        Some(identity) if !request.headers().contains_key(AUTHORIZATION) => {
            Some(identity.caller.clone())
        }
        _ => None,
    };
    request.extensions_mut().insert(InProcess { caller, trace, deadline });
}

/// Writes the running call's context and the caller into the headers, for a server elsewhere.
///
/// # Errors
/// DEADLINE_EXCEEDED when nothing is left to wait; INTERNAL when the service's token cannot be signed.
pub(super) fn attach_remote<B>(
    request: &mut Request<B>,
    identity: Option<&Identity>,
) -> Result<(), Status> {
    let (trace, deadline) = carried(request.headers());
    let path_default = deadline::default_for_path(request.uri().path());
    let headers = request.headers_mut();
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now())).or(path_default);
    if let Some(left) = left {
        if left.is_zero() {
            return Err(deadline::exceeded());
        }
        headers.insert(deadline::HEADER, deadline::header_value(left));
    }
    if let Some(trace) = trace {
        let traceparent = HeaderValue::try_from(trace.to_string());
        let traceparent = traceparent.expect("a traceparent is hex and dashes");
        headers.insert(telemetry::TRACEPARENT, traceparent);
    }
    if let Some(identity) = identity
        && !headers.contains_key(AUTHORIZATION)
    {
        headers.insert(AUTHORIZATION, identity.bearer()?);
    }
    Ok(())
}

/// The running call's trace, or the one that a forwarded request brings along; and the running call's deadline,
/// shortened by an explicit `grpc-timeout`. A trace that has not begun is begun, and sampled or not, by the server.
fn carried(headers: &HeaderMap) -> (Option<TraceContext>, Option<Instant>) {
    let current = CallContext::current();
    let trace = telemetry::current_trace()
        .or(current.map(|context| context.trace))
        .or_else(|| telemetry::trace_of_headers(headers));
    let asked = deadline::of_headers(headers).map(|left| Instant::now() + left);
    let deadline = match (current.and_then(|context| context.deadline), asked) {
        (Some(outer), Some(asked)) => Some(outer.min(asked)),
        (outer, asked) => outer.or(asked),
    };
    (trace, deadline)
}
