//! The settings of the edge.

use serde::Deserialize;
use souk_mesh::redis;

use crate::limits::{Network, Rates};

/// Section `edge` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Origins whose pages may call by gRPC-web; `*` for all. Safe as a default: who calls is told by a token that the
    /// page must have, never by a cookie that the browser adds.
    pub allowed_origins: Vec<String>,
    /// Where calls are counted.
    pub rate_limits: RateLimits,
    /// How many calls of each class a caller may make.
    pub limits: Rates,
    /// Proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How Redis is reached, where calls are counted there.
    pub redis: redis::Config,
}

/// Where calls are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateLimits {
    /// In each process for itself.
    #[default]
    Local,
    /// In a Redis that all edges share.
    Redis,
    /// Nowhere: everybody may call as often as they like.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allowed_origins: vec!["*".to_owned()],
            rate_limits: RateLimits::default(),
            limits: Rates::default(),
            trusted_proxies: Vec::new(),
            redis: redis::Config::default(),
        }
    }
}
