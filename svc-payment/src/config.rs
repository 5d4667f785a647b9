//! What can be set for svc-payment.

use serde::{Deserialize, Serialize};

/// Settings of svc-payment, and their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the payment provider answers, for example `http://127.0.0.1:12111`. Has no default: the whole shop in
    /// one process starts a sandbox provider of its own where none is named.
    pub provider_url: String,
    /// How long one call to the provider may take, in milliseconds; an answer that takes longer is
    /// treated as lost, and asked for again under the same key.
    pub provider_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { provider_url: String::new(), provider_timeout_ms: 3_000 }
    }
}
