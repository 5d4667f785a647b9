//! What tests share: a CQL server, as starting one takes half a minute and keyspaces keep them apart; a Redis for each,
//! as they kill and freeze it; and how long they are to be.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::{Cassandra, Part, Redis, there_or_skipped};

/// The variable that names a server that runs already, as `host:port`, several with commas between.
pub const CQL_VARIABLE: &str = "SOUK_TEST_CQL";

/// Started at most once in a process, and ended with it: its keeper sees this process end.
static OWN: Mutex<Option<Cassandra>> = Mutex::new(None);

/// Where a CQL server for tests answers: the one that `SOUK_TEST_CQL` names, else one that this process starts. `None`
/// is a loud skip where it cannot be had, and under `CI=true` a failure.
///
/// # Panics
/// Under CI, when it cannot be had; and when it does not come up.
pub fn cql_for_tests() -> Option<Vec<String>> {
    if let Ok(named) = std::env::var(CQL_VARIABLE) {
        return Some(named.split(',').map(|one| one.trim().to_owned()).collect());
    }
    if !there_or_skipped(Part::Cassandra) {
        return None;
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if own.is_none() {
        *own = Some(start().expect("Cassandra comes up"));
    }
    own.as_ref().map(Cassandra::contact_points)
}

/// What is static is not dropped, so the folder goes with the server rather than with its handle.
fn start() -> Result<Cassandra> {
    Cassandra::start_disposable(&tempfile::tempdir()?.keep())
}

/// A Redis of a test's own, in a folder that goes with it. `None` is a loud skip where it cannot be had, and under
/// `CI=true` a failure.
///
/// # Panics
/// Under CI, when it cannot be had; and when it does not come up.
pub fn redis_for_tests() -> Option<Redis> {
    there_or_skipped(Part::Redis).then(|| Redis::start_disposable().expect("Redis comes up"))
}

/// The variable that `cargo xtask prove` sets to 1.
pub const PROVE_VARIABLE: &str = "SOUK_TEST_PROVE";

/// The variable that names the program of the commit before this one, from which tests upgrade a shop.
pub const PREVIOUS_VARIABLE: &str = "SOUK_TEST_PREVIOUS";

/// How often a test of faults repeats itself: `usual` times, or `proof` times under `cargo xtask prove`.
#[must_use]
pub fn rounds(usual: usize, proof: usize) -> usize {
    let proves = std::env::var(PROVE_VARIABLE).is_ok_and(|value| value == "1");
    if proves { proof } else { usual }
}
