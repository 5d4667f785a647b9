//! What the tests of the whole shop stand on: a shop of their own in processes of its own, its callers, the provider's
//! books, and patience.

mod caller;
mod cluster;
mod ledger;
mod load;
mod program;
mod real;
mod shop;

use std::time::Duration;

pub use caller::{Caller, Way, one};
pub use cluster::Cluster;
pub use ledger::Ledger;
pub use load::{Load, Pace, until_known};
pub use program::Program;
pub use real::Real;
pub use shop::{Provider, Shop};

/// How long anything may take that is not about time: far longer than it ever does, so that a slow machine is not a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What `look` finds, looked for until there is something; `what` is said where there never is.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// The same with a limit of one's own.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(limit, search).await {
        Ok(found) => found,
        Err(_) => panic!("waited {limit:?} in vain until {what}"),
    }
}

/// Lets time pass in which things are to happen; what is waited for is waited for by [`eventually`].
pub async fn pause(pause_ms: u64) {
    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
}

/// What the chance of a test comes from: another one with each run, or `SOUK_TEST_SEED` to see one again.
pub fn seed() -> u64 {
    let wanted = std::env::var("SOUK_TEST_SEED").ok();
    let seed = wanted.map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("SOUK_TEST_SEED={seed}");
    seed
}

/// A free port that the system gives to nobody by itself.
pub fn steady_address() -> String {
    souk_bench::mesh::steady_address().unwrap()
}
