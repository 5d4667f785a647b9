//! Lua that Redis runs, entirely or not at all.

use std::fmt::Write as _;
use std::sync::OnceLock;

use ring::digest;

/// A script: a `static`, its text in a file of its own.
pub struct Script {
    name: &'static str,
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    /// A script by its text; `name` is for figures.
    #[must_use]
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, hash: OnceLock::new() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// SHA-1 of the text in hexadecimal, which is how Redis calls it: <https://redis.io/docs/latest/commands/evalsha/>.
    pub(super) fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.text.as_bytes());
            hash.as_ref().iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a string takes everything");
                text
            })
        })
    }
}
