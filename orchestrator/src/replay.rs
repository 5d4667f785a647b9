//! Would this build take up all open runs? What `souk replay` asks before a roll-out.
//!
//! Runs come from a stopped node's folder ([`folder`]), from a running node ([`remote`]) or from files. Each is replayed and
//! dropped again: as many are in memory as are replayed side by side.

pub mod folder;
pub mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};

use crate::engine::Registry;
use crate::engine::recorded::{Unfit, examine};
use crate::engine::stored::StoredRun;
use crate::{system, workflows};

/// Runs that are replayed side by side at most, however many cores there are.
const MAX_CONCURRENCY: usize = 16;
/// Runs that do not fit and are told one by one; of those beyond, the type's numbers tell.
pub const MAX_FINDINGS: usize = 10_000;

/// A run that this build would leave stuck.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Its type.
    pub workflow_type: String,
    /// Its workflow id.
    pub workflow_id: String,
    /// UUID of the run.
    pub run_id: String,
    /// A code of docs/errors.
    pub code: &'static str,
    /// The first event that does not fit, from 1 as `souk workflow show --events` counts.
    pub event: u64,
    /// What does not fit.
    pub message: String,
}

/// How many runs of a type were replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OfType {
    /// All of them.
    pub runs: u64,
    /// Those that do not fit, by code.
    pub unfit: BTreeMap<&'static str, u64>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The numbers of each type.
    pub types: BTreeMap<String, OfType>,
    /// Runs that do not fit, ordered by type and workflow id; the first [`MAX_FINDINGS`] that were found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many runs do not fit.
    pub fn unfit(&self) -> u64 {
        self.types.values().flat_map(|of_type| of_type.unfit.values()).sum()
    }

    fn add(&mut self, checked: Checked) {
        let of_type = self.types.entry(checked.workflow_type.clone()).or_default();
        of_type.runs += 1;
        let Err(Unfit { event, misfit }) = checked.result else { return };
        *of_type.unfit.entry(misfit.code.code()).or_default() += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                workflow_type: checked.workflow_type,
                workflow_id: checked.workflow_id,
                run_id: checked.run_id,
                code: misfit.code.code(),
                event: event + 1,
                message: misfit.message,
            });
        }
    }
}

struct Checked {
    workflow_type: String,
    workflow_id: String,
    run_id: String,
    result: Result<(), Unfit>,
}

/// All workflows of this build, the engine's own included.
pub fn registry() -> Registry {
    system::register(workflows::registry())
}

/// Holds the workflows of `registry` against every run.
///
/// # Errors
/// Whatever keeps the runs from being read: a report of some of them would tell nothing.
pub async fn replay<E>(
    registry: Registry,
    runs: impl Stream<Item = Result<StoredRun, E>>,
) -> Result<Report, E> {
    let registry = Arc::new(registry);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut report = Report::default();
    let mut checked = std::pin::pin!(
        runs.map_ok(|run| {
            let registry = registry.clone();
            async move { Ok(check(registry, run).await) }
        })
        .try_buffer_unordered(cores.min(MAX_CONCURRENCY))
    );
    while let Some(checked) = checked.try_next().await? {
        report.add(checked);
    }
    let by = |finding: &Finding| (finding.workflow_type.clone(), finding.workflow_id.clone());
    report.findings.sort_by_cached_key(by);
    Ok(report)
}

/// On a thread for work that blocks: a long history is replayed in one go.
async fn check(registry: Arc<Registry>, run: StoredRun) -> Checked {
    let checked = move || Checked {
        result: examine(&registry, run.run_id, &run.history),
        workflow_type: run.workflow_type,
        workflow_id: run.workflow_id,
        run_id: run.run_id.to_string(),
    };
    // No engine runs here, and nothing is in simulated time.
    #[allow(clippy::disallowed_methods)]
    let checked = tokio::task::spawn_blocking(checked).await;
    checked.expect("what panics in a workflow is caught by the replay")
}
