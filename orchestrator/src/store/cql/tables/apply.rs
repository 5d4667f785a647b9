//! Writes a drain step: all runs beside each other, the row of each behind everything else of it, and the cursor last.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use scylla::DeserializeRow;
use souk_mesh::cql::{self, Lookup, Session};

use super::history::{self, INLINE_BYTES};
use super::list::ListingPlace;
use super::{CqlTables, SHELF, failed, key, stamp, state_key};
use crate::engine::partition::Partition;
use crate::engine::row::RunRow;
use crate::engine::tables::{DrainStep, Error, RunChange};
use crate::store::cql::{signed, unsigned};

/// Runs of a step that are written at once.
const RUNS_AT_ONCE: usize = 32;
/// Writes of one run that are under way at once.
const WRITES_OF_A_RUN_AT_ONCE: usize = 4;

type Writes<'a> = Vec<BoxFuture<'a, Result<(), cql::Error>>>;

/// See [`Tables::apply`](crate::engine::tables::Tables::apply).
pub(super) async fn apply(tables: &CqlTables, step: DrainStep) -> Result<(), Error> {
    let changes = step.runs.iter().map(Ok);
    stream::iter(changes)
        .try_for_each_concurrent(RUNS_AT_ONCE, |change| apply_change(tables, change))
        .await?;
    // The timestamp is the slot: a log is never drained less than it was.
    let slot = signed(step.cursor.slot.0);
    let values = (SHELF, signed(step.cursor.log.0), slot, stamp(step.cursor.slot.0));
    tables.session.write(&tables.statements.set_cursor, values).await.map_err(failed)
}

async fn apply_change(tables: &CqlTables, change: &RunChange) -> Result<(), Error> {
    let row = &*change.row;
    let before = if change.is_new { None } else { outline(tables, row).await? };
    if before.as_ref().is_some_and(|before| unsigned(before.next_sequence) >= row.next_sequence) {
        // The row is written last: all of this change is there, or more.
        return Ok(());
    }
    let is_whole = change.is_new && row.state().is_closed();
    let chunk = change.chunk.as_ref();
    let inline = chunk.filter(|chunk| is_whole && chunk.bytes.len() <= INLINE_BYTES);
    let mut writes = Writes::new();
    if let Some(chunk) = chunk.filter(|_| inline.is_none()) {
        writes.extend(history::write(tables, row.id(), chunk, stamp(row.next_sequence)));
    }
    timers(tables, change, &mut writes);
    index(tables, change, before.as_ref(), &mut writes);
    stream::iter(writes)
        .buffer_unordered(WRITES_OF_A_RUN_AT_ONCE)
        .try_collect::<()>()
        .await
        .map_err(failed)?;
    let statements = &tables.statements;
    let (run_id, workflow_type) = (key(row.id()), row.workflow_type.as_str());
    let (state, next, bytes) = (state_key(row), signed(row.next_sequence), row.encode_to_vec());
    let at = stamp(row.next_sequence);
    let written = match inline {
        Some(chunk) => {
            let values = (run_id, workflow_type, state, next, bytes, chunk.encode_to_vec(), at);
            tables.session.write(&statements.set_run_with_history, values).await
        }
        None => {
            let values = (run_id, workflow_type, state, next, bytes, at);
            tables.session.write(&statements.set_run, values).await
        }
    };
    written.map_err(failed)
}

/// What the tables know of a run by which it is indexed.
#[derive(Clone, DeserializeRow)]
pub(super) struct Outline {
    run_id: Bytes,
    workflow_type: String,
    state: i8,
    next_sequence: i64,
}

impl cql::Row<Bytes> for Outline {
    fn key(&self) -> Bytes {
        self.run_id.clone()
    }
}

/// Finds outlines; those of the runs of a step by a few statements.
pub(super) async fn outlines(session: &Session) -> Result<Lookup<Bytes, Outline>, cql::Error> {
    let outline = "SELECT run_id, workflow_type, state, next_sequence FROM {}.run
        WHERE run_id {key} PER PARTITION LIMIT 1";
    Lookup::prepare(session, outline).await
}

async fn outline(tables: &CqlTables, row: &RunRow) -> Result<Option<Outline>, Error> {
    let key = Bytes::copy_from_slice(&key(row.id()));
    tables.outlines.row(key).await.map_err(failed)
}

fn timers<'a>(tables: &'a CqlTables, change: &'a RunChange, writes: &mut Writes<'a>) {
    let RunChange { row, timers_set, timers_cleared, .. } = change;
    let partition = partition_of(row);
    let (statements, at) = (&tables.statements, stamp(row.next_sequence));
    for timer in timers_set.iter().filter(|timer| !timers_cleared.contains(timer)) {
        let command = signed(timer.command);
        let values = (partition, timer.fire_at_ms, key(timer.run_id), command, at);
        writes.push(Box::pin(tables.session.write(&statements.set_timer, values)));
    }
    for timer in timers_cleared {
        let command = signed(timer.command);
        let values = (at, partition, timer.fire_at_ms, key(timer.run_id), command);
        writes.push(Box::pin(tables.session.write(&statements.clear_timer, values)));
    }
}

/// Every entry that holds is written again, also where nothing changed: a late deletion by a node that knew the run in
/// another state in between must not take it away.
fn index<'a>(
    tables: &'a CqlTables,
    change: &'a RunChange,
    before: Option<&Outline>,
    writes: &mut Writes<'a>,
) {
    let row = &*change.row;
    let (statements, session) = (&tables.statements, &tables.session);
    let (run_id, partition, at) = (key(row.id()), partition_of(row), stamp(row.next_sequence));
    if change.is_new {
        let values = (row.workflow_id.as_str(), run_id, at);
        writes.push(Box::pin(session.write(&statements.set_id, values)));
    }
    let place = ListingPlace::of(row);
    let old = before.map(|before| place.beside(&before.workflow_type, before.state));
    writes.push(Box::pin(tables.set_listed(place.clone(), change.is_new, row.id(), at)));
    if let Some(old) = old.filter(|old| *old != place) {
        writes.push(Box::pin(async move { tables.clear_listed(&old, row.id(), at).await }));
    }
    if !row.state().is_closed() {
        let values = (partition, run_id, at);
        writes.push(Box::pin(session.write(&statements.set_open, values)));
    } else if !change.is_new {
        let values = (at, partition, run_id);
        writes.push(Box::pin(session.write(&statements.clear_open, values)));
    }
    if row.is_active() {
        let values = (partition, run_id, at);
        writes.push(Box::pin(session.write(&statements.set_active, values)));
    } else if !change.is_new {
        let values = (at, partition, run_id);
        writes.push(Box::pin(session.write(&statements.clear_active, values)));
    }
}

fn partition_of(row: &RunRow) -> i16 {
    Partition::of(&row.workflow_id).number() as i16
}
