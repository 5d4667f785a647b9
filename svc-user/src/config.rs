//! The settings of svc-user.

use serde::{Deserialize, Serialize};

/// Section `user` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Password hashes that may run at the same time; each takes 19 MiB and a core.
    pub hashes_at_once: usize,
    /// How long an access token works, in milliseconds.
    pub token_lifetime_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { hashes_at_once: 2, token_lifetime_ms: 12 * 60 * 60 * 1000 }
    }
}
