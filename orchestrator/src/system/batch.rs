//! `souk.batch`: one operation on many runs, as a workflow, so that it goes on after any crash where it was.
//!
//! It goes through the list as it was when the batch began, a few runs at a time: a step finds them, a step acts on
//! them, and a pause keeps to the rate. Each step can be repeated: what this batch has done to a run is on that run's
//! record, and is recognised there. Long batches continue as new; how far it is can be queried all the time.

mod act;
mod find;
mod progress;

use std::time::Duration;

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::act::Act;
use self::find::{Find, Target};
pub use self::progress::{Note, Progress};
use crate::engine::reset::ResetPoint;
use crate::engine::{Cx, Failure};

/// The workflow's type, and what the ids of its runs begin with.
pub const TYPE: &str = "souk.batch";
/// Runs that one batch acts on, at most.
pub const MAX_RUNS: u64 = 1_000_000;
/// Runs that a second's work acts on, at most.
pub const MAX_RUNS_PER_SECOND: u32 = 1_000;
/// The same, unless the caller says otherwise.
pub const RUNS_PER_SECOND: u32 = 200;
/// Runs that one step acts on.
const CHUNK: usize = 50;
/// Chunks after which the batch continues as new.
const CHUNKS_PER_TURN: u32 = 20;

/// The id of a batch's run.
pub fn workflow_id(request_id: &str) -> String {
    format!("{TYPE}/{request_id}")
}

/// What is done to each run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// Has it undo what it did and end.
    Cancel,
    /// Ends it at once.
    Terminate {
        /// What it did stays done.
        abandon_undo: bool,
    },
    /// Lets nothing new begin in it.
    Pause,
    /// Lets it go on.
    Resume,
    /// Gives it a signal.
    Signal {
        /// The signal's name.
        name: String,
        /// Its content.
        payload: serde_json::Value,
    },
    /// Has the undo that parked it tried again.
    RetryStep,
    /// Has the undo that parked it passed over.
    SkipStep,
    /// Has it begin again, open or ended.
    Reset {
        /// From where.
        to: ResetPoint,
    },
}

/// Which runs are acted on. The engine's own never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those that a filter means, of those that were there when the batch began.
    Filter(String),
    /// Those that are open under these workflow ids.
    WorkflowIds(Vec<String>),
}

/// What a batch is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// What is done.
    pub operation: Operation,
    /// To which runs.
    pub which: Which,
    /// Why, and by whom: for the record of each run.
    pub reason: String,
    /// Runs that are acted on, at most.
    pub max_runs: u64,
    /// Runs that a second's work acts on, at most.
    pub runs_per_second: u32,
    /// Where the turn before has come to.
    #[serde(default)]
    pub carried: Option<Carried>,
}

/// What one turn of a batch leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// When the batch began, in unix milliseconds: what `now` in the filter means, and which runs there were.
    began_ms: i64,
    place: Place,
    progress: Progress,
}

/// Where the next runs are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// At the beginning.
    #[default]
    Begin,
    /// Behind this run of the list.
    Behind(Uuid),
    /// At this one of the workflow ids.
    At(usize),
    /// There are no more.
    End,
}

/// The workflow.
pub async fn batch(cx: &Cx, mut batch: Batch) -> Result<Progress, Failure> {
    let first = || Carried { began_ms: cx.now_ms(), ..Carried::default() };
    let mut carried = batch.carried.take().unwrap_or_else(first);
    cx.publish(&carried.progress);
    // What has begun is finished and counted, also when the batch is cancelled meanwhile.
    let steady = cx.shielded();
    let mut chunks = 0;
    while carried.place != Place::End {
        if let Some(reason) = cx.cancelled().now_or_never() {
            return Err(stopped(&reason, &carried.progress));
        }
        if chunks == CHUNKS_PER_TURN {
            batch.carried = Some(carried);
            return cx.continue_as_new(&batch).await;
        }
        chunks += 1;
        let left = batch.max_runs.saturating_sub(carried.progress.found);
        if left == 0 {
            carried.progress.is_cut = true;
            break;
        }
        let limit = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let find = Find {
            which: page_of(&batch.which, &carried.place),
            place: carried.place,
            began_ms: carried.began_ms,
            limit,
        };
        let found = steady.step(find).await?;
        carried.place = found.place;
        for id in found.missing {
            carried.progress.skipped(&id, "no run is known under this id");
        }
        act(cx, &steady, &batch, found.targets, &mut carried).await?;
    }
    carried.progress.is_done = true;
    cx.publish(&carried.progress);
    Ok(carried.progress)
}

async fn act(
    cx: &Cx,
    steady: &Cx,
    batch: &Batch,
    targets: Vec<Target>,
    carried: &mut Carried,
) -> Result<(), Failure> {
    if targets.is_empty() {
        return Ok(());
    }
    let filter = match &batch.which {
        Which::Filter(filter) => filter.clone(),
        Which::WorkflowIds(_) => String::new(),
    };
    let count = targets.len();
    let outcomes = steady
        .step(Act {
            operation: batch.operation.clone(),
            filter,
            began_ms: carried.began_ms,
            reason: batch.reason.clone(),
            targets: targets.clone(),
        })
        .await?;
    for (target, outcome) in targets.iter().zip(outcomes) {
        carried.progress.take(&target.workflow_id, outcome);
    }
    cx.publish(&carried.progress);
    let pause = Duration::from_secs(1).mul_f64(count as f64 / f64::from(batch.runs_per_second));
    match cx.sleep(pause).await {
        Err(failure) if !failure.is_cancelled() => Err(failure),
        // The loop sees to a cancellation.
        _ => Ok(()),
    }
}

/// Of many ids a step takes its own only: they would be on record again with each.
fn page_of(which: &Which, place: &Place) -> Which {
    let from = if let Place::At(from) = place { *from } else { 0 };
    match which {
        Which::Filter(filter) => Which::Filter(filter.clone()),
        Which::WorkflowIds(ids) => {
            Which::WorkflowIds(ids.iter().skip(from).take(CHUNK + 1).cloned().collect())
        }
    }
}

fn stopped(reason: &str, progress: &Progress) -> Failure {
    Failure::cancelled(&format!(
        "{reason}; of {} runs {} were done, {} skipped, {} failed",
        progress.found, progress.done, progress.skipped, progress.failed
    ))
}
