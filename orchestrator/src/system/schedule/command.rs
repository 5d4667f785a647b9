//! What a schedule can be told: the one update that its run takes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::definition::{Definition, Overlap};
use super::state::Answer;
use crate::engine::cx::Update;

/// Times that one backfill covers.
pub const MAX_BACKFILL: usize = 500;

/// Another definition has come in between: code of the failure.
pub const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
/// The request id was used with other content: code of the failure.
pub const REQUEST_ID_REUSED: &str = "REQUEST_ID_REUSED";
/// A backfill covers more than [`MAX_BACKFILL`] times: code of the failure.
pub const BACKFILL_TOO_LARGE: &str = "BACKFILL_TOO_LARGE";

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Repetitions under the same id get the same answer.
    pub request_id: String,
    /// Who asks.
    pub by: String,
    /// What is to be done.
    pub change: Change,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Another definition takes the place of this one.
    Update {
        /// The whole definition.
        definition: Box<Definition>,
        /// The version that it was made from; `None` for whichever.
        expected_version: Option<u64>,
    },
    /// Nothing is started until it is unpaused, except what a person asks for.
    Pause {
        /// Why.
        note: String,
    },
    /// It goes on.
    Unpause {
        /// Whether the firings of the pause count as missed, instead of being caught up.
        skip_missed: bool,
    },
    /// A run is started now.
    Trigger {
        /// Instead of the schedule's policy.
        overlap: Option<Overlap>,
    },
    /// The times of a range are run, except those that have.
    Backfill {
        /// In unix milliseconds.
        from_ms: i64,
        /// In unix milliseconds, included.
        to_ms: i64,
        /// What happens where they meet.
        overlap: Overlap,
    },
    /// There will be nothing any more. Runs that it has started go on.
    Delete,
}

impl Command {
    /// What tells the change from others under the same request id.
    pub fn fingerprint(&self) -> u64 {
        serde_json::to_vec(&self.change).map_or(0, |json| xxh3_64(&json))
    }
}

/// Why a schedule is paused, and by whom.
pub fn note(text: &str, by: &str) -> String {
    if text.is_empty() { format!("by {by}") } else { format!("{text} (by {by})") }
}

impl Update for Command {
    const NAME: &'static str = "change";
    type Answer = Answer;
}
