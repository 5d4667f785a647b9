//! Counts in this process, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use async_trait::async_trait;
use parking_lot::Mutex;
use souk_mesh::redis;

use super::limiter::{Key, RateLimiter, Verdict, micros, refused};
use super::rate::Rate;

/// Parts with a lock each.
const SHARDS: usize = 64;
/// Callers that are remembered; with one more, those who have paid for everything are forgotten, or else the one who
/// soonest will have.
pub const MAX_CALLERS: usize = 131_072;
const MAX_PER_SHARD: usize = MAX_CALLERS / SHARDS;

/// The limits of one process.
pub struct Local {
    /// Key → the time at which all that was taken is paid for, in unix microseconds.
    shards: Vec<Mutex<HashMap<Key, i64>>>,
    hasher: RandomState,
}

impl Default for Local {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        Self { shards, hasher: RandomState::new() }
    }
}

impl Local {
    /// Callers that are remembered now.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// As [`RateLimiter::take`], which here cannot fail.
    pub fn take_now(&self, key: Key, rate: Rate, now_ms: i64) -> Verdict {
        let now_us = micros(now_ms);
        // The low bits: the maps themselves go by the high ones.
        let place = self.hasher.hash_one(key) as usize % SHARDS;
        let mut shard = self.shards[place].lock();
        let paid_us = shard.get(&key).copied().unwrap_or(now_us).max(now_us);
        let ahead_us = paid_us.saturating_sub(now_us);
        if ahead_us > rate.tolerance_us() {
            return refused(ahead_us - rate.tolerance_us());
        }
        if shard.len() >= MAX_PER_SHARD && !shard.contains_key(&key) {
            make_room(&mut shard, now_us);
        }
        shard.insert(key, paid_us.saturating_add(rate.interval_us()));
        Verdict::Allowed
    }
}

#[async_trait]
impl RateLimiter for Local {
    async fn take(&self, key: Key, rate: Rate, now_ms: i64) -> Result<Verdict, redis::Error> {
        Ok(self.take_now(key, rate, now_ms))
    }
}

fn make_room(shard: &mut HashMap<Key, i64>, now_us: i64) {
    shard.retain(|_, paid_us| *paid_us > now_us);
    if shard.len() >= MAX_PER_SHARD
        && let Some(soonest) =
            shard.iter().min_by_key(|(_, paid_us)| **paid_us).map(|(key, _)| *key)
    {
        shard.remove(&soonest);
    }
}
