//! Requests as their callers would send them.

use std::time::Duration;

use tonic::Request;
use uuid::Uuid;

use crate::identity::Roles;
use crate::platform::Platform;

/// How long a test's token works.
const TTL: Duration = Duration::from_secs(3_600);

/// `message` with the token of a user, for a client over [`crate::client::Directory::forwarding_channel`].
///
/// # Panics
/// When the platform's key cannot sign.
pub fn signed<T>(
    platform: &Platform,
    user_id: &Uuid,
    roles: impl Into<Roles>,
    message: T,
) -> Request<T> {
    let now_ms = platform.clock.now_ms();
    let token = platform.keys.signer.sign(&user_id.to_string(), roles, TTL, now_ms);
    let token = token.expect("a test's key signs");
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse().expect("a token is plain text");
    request.metadata_mut().insert("authorization", header);
    request
}
