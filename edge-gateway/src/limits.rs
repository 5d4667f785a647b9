//! How much each caller may ask for: against guessing of passwords, and against one who takes the shop from all others.
//!
//! A call is counted by its class ([`Class`]) and by who makes it ([`Who`]): the user of a valid token, else the client's
//! address. A refusal is RESOURCE_EXHAUSTED `RATE_LIMITED` with RetryInfo, and 429 with Retry-After to plain HTTP. Limits
//! are there to protect, not to account: where the shared count is away, each edge goes by its own.

mod caller;
mod limiter;
mod local;
mod rate;
mod redis;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode, request};
use souk_mesh::clock::SharedClock;
use souk_mesh::error;
use souk_mesh::identity::Keys;
use souk_mesh::platform::Platform;
use tonic::{Code, Status};
use uuid::Uuid;

pub use caller::{Network, Who, client_address};
pub use limiter::{Key, RateLimiter, Verdict};
pub use local::{Local, MAX_CALLERS};
pub use rate::{Class, Rate, Rates, class_of};
pub use redis::Redis;
pub use shared::{PATIENCE, PAUSE, Shared};

use crate::config::{self, Config};

/// What a bearer token's header begins with, compared without regard to case.
const SCHEME: &str = "bearer ";

/// The limits of an edge. Clones share the counts.
#[derive(Clone)]
pub struct Limits {
    shared: Arc<Inner>,
}

struct Inner {
    counts: Counts,
    rates: Rates,
    trusted_proxies: Vec<Network>,
    keys: Arc<Keys>,
    clock: SharedClock,
}

/// Where calls are counted.
enum Counts {
    Nowhere,
    Here(Local),
    Shared(Shared),
}

impl Limits {
    /// As the configuration wants them.
    ///
    /// # Errors
    /// When the address of Redis cannot be used. A Redis that is away is no error.
    pub async fn open(
        platform: &Platform,
        config: &Config,
    ) -> Result<Self, souk_mesh::redis::Error> {
        let counts = match config.rate_limits {
            config::RateLimits::Off => Counts::Nowhere,
            config::RateLimits::Local => Counts::Here(Local::default()),
            config::RateLimits::Redis => {
                let redis = Redis::open(&config.redis).await?;
                Counts::Shared(Shared::new(Arc::new(redis)))
            }
        };
        let shared = Inner {
            counts,
            rates: config.limits,
            trusted_proxies: config.trusted_proxies.clone(),
            keys: Arc::clone(&platform.keys),
            clock: Arc::clone(&platform.clock),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether a request of `class` may go on.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, reason `RATE_LIMITED`, with `RetryInfo`.
    pub async fn admit(&self, class: Class, parts: &request::Parts) -> Result<(), Status> {
        let Inner { counts, rates, clock, .. } = &*self.shared;
        let now_ms = clock.now_ms();
        let key = || Key { class, who: self.who(class, parts, now_ms) };
        let rate = rates.of(class);
        let verdict = match counts {
            Counts::Nowhere => Verdict::Allowed,
            Counts::Here(local) => local.take_now(key(), rate, now_ms),
            Counts::Shared(shared) => shared.take(key(), rate, now_ms).await,
        };
        match verdict {
            Verdict::Allowed => Ok(()),
            Verdict::Refused(wait) => {
                metrics::counter!("souk_edge_rate_limited_total", "class" => class.name())
                    .increment(1);
                let message = format!("too many calls of the class {}: slow down", class.name());
                Err(error::retriable(Code::ResourceExhausted, "RATE_LIMITED", message, wait))
            }
        }
    }

    fn who(&self, class: Class, parts: &request::Parts, now_ms: i64) -> Who {
        let by_token = match class {
            // Whoever guesses may well have an account, or a thousand.
            Class::Credentials => None,
            _ => self.user(&parts.headers, now_ms),
        };
        let by_address = || Who::at(client_address(parts, &self.shared.trusted_proxies));
        by_token.map_or_else(by_address, Who::User)
    }

    /// The user of a valid token. The services behind see to those that are not.
    fn user(&self, headers: &HeaderMap, now_ms: i64) -> Option<Uuid> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_at_checked(SCHEME.len())?;
        let is_bearer = scheme.eq_ignore_ascii_case(SCHEME);
        let caller = self.shared.keys.verifier.verify(token.trim(), now_ms).ok();
        caller.filter(|_| is_bearer)?.user_id().ok()
    }
}

/// Puts the limit of reads around plain HTTP.
pub async fn limit_reads(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match limits.admit(Class::Reads, &parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(status) => too_many(error::retry_after_of(&status).unwrap_or_default()),
    }
}

/// 429, as RFC 6585 has it; Retry-After is in whole seconds.
fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_millis().div_ceil(1_000).max(1).to_string();
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], "too many requests: slow down\n")
        .into_response()
}
