//! The settings of svc-cart.

use serde::{Deserialize, Serialize};

/// Section `cart` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a cart lives after its last change, in milliseconds.
    pub lifetime_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { lifetime_ms: 7 * 24 * 60 * 60 * 1000 }
    }
}
