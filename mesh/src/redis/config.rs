//! The settings of a connection to Redis.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// How long a script may take unless something else is set, in milliseconds.
const COMMAND_LIMIT_MS: u64 = 500;

/// A section `redis` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Redis is.
    pub url: Url,
    /// How long one script may take, in milliseconds; at least 1. What takes longer is answered UNAVAILABLE.
    pub command_limit_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        let url = Url { secret: SecretString::from("redis://127.0.0.1:6379"), userless: 8 };
        Self { url, command_limit_ms: COMMAND_LIMIT_MS }
    }
}

impl Config {
    /// For tests: a server at `address`, which may take `limit` for a script.
    #[must_use]
    pub fn for_tests(address: SocketAddr, limit: Duration) -> Self {
        let url = Url { secret: SecretString::from(format!("redis://{address}")), userless: 8 };
        let command_limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self { url, command_limit_ms }
    }

    /// How long one script may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.command_limit_ms.max(1))
    }
}

/// `redis://[user:password@]host:port[/database]`, or `redis-cluster://…`, `redis-sentinel://…`. What is printed of it
/// leaves out user, password and query.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Url {
    secret: SecretString,
    /// Where the part without user and password begins.
    userless: usize,
}

/// What can be spoken. TLS is not among it: the library would fall back to plain text where it was built without.
const SCHEMES: [&str; 3] = ["redis", "redis-cluster", "redis-sentinel"];

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || {
            // Never the text itself: it may hold a password.
            format!("has to begin with one of {}, and name a host", SCHEMES.join("://, ") + "://")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let userless = authority.rfind('@').map_or(0, |at| at + 1);
        if !SCHEMES.contains(&scheme) || authority[userless..].is_empty() {
            return Err(refused());
        }
        let userless = scheme.len() + "://".len() + userless;
        Ok(Self { userless, secret: SecretString::from(text) })
    }
}

impl Url {
    /// All of it; not for logs.
    pub(super) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.expose()[self.userless..];
        f.write_str(shown.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_an_address_holds_no_secret() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "127.0.0.1:6379"),
            ("redis://shop:hidden@redis.internal:6379/2", "redis.internal:6379/2"),
            ("redis://:hid@den@redis.internal", "redis.internal"),
            ("redis-sentinel://s:1?sentinelPassword=hidden", "s:1"),
        ] {
            let url = Url::try_from(text.to_owned()).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            assert_eq!(url.expose(), text);
        }
        assert_eq!(Config::default().url.to_string(), "127.0.0.1:6379");
    }

    #[test]
    fn an_address_that_cannot_be_spoken_to_is_refused_without_being_repeated() {
        for text in ["rediss://u:hidden@host", "hidden", "http://hidden", "redis://u:hidden@", ""] {
            let refused = Url::try_from(text.to_owned()).unwrap_err();
            assert!(!refused.contains("hidden") && refused.contains("redis://"), "{refused}");
        }
    }
}
