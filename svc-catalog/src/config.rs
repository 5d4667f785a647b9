//! How the catalog is set up.

use serde::Deserialize;

/// Settings of the catalog, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether an empty store is filled with the demonstration shop ([`crate::seed`]).
    pub seed: bool,
    /// How often the sweeper looks for holds whose time is over, in milliseconds.
    pub sweep_every_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: false, sweep_every_ms: 1_000 }
    }
}
