//! The keyed tables: what the log is drained into, and where idle and closed runs live.
//!
//! # The rules, which every implementation keeps
//!
//! 1. [`Tables::apply`] is atomic: all changes and the cursor become visible together, and survive a crash together or
//!    not at all. It need not be durable when it returns; steps survive in the order in which they were applied. Tables
//!    on a cluster keep less of it: each run's change becomes visible at once, with its row, and the cursor after all of
//!    them; a step that a crash has cut off is applied again from the log.
//! 2. [`Tables::sync`] returns when everything applied before it survives the loss of power. Only then is the log trimmed.
//! 3. Applying a step again (after a crash that lost its acknowledgement) changes nothing: rows are replaced by equal
//!    rows, chunks by equal chunks.
//! 4. Reads see every step that was applied before they began.
//! 5. Of a run, what has more events is newer, and what is older changes nothing: several nodes may drain the same log, one
//!    of them late. Where they cut its history differently, chunks overlap; each holds what happened.

pub mod fjall;
#[cfg(feature = "testing")]
pub mod sim;

use std::sync::Arc;

use async_trait::async_trait;

use super::filter::Filter;
use super::ids::{LogId, RunId};
use super::partition::PartitionSet;
use super::row::{Cursor, HistoryChunk, RunRow, TimerRow};

/// Why the tables could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer, or answers with an error of its own.
    #[error("the tables' store failed: {0}")]
    Store(String),
    /// A row cannot be read back as it was written.
    #[error("the tables are damaged at {place}: {what}")]
    Damaged {
        /// Table and key.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What one drain step changes of one run.
#[derive(Clone, Debug)]
pub struct RunChange {
    /// The run's row after the change. Found by run id, by workflow id, in the list of its time (run ids are
    /// ordered by time), and in the scan of open runs while its state is open.
    pub row: Arc<RunRow>,
    /// Whether the run was not in the tables before, so that its index entries are to be made.
    pub is_new: bool,
    /// The run's next events. A run that was never drained before it closed has its whole history here: with its row
    /// that is all that a short run leaves.
    pub chunk: Option<HistoryChunk>,
    /// Timers to be found by their time from now on.
    pub timers_set: Vec<TimerRow>,
    /// Timers to be found no longer. They may never have been set in the tables.
    pub timers_cleared: Vec<TimerRow>,
}

/// One atomic change of the tables.
#[derive(Clone, Debug)]
pub struct DrainStep {
    /// How far the log is covered once this step is applied.
    pub cursor: Cursor,
    /// The changes, at most one for a run.
    pub runs: Vec<RunChange>,
}

/// What one step of [`Tables::expire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many runs were deleted.
    pub deleted: usize,
    /// Where to go on; `None` if all were looked at.
    pub next: Option<RunId>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Runs that the filter means, newest first.
    pub rows: Vec<RunRow>,
    /// The last run that was looked at, where the page ends because it is full or enough was looked at: go on before it.
    /// `None` if there is nothing older.
    pub next: Option<RunId>,
}

/// The keyed tables. See the module for the rules.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// How far the newest log has been drained, the one with the highest id; `None` in tables that were never written.
    async fn cursor(&self) -> Result<Option<Cursor>, Error>;

    /// How far one log has been drained; `None` if nothing is known of it. Nodes that share their tables have a log each.
    /// Tables of a single node need to know of none but the newest.
    async fn cursor_of(&self, log: LogId) -> Result<Option<Cursor>, Error> {
        Ok(self.cursor().await?.filter(|cursor| cursor.log == log))
    }

    /// Makes one atomic change.
    async fn apply(&self, step: DrainStep) -> Result<(), Error>;

    /// Waits until everything applied so far is durable.
    async fn sync(&self) -> Result<(), Error>;

    /// The newest run under a workflow id.
    async fn run_by_workflow_id(&self, workflow_id: &str) -> Result<Option<RunRow>, Error>;

    /// A run by its id.
    async fn run(&self, run_id: RunId) -> Result<Option<RunRow>, Error>;

    /// Chunks of a run's history in order, the first being the one that holds event `from_sequence`, until about
    /// `limit_bytes` are gathered (at least one chunk, if there is one). Empty beyond the newest event.
    async fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<HistoryChunk>, Error>;

    /// Timers of runs of these partitions due at or before `until_ms`, ordered by (time, run, command), those after
    /// `after` only, at most `limit`. Costs nothing extra where the partitions are all.
    async fn timers(
        &self,
        partitions: &PartitionSet,
        until_ms: i64,
        after: Option<&TimerRow>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, Error>;

    /// A timer that was found here is not open in its run, and never will be again: it need not be found any more. Only
    /// tables that are shared by nodes can hold such a timer, one that was written late.
    async fn forget_timer(&self, workflow_id: &str, timer: &TimerRow) -> Result<(), Error> {
        let _ = (workflow_id, timer);
        Ok(())
    }

    /// Open runs of these partitions ordered by id, those after `after` only, at most `limit`; with `only_active` those for which
    /// [`RunRow::is_active`] holds. An index answers this: a million idle runs must not be read to find ten active ones.
    async fn open_runs(
        &self,
        partitions: &PartitionSet,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error>;

    /// Runs that the filter means, newest first, those older than `before` only, at most `limit`. Reads no row outside
    /// of the filter's [scope](Filter::scope), and no more than [`MAX_SCANNED_ROWS`](super::limits::MAX_SCANNED_ROWS):
    /// a page may have fewer rows than wanted, or none, and still not be the last.
    async fn list(
        &self,
        filter: &Filter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Listed, Error>;

    /// Deletes closed runs that ended before a time (unix milliseconds), with everything that leads to them; a workflow
    /// id whose newest run is deleted is free again. Looks at no more than `limit` closed runs, those after `after`
    /// only, in the order of their ids. Atomic, and ordered with the steps of [`Tables::apply`].
    async fn expire(
        &self,
        closed_before_ms: i64,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Expired, Error>;
}
