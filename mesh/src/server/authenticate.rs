//! Who calls: a service in this process, the bearer of a token, or nobody.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Code, Status};

use crate::client::InProcess;
use crate::clock::Clock;
use crate::error;
use crate::identity::{Caller, TokenVerifier};

/// The scheme of RFC 6750, compared without regard to case.
const SCHEME: &str = "bearer ";

/// The caller of a request.
///
/// # Errors
/// UNAUTHENTICATED, reason `BAD_CREDENTIALS`, for an `authorization` header that is not a valid token, also where
/// none is needed: a caller who believes to be someone must not be served as nobody.
pub(super) fn caller(
    headers: &HeaderMap,
    in_process: Option<&InProcess>,
    verifier: &TokenVerifier,
    clock: &dyn Clock,
) -> Result<Caller, Status> {
    if let Some(caller) = in_process.and_then(|call| call.caller.as_ref()) {
        return Ok(caller.clone());
    }
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Ok(Caller::anonymous());
    };
    let header = header.to_str().map_err(|_| bad("the authorization header is not text"))?;
    let token = header
        .split_at_checked(SCHEME.len())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| bad("the authorization header is not a bearer token"))?;
    verifier.verify(token, clock.now_ms()).map_err(|error| {
        tracing::debug!(%error, "a token was refused");
        bad("the token is not valid, or has expired")
    })
}

fn bad(message: &str) -> Status {
    error::status(Code::Unauthenticated, "BAD_CREDENTIALS", message)
}
