//! How far a batch is: what it shows of itself, and what it returns.

use serde::{Deserialize, Serialize};

use super::act::Outcome;
use crate::engine::cx::View;

/// Runs of which it is told why nothing was done to them, at most.
const MAX_NOTES: usize = 100;

/// What has become of the runs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Runs that were looked at.
    pub found: u64,
    /// Runs to which it was done.
    pub done: u64,
    /// Runs that were passed over: they have changed since they were listed, or it does not apply to them.
    pub skipped: u64,
    /// Runs that refused it.
    pub failed: u64,
    /// The batch has come to its end.
    pub is_done: bool,
    /// There may be more runs than the batch was allowed to act on.
    pub is_cut: bool,
    /// Why runs were skipped or failed: of the first hundred.
    pub notes: Vec<Note>,
}

/// Why nothing was done to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The run.
    pub workflow_id: String,
    /// Whether it refused; otherwise it was passed over.
    pub has_failed: bool,
    /// Why.
    pub why: String,
}

impl View for Progress {
    const NAME: &'static str = "progress";
}

impl Progress {
    pub(super) fn take(&mut self, workflow_id: &str, outcome: Outcome) {
        match outcome {
            Outcome::Done => {
                self.found += 1;
                self.done += 1;
            }
            Outcome::Skipped(why) => self.skipped(workflow_id, &why),
            Outcome::Failed(why) => {
                self.found += 1;
                self.failed += 1;
                self.note(workflow_id, true, &why);
            }
        }
    }

    pub(super) fn skipped(&mut self, workflow_id: &str, why: &str) {
        self.found += 1;
        self.skipped += 1;
        self.note(workflow_id, false, why);
    }

    fn note(&mut self, workflow_id: &str, has_failed: bool, why: &str) {
        if self.notes.len() < MAX_NOTES {
            let (workflow_id, why) = (workflow_id.to_owned(), why.to_owned());
            self.notes.push(Note { workflow_id, has_failed, why });
        }
    }
}
