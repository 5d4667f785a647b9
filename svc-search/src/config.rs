//! The settings of svc-search.

use serde::{Deserialize, Serialize};

/// Section `search` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pause between two comparisons of the whole index with the catalog, in milliseconds. Events keep the
    /// index up to date; comparing finds what they could not tell. The first comparison is at the start.
    pub compare_every_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { compare_every_ms: 60 * 60 * 1_000 }
    }
}
