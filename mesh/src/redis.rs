//! Redis, as thin as this shop needs it: atomic scripts, each with a limit of time, and errors that say whether waiting
//! helps.
//!
//! [`Redis::run`] is the whole interface: a service reads and writes by Lua scripts alone, as each of them happens
//! entirely or not at all. The library behind it (`fred`) is named in `redis/link.rs` and nowhere else, so that another
//! one can take its place.
//!
//! What is promised while Redis is away: a call is answered with [`Error::Away`] or [`Error::TimedOut`] within the limit
//! of the configuration, nothing is queued for later, and nothing is sent a second time. The connection comes back by
//! itself. docs/STORES.md tells what operators set.

mod config;
mod link;
mod look;
mod reply;
mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tonic::{Code, Status};

pub use config::{Config, Url};
use link::Link;
pub use look::Look;
pub use reply::Reply;
pub use script::Script;

use crate::error::{retriable, status, unavailable};

/// Scripts under way at once; beyond it a call is refused as [`Error::Overloaded`].
const MAX_UNDER_WAY: usize = 1024;
/// When a call that found Redis away may be made again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// What can go wrong with Redis.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used; it is not in the message, as it may hold a password.
    #[error("the address of Redis: {0}")]
    Address(String),
    /// There is no connection, it broke, or Redis cannot serve now. Whether a script that was sent has run is not
    /// known.
    #[error("Redis is away: {0}")]
    Away(String),
    /// There was no answer in time. Whether the script has run, or still will, is not known.
    #[error("Redis did not answer in time")]
    TimedOut,
    /// Too many scripts are under way already; nothing was sent.
    #[error("too much waits for Redis already")]
    Overloaded,
    /// Redis refused the script, or its answer has another form than the script gives.
    #[error("Redis refused: {0}")]
    Refused(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded => {
                let message = "too many calls wait already";
                retriable(Code::ResourceExhausted, "OVERLOADED", message, RETRY_AFTER)
            }
            Error::Away(_) | Error::TimedOut => {
                tracing::warn!(%error, "a call to Redis was not confirmed");
                unavailable("STORE_UNAVAILABLE", "the store is away", RETRY_AFTER)
            }
            Error::Address(_) | Error::Refused(_) => {
                tracing::error!(%error, "Redis failed");
                status(Code::Internal, "INTERNAL", "the store failed")
            }
        }
    }
}

/// A connection to Redis. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    under_way: Semaphore,
    limit: Duration,
}

impl Redis {
    /// Begins to connect, and waits a moment for it: a Redis that is away is no error here, but at each call until it is
    /// there.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let limit = config.limit();
        let link = Link::open(&config.url, limit).await?;
        let under_way = Semaphore::new(MAX_UNDER_WAY);
        Ok(Self { shared: Arc::new(Shared { link, under_way, limit }) })
    }

    /// Runs a script: by its hash, and by its text where Redis does not know it (yet, or any more).
    ///
    /// All `keys` hold the same `{…}`, so that they live together in a cluster.
    ///
    /// # Errors
    /// Every variant but [`Error::Address`], after the limit of the configuration at the latest.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Reply, Error> {
        let Shared { link, under_way, limit } = &*self.shared;
        let began = Instant::now();
        let _place = under_way.try_acquire().map_err(|_| Error::Overloaded)?;
        let answer = tokio::time::timeout(*limit, run(link, script, keys, arguments)).await;
        let answer = answer.unwrap_or(Err(Error::TimedOut));
        match &answer {
            Err(Error::TimedOut) => link.heard_nothing(),
            // Nothing was asked.
            Err(Error::Overloaded) => {}
            Ok(_) | Err(_) => link.heard(),
        }
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(Error::TimedOut) => "timed_out",
            Err(Error::Away(_)) => "away",
            Err(_) => "refused",
        };
        metrics::histogram!("souk_redis_script_seconds", "script" => script.name(), "outcome" => outcome)
            .record(began.elapsed().as_secs_f64());
        answer
    }
}

async fn run(
    link: &Link,
    script: &Script,
    keys: &[String],
    arguments: &[Vec<u8>],
) -> Result<Reply, Error> {
    match link.run_by_hash(script.hash(), keys, arguments).await? {
        Some(reply) => Ok(reply),
        // After a restart, or the first time. Sent as text it is known from now on.
        None => link.run_by_text(script.text(), keys, arguments).await,
    }
}
