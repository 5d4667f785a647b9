//! Deletes closed runs that are old enough.

use std::ops::Bound;

use ::fjall::{OwnedWriteBatch, PersistMode, Readable, Snapshot};

use super::values::{ClosedRun, decode};
use super::{FjallTables, damaged, keys};
use crate::engine::ids::RunId;
use crate::engine::tables::{Error, Expired};

/// One step: see [`Tables::expire`](crate::engine::tables::Tables::expire).
pub(super) fn expire(
    tables: &FjallTables,
    closed_before_ms: i64,
    after: Option<RunId>,
    limit: usize,
) -> Result<Expired, Error> {
    // A drain step may be about to make another run the newest of a workflow id.
    let _alone = tables.writing.lock();
    let end = keys::first_run_of(closed_before_ms);
    if after.is_some_and(|after| *after.as_bytes() >= end) {
        return Ok(Expired::default());
    }
    let snapshot = tables.snapshot();
    let keyspaces = &tables.store.tables;
    let mut batch = OwnedWriteBatch::with_capacity(keyspaces.database.clone(), limit)
        .durability(Some(PersistMode::Buffer));
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after.as_bytes()));
    let mut expired = Expired::default();
    let mut looked_at = 0;
    for entry in snapshot.range(&keyspaces.closed, (start, Bound::Excluded(end))).take(limit) {
        let (key, value) = entry.into_inner().map_err(|error| tables.failed(error))?;
        let run_id =
            RunId::from_slice(&key).ok_or_else(|| damaged("closed", "a key is not a run id"))?;
        let closed: ClosedRun =
            decode(&value).map_err(|what| damaged(&format!("closed/{run_id}"), &what))?;
        looked_at += 1;
        expired.next = Some(run_id);
        if closed.row.closed_at_ms < closed_before_ms {
            delete(tables, &snapshot, &mut batch, run_id, &closed)?;
            expired.deleted += 1;
        }
    }
    if looked_at < limit {
        expired.next = None;
    }
    batch.commit().map_err(|error| tables.failed(error))?;
    Ok(expired)
}

fn delete(
    tables: &FjallTables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    run_id: RunId,
    closed: &ClosedRun,
) -> Result<(), Error> {
    let keyspaces = &tables.store.tables;
    batch.remove(&keyspaces.closed, &run_id.as_bytes()[..]);
    batch.remove(&keyspaces.listing, keys::listing(&closed.row));
    let workflow_id = closed.row.workflow_id.as_bytes();
    let newest = tables.get(snapshot, &keyspaces.workflow_ids, workflow_id)?;
    if newest.is_some_and(|newest| newest[..] == run_id.as_bytes()[..]) {
        batch.remove(&keyspaces.workflow_ids, workflow_id);
    }
    if closed.history.is_none() {
        let chunks = keys::history(run_id, 0)..=keys::history(run_id, u64::MAX);
        for entry in snapshot.range(&keyspaces.history, chunks) {
            let key = entry.key().map_err(|error| tables.failed(error))?;
            batch.remove(&keyspaces.history, key);
        }
    }
    Ok(())
}
