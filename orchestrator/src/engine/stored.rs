//! The open runs of a store that no engine has open: what a stopped node, or a copy of its folder, would go on with.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{Stream, stream};

use super::cell::damaged;
use super::drainer::unpack_from;
use super::error::Error;
use super::event::{Body, Event};
use super::ids::RunId;
use super::limits::{MAX_PAGE_ROWS, READ_BYTES};
use super::log::Log;
use super::partition::PartitionSet;
use super::recovery::recover;
use super::row::RunRow;
use super::seams::Seams;
use super::tables::Tables;

/// A run as it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its id.
    pub run_id: RunId,
    /// Its workflow id.
    pub workflow_id: String,
    /// Its type.
    pub workflow_type: String,
    /// Its whole history.
    pub history: Vec<Event>,
}

impl StoredRun {
    /// A run by its history alone. Names that the history does not tell are empty.
    pub fn of_history(run_id: RunId, history: Vec<Event>) -> StoredRun {
        let (workflow_id, workflow_type) = match history.first().map(|event| &event.body) {
            Some(Some(Body::Started(started))) => {
                (started.workflow_id.clone(), started.workflow_type.clone())
            }
            _ => Default::default(),
        };
        StoredRun { run_id, workflow_id, workflow_type, history }
    }
}

/// All open runs with their histories, those included whose newest events are in the log alone.
///
/// The log is drained for it, as every start does: nobody else may have the store open, and who wants it untouched
/// opens a copy.
///
/// # Errors
/// If log or tables cannot be read, or are damaged; in the stream, which ends then, if a history is.
pub async fn open_runs(
    log: &dyn Log,
    tables: Arc<dyn Tables>,
    seams: &Seams,
) -> Result<impl Stream<Item = Result<StoredRun, Error>> + Send + use<>, Error> {
    let mut writer = [0; 16];
    writer[..8].copy_from_slice(&seams.random.next_u64().to_le_bytes());
    recover(log, &*tables, seams, &writer).await?;
    let walk = Walk { tables, page: VecDeque::new(), after: None, is_done: false };
    Ok(stream::unfold(walk, |mut walk| async move { Some((walk.next().await?, walk)) }))
}

struct Walk {
    tables: Arc<dyn Tables>,
    page: VecDeque<RunRow>,
    after: Option<RunId>,
    is_done: bool,
}

impl Walk {
    async fn next(&mut self) -> Option<Result<StoredRun, Error>> {
        let next = self.read_next().await;
        self.is_done |= next.is_err();
        next.transpose()
    }

    async fn next_page(&self) -> Result<Vec<RunRow>, Error> {
        let all = PartitionSet::all();
        Ok(self.tables.open_runs(&all, false, self.after, MAX_PAGE_ROWS).await?)
    }

    async fn read_next(&mut self) -> Result<Option<StoredRun>, Error> {
        if self.page.is_empty() && !self.is_done {
            self.page = self.next_page().await?.into();
            self.after = self.page.back().map(RunRow::id).or(self.after);
        }
        let Some(row) = self.page.pop_front() else { return Ok(None) };
        Ok(Some(StoredRun {
            run_id: row.id(),
            history: read_history(&*self.tables, row.id(), row.next_sequence).await?,
            workflow_id: row.workflow_id,
            workflow_type: row.workflow_type,
        }))
    }
}

/// The first `count` events of a run that the tables have.
async fn read_history(tables: &dyn Tables, run_id: RunId, count: u64) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    while (events.len() as u64) < count {
        let from = events.len() as u64;
        let chunks = tables.history(run_id, from, READ_BYTES).await?;
        if chunks.is_empty() {
            return Err(damaged(run_id, &format!("its events end at {from} instead of {count}")));
        }
        for chunk in chunks {
            for bytes in unpack_from(run_id, &chunk, events.len() as u64)? {
                events.push(super::cell::decode(&bytes)?);
            }
        }
    }
    Ok(events)
}
