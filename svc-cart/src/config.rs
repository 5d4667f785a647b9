//! The settings of svc-cart.

use serde::Deserialize;
use souk_mesh::redis;

/// Section `cart` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a cart lives after its last change, in milliseconds.
    pub lifetime_ms: i64,
    /// Where carts are kept.
    pub store: Store,
    /// How Redis is reached, where carts are kept there.
    pub redis: redis::Config,
}

/// Where carts are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a file of one process.
    #[default]
    Sqlite,
    /// In a Redis that several processes share.
    Redis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lifetime_ms: 7 * 24 * 60 * 60 * 1000,
            store: Store::default(),
            redis: redis::Config::default(),
        }
    }
}
