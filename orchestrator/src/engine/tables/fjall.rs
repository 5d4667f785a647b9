//! The tables on one machine: a fjall database beside the log's.
//!
//! An open run is a row in `open` and its chunks in `history`. A closed run is a record in `closed`, written once. A run that
//! closes before it was ever drained is just that record, its history within, and two index entries.

mod apply;
mod keys;
mod list;
mod values;

use std::ops::Bound;
use std::sync::Arc;

use ::fjall::{PersistMode, Readable};
use async_trait::async_trait;

use self::values::{ClosedRun, decode};
use super::{DrainStep, Error, ListFilter, Tables};
use crate::engine::ids::RunId;
use crate::engine::log::fjall::{StorageError, Store};
use crate::engine::row::{Cursor, HistoryChunk, RunRow, TimerRow};

/// The tables form of a [`Store`].
pub struct FjallTables {
    store: Arc<Store>,
}

impl FjallTables {
    /// The tables of an open store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    fn failed(&self, source: ::fjall::Error) -> Error {
        match self.store.error(source) {
            error @ StorageError::Damaged { .. } => damaged("the store", &error.to_string()),
            error => Error::Store(error.to_string()),
        }
    }

    /// A run's row, and its history if that is within a closed run's record.
    ///
    /// `open` is read first: a run that closes meanwhile is then found in `closed`.
    fn stored(&self, run_id: RunId) -> Result<(Option<RunRow>, Option<HistoryChunk>), Error> {
        let keyspaces = &self.store.tables;
        let open = keyspaces.open.get(run_id.as_bytes()).map_err(|error| self.failed(error))?;
        if let Some(value) = open {
            let row = decode(&value).map_err(|what| damaged(&format!("open/{run_id}"), &what))?;
            return Ok((Some(row), None));
        }
        match self.closed(run_id)? {
            Some(closed) => Ok((Some(closed.row), closed.history)),
            None => Ok((None, None)),
        }
    }

    fn closed(&self, run_id: RunId) -> Result<Option<ClosedRun>, Error> {
        let value =
            self.store.tables.closed.get(run_id.as_bytes()).map_err(|error| self.failed(error))?;
        value
            .map(|value| decode(&value).map_err(|what| damaged(&format!("closed/{run_id}"), &what)))
            .transpose()
    }

    /// The first event of the chunk that holds `from_sequence`, or of the next one.
    fn first_chunk(&self, run_id: RunId, from_sequence: u64) -> Result<u64, Error> {
        let range = keys::history(run_id, 0)..=keys::history(run_id, from_sequence);
        match self.store.tables.history.range(range).next_back() {
            Some(entry) => {
                let value = entry.value().map_err(|error| self.failed(error))?;
                let chunk = decode_chunk(run_id, &value)?;
                let end = chunk.first_sequence + u64::from(chunk.count);
                Ok(if from_sequence < end { chunk.first_sequence } else { end })
            }
            None => Ok(from_sequence),
        }
    }
}

#[async_trait]
impl Tables for FjallTables {
    async fn cursor(&self) -> Result<Option<Cursor>, Error> {
        let value =
            self.store.tables.cursor.get(keys::CURSOR).map_err(|error| self.failed(error))?;
        value
            .map(|value| {
                keys::decode_cursor(&value)
                    .ok_or_else(|| damaged("cursor", "it has the wrong length"))
            })
            .transpose()
    }

    async fn apply(&self, step: DrainStep) -> Result<(), Error> {
        apply::apply(self, step)
    }

    async fn sync(&self) -> Result<(), Error> {
        self.store
            .tables
            .database
            .persist(PersistMode::SyncData)
            .map_err(|error| self.failed(error))
    }

    async fn run_by_workflow_id(&self, workflow_id: &str) -> Result<Option<RunRow>, Error> {
        let value =
            self.store.tables.workflow_ids.get(workflow_id).map_err(|error| self.failed(error))?;
        let Some(value) = value else { return Ok(None) };
        let run_id = RunId::from_slice(&value).ok_or_else(|| {
            damaged(&format!("workflow_ids/{workflow_id}"), "it does not hold a run id")
        })?;
        self.run(run_id).await
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.stored(run_id)?.0)
    }

    async fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<HistoryChunk>, Error> {
        if let Some(chunk) = self.closed(run_id)?.and_then(|closed| closed.history) {
            let holds = from_sequence < chunk.first_sequence + u64::from(chunk.count);
            return Ok(if holds { vec![chunk] } else { Vec::new() });
        }
        let first = self.first_chunk(run_id, from_sequence)?;
        let range = keys::history(run_id, first)..=keys::history(run_id, u64::MAX);
        let mut chunks = Vec::new();
        let mut gathered = 0;
        for entry in self.store.tables.history.range(range) {
            let value = entry.value().map_err(|error| self.failed(error))?;
            let chunk = decode_chunk(run_id, &value)?;
            gathered += chunk.bytes.len();
            chunks.push(chunk);
            if gathered >= limit_bytes {
                break;
            }
        }
        Ok(chunks)
    }

    async fn timers(
        &self,
        until_ms: i64,
        after: Option<&TimerRow>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, Error> {
        let last = keys::last_timer(until_ms);
        let start = after.map(keys::timer);
        if start.is_some_and(|start| start >= last) {
            return Ok(Vec::new());
        }
        let range = (start.map_or(Bound::Unbounded, Bound::Excluded), Bound::Included(last));
        let entries = self.store.tables.timers.range(range);
        entries
            .take(limit)
            .map(|entry| {
                let key = entry.key().map_err(|error| self.failed(error))?;
                keys::decode_timer(&key)
                    .ok_or_else(|| damaged("timers", "a key has the wrong length"))
            })
            .collect()
    }

    async fn open_runs(
        &self,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        let snapshot = self.store.tables.database.snapshot();
        let keyspaces = &self.store.tables;
        let keyspace = if only_active { &keyspaces.active } else { &keyspaces.open };
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after.as_bytes()));
        let entries = snapshot.range(keyspace, (start, Bound::Unbounded));
        let mut rows = Vec::new();
        for entry in entries.take(limit) {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(error))?;
            let run_id =
                RunId::from_slice(&key).ok_or_else(|| damaged("open", "a key is not a run id"))?;
            rows.push(if only_active {
                list::read_row(self, &snapshot, run_id)?
            } else {
                decode(&value).map_err(|what| damaged(&format!("open/{run_id}"), &what))?
            });
        }
        Ok(rows)
    }

    async fn list(
        &self,
        filter: &ListFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        list::list(self, filter, before, limit)
    }
}

fn damaged(place: &str, what: &str) -> Error {
    Error::Damaged { place: place.to_owned(), what: what.to_owned() }
}

fn decode_chunk(run_id: RunId, value: &[u8]) -> Result<HistoryChunk, Error> {
    decode(value).map_err(|what| damaged(&format!("history/{run_id}"), &what))
}
