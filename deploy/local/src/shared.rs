//! A CQL server that tests share: starting one takes half a minute, and their keyspaces keep them apart.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::{Cassandra, Part, there_or_skipped};

/// The variable that names a server that runs already, as `host:port`, several with commas between.
pub const CQL_VARIABLE: &str = "SOUK_TEST_CQL";

/// Started at most once in a process, and ended with it: its keeper sees this process end.
static OWN: Mutex<Option<(tempfile::TempDir, Cassandra)>> = Mutex::new(None);

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
    own.as_ref().map(|(_, cassandra)| cassandra.contact_points())
}

fn start() -> Result<(tempfile::TempDir, Cassandra)> {
    let folder = tempfile::tempdir()?;
    let cassandra = Cassandra::start(folder.path(), 1)?;
    Ok((folder, cassandra))
}
