//! What the tests of the whole shop stand on: a shop of their own in processes of its own, its callers, the provider's
//! books, and patience.

mod caller;
mod ledger;
mod program;
mod shop;

use std::time::Duration;

pub use caller::{Caller, Way, one};
pub use ledger::Ledger;
pub use program::Program;
pub use shop::Shop;

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
