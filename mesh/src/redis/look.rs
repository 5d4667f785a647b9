//! What Redis is and how it keeps what it has: for `souk doctor`.

use super::{Error, Redis, Reply, Script};

static LOOK: Script = Script::new("look", include_str!("look.lua"));

/// What Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// `7.0.15`.
    pub version: String,
    /// What goes when memory is full: `noeviction`, `allkeys-lru` …
    pub eviction: String,
    /// Whether every write goes into a file.
    pub is_kept: bool,
    /// Its clock, in unix milliseconds.
    pub now_ms: i64,
}

impl Redis {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// Those of [`Redis::run`].
    pub async fn look(&self) -> Result<Look, Error> {
        let [info, now_ms] = self.run(&LOOK, &[], &[]).await?.into_list::<2>()?;
        let (info, now_ms) = (text(info)?, now_ms.into_integer()?);
        let field = |name: &str| {
            let lines = info.lines().filter_map(|line| line.split_once(':'));
            let mut found = lines.filter(|(field, _)| *field == name);
            found.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        Ok(Look {
            version: field("redis_version"),
            eviction: field("maxmemory_policy"),
            is_kept: field("aof_enabled") == "1",
            now_ms,
        })
    }
}

fn text(reply: Reply) -> Result<String, Error> {
    let bytes = reply.into_bytes()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
