//! The settings of svc-notify.

use serde::{Deserialize, Serialize};

/// Section `notify` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The `From` of every mail, as a mailbox: `Name <address>`.
    pub sender: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { sender: "Souk <orders@souk.example>".to_owned() }
    }
}
