//! The settings of the edge.

use serde::{Deserialize, Serialize};

/// Section `edge` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Origins whose pages may call by gRPC-web; `*` for all. Safe as a default: who calls is told by a token that the
    /// page must have, never by a cookie that the browser adds.
    pub allowed_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { allowed_origins: vec!["*".to_owned()] }
    }
}
