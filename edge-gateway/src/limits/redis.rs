//! Counts in a Redis that all edges share: one number per caller and class, one script per call.

use async_trait::async_trait;
use souk_mesh::redis::{Config, Error, Redis as Connection, Script};

use super::limiter::{Key, RateLimiter, Verdict, micros, refused};
use super::rate::Rate;

static TAKE: Script = Script::new("rate_limit_take", include_str!("redis/take.lua"));

/// The limits of all edges together. Time is that of each edge's clock: one that is ahead by a second takes a second of
/// others' allowance.
#[derive(Clone)]
pub struct Redis {
    connection: Connection,
}

impl Redis {
    /// Begins to connect; a Redis that is away is an error of the calls.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { connection: Connection::open(config).await? })
    }
}

#[async_trait]
impl RateLimiter for Redis {
    async fn take(&self, key: Key, rate: Rate, now_ms: i64) -> Result<Verdict, Error> {
        let name = format!("souk:rate-limit:{}:{}", key.class.name(), key.who);
        let arguments = [micros(now_ms), rate.interval_us(), rate.tolerance_us()];
        let arguments = arguments.map(|number| number.to_string().into_bytes());
        match self.connection.run(&TAKE, &[name], &arguments).await?.into_integer()? {
            0 => Ok(Verdict::Allowed),
            wait_us => Ok(refused(wait_us)),
        }
    }
}
