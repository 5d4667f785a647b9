//! Open runs and timers of some partitions, merged.
//!
//! An entry may be older than the run's row, where a node was fenced in the middle of a step: open runs are believed by
//! their rows, and what contradicts them is taken away. Timers are asked of the run when they are due.

use bytes::Bytes;
use futures::FutureExt;
use souk_mesh::cql::{self, Prepared};

use super::{CqlTables, failed, key, run_of, stamp};
use crate::engine::ids::RunId;
use crate::engine::partition::{Partition, PartitionSet};
use crate::engine::row::{RunRow, TimerRow};
use crate::engine::tables::Error;
use crate::store::cql::merge::{Fetch, Merge};
use crate::store::cql::{signed, unsigned};

/// Rows of a partition that one read returns, at least.
const MIN_PAGE: usize = 16;

/// How many rows to read of each of so many partitions: twice their share.
fn page_of(limit: usize, partitions: &PartitionSet) -> usize {
    let share = limit.saturating_mul(2) / partitions.len().max(1);
    share.clamp(MIN_PAGE, limit.max(MIN_PAGE))
}

/// A timer in the order in which timers are read.
type TimerKey = (i64, RunId, u64);

/// See [`Tables::timers`](crate::engine::tables::Tables::timers).
pub(super) async fn timers(
    tables: &CqlTables,
    partitions: &PartitionSet,
    until_ms: i64,
    after: Option<&TimerRow>,
    limit: usize,
) -> Result<Vec<TimerRow>, Error> {
    let none_below = (i64::MIN, RunId(uuid::Uuid::nil()), 0);
    let start = after.map_or(none_below, |after| (after.fire_at_ms, after.run_id, after.command));
    let feeds = partitions.iter().map(|partition| -> Fetch<'_, TimerKey> {
        Box::new(move |after, limit| {
            timers_of(tables, partition, after.unwrap_or(start), limit, until_ms).boxed()
        })
    });
    let mut merge = Merge::begin(feeds.collect(), page_of(limit, partitions)).await?;
    let found = merge.take(limit).await?;
    let timer = |(fire_at_ms, run_id, command)| TimerRow { fire_at_ms, run_id, command };
    Ok(found.into_iter().map(timer).collect())
}

/// Timers of a partition behind one of them, those that are due by then.
async fn timers_of(
    tables: &CqlTables,
    partition: Partition,
    (fire_at_ms, run_id, command): TimerKey,
    limit: usize,
    until_ms: i64,
) -> Result<Vec<TimerKey>, Error> {
    let partition = partition.number() as i16;
    let values = (partition, fire_at_ms, key(run_id), signed(command), limit as i32);
    let rows: Vec<(i64, Bytes, i64)> =
        tables.session.rows(&tables.statements.timers, values).await.map_err(failed)?;
    rows.into_iter()
        .take_while(|(fire_at_ms, ..)| *fire_at_ms <= until_ms)
        .map(|(fire_at_ms, run_id, command)| {
            Ok((fire_at_ms, run_of("timer", &run_id)?, unsigned(command)))
        })
        .collect()
}

/// See [`Tables::open_runs`](crate::engine::tables::Tables::open_runs).
pub(super) async fn open_runs(
    tables: &CqlTables,
    partitions: &PartitionSet,
    only_active: bool,
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunRow>, Error> {
    let statements = &tables.statements;
    let statement = if only_active { &statements.active_runs } else { &statements.open_runs };
    let feeds = partitions.iter().map(|partition| -> Fetch<'_, RunId> {
        Box::new(move |last, limit| {
            entries_of(tables, statement, partition, last.or(after), limit).boxed()
        })
    });
    let mut merge = Merge::begin(feeds.collect(), page_of(limit, partitions)).await?;
    let mut rows = Vec::new();
    while rows.len() < limit {
        let run_ids = merge.take(limit - rows.len()).await?;
        if run_ids.is_empty() {
            break;
        }
        for (_, row) in tables.rows_of(run_ids).await? {
            // Without a row: a run that is just coming.
            let Some(row) = row else { continue };
            if row.state().is_closed() || (only_active && !row.is_active()) {
                forget(tables, &row).await.map_err(failed)?;
            } else {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

async fn entries_of(
    tables: &CqlTables,
    statement: &Prepared,
    partition: Partition,
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunId>, Error> {
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let values = (partition.number() as i16, after, limit as i32);
    let rows: Vec<(Bytes,)> = tables.session.rows(statement, values).await.map_err(failed)?;
    rows.iter().map(|(id,)| run_of("open_run", id)).collect()
}

/// Takes away what the row contradicts; entries that a newer change has made stay.
async fn forget(tables: &CqlTables, row: &RunRow) -> Result<(), cql::Error> {
    let partition = Partition::of(&row.workflow_id).number() as i16;
    let values = (stamp(row.next_sequence), partition, key(row.id()));
    tables.session.write(&tables.statements.clear_active, values).await?;
    if row.state().is_closed() {
        tables.session.write(&tables.statements.clear_open, values).await?;
    }
    Ok(())
}
