//! The tables on one machine: a fjall database beside the log's.
//!
//! An open run is a row in `open` and its chunks in `history`. A closed run is a record in `closed`, written once. A run that
//! closes before it was ever drained is just that record, its history within, and two index entries.

mod apply;
mod expire;
mod keys;
mod list;
mod values;

use std::ops::Bound;
use std::sync::Arc;

use ::fjall::{Keyspace, PersistMode, Readable, Snapshot, UserValue};
use async_trait::async_trait;
use parking_lot::Mutex;

use self::values::{ClosedRun, decode};
use super::{DrainStep, Error, Expired, Listed, Tables};
use crate::engine::filter::Filter;
use crate::engine::ids::RunId;
use crate::engine::log::fjall::{StorageError, Store};
use crate::engine::partition::PartitionSet;
use crate::engine::row::{Cursor, HistoryChunk, RunRow, TimerRow};

/// The tables form of a [`Store`].
pub struct FjallTables {
    store: Arc<Store>,
    /// Held while tables are written: a deletion reads what it is about to write.
    writing: Mutex<()>,
}

impl FjallTables {
    /// The tables of an open store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, writing: Mutex::new(()) }
    }

    fn failed(&self, source: ::fjall::Error) -> Error {
        match self.store.error(source) {
            error @ StorageError::Damaged { .. } => damaged("the store", &error.to_string()),
            error => Error::Store(error.to_string()),
        }
    }

    /// The tables as they are between two steps. Reads go through one: a single read would see a step half applied.
    fn snapshot(&self) -> Snapshot {
        self.store.tables.database.snapshot()
    }

    fn get(
        &self,
        snapshot: &Snapshot,
        keyspace: &Keyspace,
        key: &[u8],
    ) -> Result<Option<UserValue>, Error> {
        snapshot.get(keyspace, key).map_err(|error| self.failed(error))
    }

    /// A run's row, and its history if that is within a closed run's record.
    fn stored(
        &self,
        snapshot: &Snapshot,
        run_id: RunId,
    ) -> Result<(Option<RunRow>, Option<HistoryChunk>), Error> {
        if let Some(value) = self.get(snapshot, &self.store.tables.open, run_id.as_bytes())? {
            let row = decode(&value).map_err(|what| damaged(&format!("open/{run_id}"), &what))?;
            return Ok((Some(row), None));
        }
        match self.closed(snapshot, run_id)? {
            Some(closed) => Ok((Some(closed.row), closed.history)),
            None => Ok((None, None)),
        }
    }

    fn closed(&self, snapshot: &Snapshot, run_id: RunId) -> Result<Option<ClosedRun>, Error> {
        let value = self.get(snapshot, &self.store.tables.closed, run_id.as_bytes())?;
        value
            .map(|value| decode(&value).map_err(|what| damaged(&format!("closed/{run_id}"), &what)))
            .transpose()
    }

    /// The row of a run that an index names.
    fn indexed(&self, snapshot: &Snapshot, run_id: RunId) -> Result<RunRow, Error> {
        self.stored(snapshot, run_id)?.0.ok_or_else(|| {
            damaged(&format!("closed/{run_id}"), "an index names the run, but it has no record")
        })
    }

    /// The first event of the chunk that holds `from_sequence`, or of the next one.
    fn first_chunk(
        &self,
        snapshot: &Snapshot,
        run_id: RunId,
        from_sequence: u64,
    ) -> Result<u64, Error> {
        let range = keys::history(run_id, 0)..=keys::history(run_id, from_sequence);
        match snapshot.range(&self.store.tables.history, range).next_back() {
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
        let value = self.get(&self.snapshot(), &self.store.tables.cursor, keys::CURSOR)?;
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
        let snapshot = self.snapshot();
        let workflow_ids = &self.store.tables.workflow_ids;
        let value = self.get(&snapshot, workflow_ids, workflow_id.as_bytes())?;
        let Some(value) = value else { return Ok(None) };
        let run_id = RunId::from_slice(&value).ok_or_else(|| {
            damaged(&format!("workflow_ids/{workflow_id}"), "it does not hold a run id")
        })?;
        self.indexed(&snapshot, run_id).map(Some)
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.stored(&self.snapshot(), run_id)?.0)
    }

    async fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<HistoryChunk>, Error> {
        let snapshot = self.snapshot();
        if let Some(chunk) = self.closed(&snapshot, run_id)?.and_then(|closed| closed.history) {
            let holds = from_sequence < chunk.first_sequence + u64::from(chunk.count);
            return Ok(if holds { vec![chunk] } else { Vec::new() });
        }
        let first = self.first_chunk(&snapshot, run_id, from_sequence)?;
        let range = keys::history(run_id, first)..=keys::history(run_id, u64::MAX);
        let mut chunks = Vec::new();
        let mut gathered = 0;
        for entry in snapshot.range(&self.store.tables.history, range) {
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
        partitions: &PartitionSet,
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
        let snapshot = self.snapshot();
        let entries = snapshot.range(&self.store.tables.timers, range);
        entries
            .map(|entry| {
                let key = entry.key().map_err(|error| self.failed(error))?;
                let timer = keys::decode_timer(&key)
                    .ok_or_else(|| damaged("timers", "a key has the wrong length"))?;
                let is_wanted = partitions.is_all()
                    || self
                        .stored(&snapshot, timer.run_id)?
                        .0
                        .is_some_and(|row| partitions.holds(&row.workflow_id));
                Ok(is_wanted.then_some(timer))
            })
            .filter_map(Result::transpose)
            .take(limit)
            .collect()
    }

    async fn open_runs(
        &self,
        partitions: &PartitionSet,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        let snapshot = self.snapshot();
        let keyspaces = &self.store.tables;
        let keyspace = if only_active { &keyspaces.active } else { &keyspaces.open };
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after.as_bytes()));
        let entries = snapshot.range(keyspace, (start, Bound::Unbounded));
        let mut rows = Vec::new();
        for entry in entries {
            if rows.len() >= limit {
                break;
            }
            let (key, value) = entry.into_inner().map_err(|error| self.failed(error))?;
            let run_id =
                RunId::from_slice(&key).ok_or_else(|| damaged("open", "a key is not a run id"))?;
            let row: RunRow = if only_active {
                self.indexed(&snapshot, run_id)?
            } else {
                decode(&value).map_err(|what| damaged(&format!("open/{run_id}"), &what))?
            };
            if partitions.holds(&row.workflow_id) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Listed, Error> {
        list::list(self, filter, before, limit)
    }

    async fn expire(
        &self,
        closed_before_ms: i64,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Expired, Error> {
        expire::expire(self, closed_before_ms, after, limit)
    }
}

fn damaged(place: &str, what: &str) -> Error {
    Error::Damaged { place: place.to_owned(), what: what.to_owned() }
}

fn decode_chunk(run_id: RunId, value: &[u8]) -> Result<HistoryChunk, Error> {
    decode(value).map_err(|what| damaged(&format!("history/{run_id}"), &what))
}
