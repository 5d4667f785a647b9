//! The tables on CQL.
//!
//! # Timestamps are sequence numbers
//!
//! All that the tables know of a run follows from its id and from how many events it has: histories only grow. So every
//! write that tells of a run (its row, its index entries, their deletion) carries that number as its timestamp, and the
//! server keeps the newest. A node that was fenced and writes late overwrites nothing, and no write is conditional. What
//! retention deletes has a timestamp above all sequence numbers, so that nothing brings it back.
//!
//! # A step is not atomic
//!
//! The row of a run is what counts: it is written after all else of its change, and readers believe an index entry only
//! as far as the row agrees. The cursor is written after all runs. What a crash leaves half done is done again from the
//! log, and changes nothing that was done. Two nodes that drain the same log (one of them was fenced) may cut histories
//! differently: chunks may overlap, and a reader goes from chunk to chunk by sequence numbers.
//!
//! Writes are durable on a quorum when they are answered, so [`Tables::sync`] has nothing to wait for.

mod apply;
mod expire;
mod history;
mod list;
mod scan;
mod statements;

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use souk_mesh::cql::{self, Lookup, Session};

use self::apply::Outline;
use self::list::ListingPlace;
use self::statements::Statements;
use super::{signed, unsigned};
use crate::engine::filter::Filter;
use crate::engine::ids::{LogId, RunId, Slot};
use crate::engine::partition::{Partition, PartitionSet};
use crate::engine::row::{Cursor, HistoryChunk, RunRow, TimerRow};
use crate::engine::tables::{DrainStep, Error, Expired, Listed, Tables};

/// The one partition of tables that are small.
const SHELF: i8 = 0;
/// The timestamp of what is never to come back: above all sequence numbers, below every time of today (it is a moment
/// of the year 2005 in microseconds), since servers refuse timestamps from the future.
const DELETED: i64 = 1 << 50;
/// Rows that are read at once.
const READS_AT_ONCE: usize = 32;
/// Runs under one workflow id that are read at once to find the newest of which there is a row.
const RUNS_OF_AN_ID: i32 = 4;

/// The tables form of a keyspace.
pub struct CqlTables {
    session: Session,
    statements: Statements,
    outlines: Lookup<Bytes, Outline>,
    /// Where the lists are known to look. Bounded by [`list::MAX_KNOWN_PLACES`].
    known_places: Mutex<HashSet<ListingPlace>>,
}

impl CqlTables {
    /// The tables in an open keyspace.
    ///
    /// # Errors
    /// Those of [`Session::prepare`].
    pub async fn open(session: &Session) -> Result<CqlTables, cql::Error> {
        let statements = Statements::prepare(session).await?;
        let outlines = apply::outlines(session).await?;
        let known_places = Mutex::default();
        Ok(CqlTables { session: session.clone(), statements, outlines, known_places })
    }

    /// The runs under a workflow id, newest first, a few at a time.
    async fn runs_of(&self, workflow_id: &str, before: Option<RunId>) -> Result<Vec<RunId>, Error> {
        let statements = &self.statements;
        let rows: Vec<(Bytes,)> = match before {
            None => {
                let values = (workflow_id, RUNS_OF_AN_ID);
                self.session.rows(&statements.runs_of_id, values).await
            }
            Some(before) => {
                let values = (workflow_id, key(before), RUNS_OF_AN_ID);
                self.session.rows(&statements.runs_of_id_before, values).await
            }
        }
        .map_err(failed)?;
        rows.iter().map(|(bytes,)| run_of("workflow_id", bytes)).collect()
    }
}

#[async_trait]
impl Tables for CqlTables {
    async fn cursor(&self) -> Result<Option<Cursor>, Error> {
        let row: Option<(i64, i64)> =
            self.session.row(&self.statements.newest_cursor, (SHELF,)).await.map_err(failed)?;
        Ok(row.map(|(log, slot)| Cursor { log: LogId(unsigned(log)), slot: Slot(unsigned(slot)) }))
    }

    async fn cursor_of(&self, log: LogId) -> Result<Option<Cursor>, Error> {
        let values = (SHELF, signed(log.0));
        let row: Option<(i64,)> =
            self.session.row(&self.statements.cursor, values).await.map_err(failed)?;
        Ok(row.map(|(slot,)| Cursor { log, slot: Slot(unsigned(slot)) }))
    }

    async fn apply(&self, step: DrainStep) -> Result<(), Error> {
        apply::apply(self, step).await
    }

    async fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn run_by_workflow_id(&self, workflow_id: &str) -> Result<Option<RunRow>, Error> {
        let mut before = None;
        loop {
            let found = self.runs_of(workflow_id, before).await?;
            for run_id in &found {
                // An entry without a row is of a run that is just coming, or just going.
                if let Some(row) = self.run(*run_id).await? {
                    return Ok(Some(row));
                }
            }
            if found.len() < RUNS_OF_AN_ID as usize {
                return Ok(None);
            }
            before = found.last().copied();
        }
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRow>, Error> {
        let row: Option<(Bytes,)> =
            self.session.row(&self.statements.run, (key(run_id),)).await.map_err(failed)?;
        row.map(|(bytes,)| decode("run", run_id, &bytes)).transpose()
    }

    async fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<HistoryChunk>, Error> {
        history::read(self, run_id, from_sequence, limit_bytes).await
    }

    async fn timers(
        &self,
        partitions: &PartitionSet,
        until_ms: i64,
        after: Option<&TimerRow>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, Error> {
        scan::timers(self, partitions, until_ms, after, limit).await
    }

    async fn forget_timer(&self, workflow_id: &str, timer: &TimerRow) -> Result<(), Error> {
        let partition = Partition::of(workflow_id).number() as i16;
        let command = signed(timer.command);
        let values = (DELETED, partition, timer.fire_at_ms, key(timer.run_id), command);
        self.session.write(&self.statements.clear_timer, values).await.map_err(failed)
    }

    async fn open_runs(
        &self,
        partitions: &PartitionSet,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        scan::open_runs(self, partitions, only_active, after, limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Listed, Error> {
        list::list(self, filter, before, limit).await
    }

    async fn expire(
        &self,
        closed_before_ms: i64,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Expired, Error> {
        expire::expire(self, closed_before_ms, after, limit).await
    }
}

/// The timestamp of what is written of a run that has so many events.
fn stamp(next_sequence: u64) -> i64 {
    signed(next_sequence).saturating_add(1).min(DELETED - 1)
}

/// A run id in a key or a column.
fn key(run_id: RunId) -> [u8; 16] {
    *run_id.as_bytes()
}

/// A state in a key or a column: states are small numbers that never change their meaning.
fn state_key(row: &RunRow) -> i8 {
    i8::try_from(row.state).unwrap_or(i8::MAX)
}

fn run_of(table: &str, bytes: &[u8]) -> Result<RunId, Error> {
    RunId::from_slice(bytes).ok_or_else(|| damaged(table, "a key is not a run id"))
}

fn decode<M: Message + Default>(table: &str, run_id: RunId, bytes: &Bytes) -> Result<M, Error> {
    let message = M::decode(bytes.clone());
    message.map_err(|error| damaged(&format!("{table}/{run_id}"), &error.to_string()))
}

fn damaged(place: &str, what: &str) -> Error {
    Error::Damaged { place: place.to_owned(), what: what.to_owned() }
}

fn failed(error: cql::Error) -> Error {
    Error::Store(error.to_string())
}
