//! Deletes closed runs that are old enough, found through the lists, oldest first.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::list::{ListingPlace, YOUNG_BUCKETS, bucket_of};
use super::{CqlTables, DELETED, READS_AT_ONCE, SHELF, failed, key, run_of};
use crate::engine::ids::RunId;
use crate::engine::row::{RunRow, RunState};
use crate::engine::tables::{Error, Expired, Tables};
use crate::store::cql::merge::{Fetch, Merge};

/// Places that are read at once: those of several buckets. More than a single bucket has.
const PLACES_PER_READ: i32 = 5_000;
/// Runs that are looked at together.
const RUNS_PER_LOOK: usize = 64;

/// A run in the list, and where.
type Entry = (RunId, usize);

/// See [`Tables::expire`].
pub(super) async fn expire(
    tables: &CqlTables,
    closed_before_ms: i64,
    after: Option<RunId>,
    limit: usize,
) -> Result<Expired, Error> {
    let end = RunId::first_at(closed_before_ms);
    let mut sweep = Sweep { tables, closed_before_ms, end, after, limit, looked_at: 0, deleted: 0 };
    let mut first = after.map_or(0, bucket_of);
    let last = bucket_of(end);
    while first <= last {
        let values = (SHELF, first, last, PLACES_PER_READ);
        let found: Vec<(i64, String, i8, i8, i64)> =
            tables.session.rows(&tables.statements.buckets_up, values).await.map_err(failed)?;
        let is_cut = found.len() == PLACES_PER_READ as usize;
        let newest = found.last().map(|found| found.0);
        let whole = found.iter().filter(|found| !is_cut || Some(found.0) != newest);
        let whole: Vec<_> = whole.cloned().collect();
        for places in whole.chunk_by(|one, other| one.0 == other.0) {
            if let Some(next) = sweep.bucket(places).await? {
                return Ok(Expired { deleted: sweep.deleted, next: Some(next) });
            }
        }
        match newest {
            Some(newest) if is_cut => first = newest.max(first + 1),
            _ => break,
        }
    }
    Ok(Expired { deleted: sweep.deleted, next: None })
}

struct Sweep<'a> {
    tables: &'a CqlTables,
    closed_before_ms: i64,
    end: RunId,
    after: Option<RunId>,
    limit: usize,
    looked_at: usize,
    deleted: usize,
}

impl Sweep<'_> {
    /// Goes through the closed runs of a bucket; where to go on, if as many were looked at as may be.
    async fn bucket(
        &mut self,
        found: &[(i64, String, i8, i8, i64)],
    ) -> Result<Option<RunId>, Error> {
        let is_closed = |state: i8| {
            RunState::ALL.iter().any(|of| *of as i32 == i32::from(state) && of.is_closed())
        };
        let closed: Vec<(ListingPlace, i64)> = found
            .iter()
            .filter(|found| is_closed(found.2))
            .map(|(bucket, workflow_type, state, shard, noted)| {
                let workflow_type = workflow_type.clone();
                let place =
                    ListingPlace { bucket: *bucket, workflow_type, state: *state, shard: *shard };
                (place, *noted)
            })
            .collect();
        let feeds = closed.iter().enumerate().map(|(at, (place, _))| self.feed(at, place));
        let mut merge = Merge::begin(feeds.collect(), RUNS_PER_LOOK).await?;
        loop {
            let wanted = RUNS_PER_LOOK.min(self.limit - self.looked_at);
            let entries = merge.take(wanted).await?;
            let entries: Vec<Entry> =
                entries.into_iter().take_while(|(run_id, _)| *run_id < self.end).collect();
            let count = entries.len();
            let last = self.look_at(&closed, entries).await?;
            if self.looked_at >= self.limit {
                return Ok(last);
            }
            if count < wanted {
                break;
            }
        }
        self.clear_places(&closed).await?;
        Ok(None)
    }

    fn feed<'b>(&self, at: usize, place: &'b ListingPlace) -> Fetch<'b, Entry>
    where
        Self: 'b,
    {
        let (tables, after) = (self.tables, self.after);
        Box::new(move |last, limit| {
            entries(tables, place, last.map(|(run_id, _)| run_id).or(after), limit)
                .map(move |found| Ok(found?.into_iter().map(|run_id| (run_id, at)).collect()))
                .boxed()
        })
    }

    async fn look_at(
        &mut self,
        places: &[(ListingPlace, i64)],
        entries: Vec<Entry>,
    ) -> Result<Option<RunId>, Error> {
        let (tables, closed_before_ms) = (self.tables, self.closed_before_ms);
        let looks = entries.into_iter().map(|(run_id, at)| async move {
            let found = look_at(tables, &places[at].0, run_id, closed_before_ms).await?;
            Ok::<_, Error>((run_id, found))
        });
        let looked: Vec<(RunId, Look)> =
            stream::iter(looks).buffered(READS_AT_ONCE).try_collect().await?;
        let mut last = None;
        for (run_id, look) in looked {
            self.looked_at += usize::from(look != Look::Nothing);
            self.deleted += usize::from(look == Look::Deleted);
            last = Some(run_id);
        }
        Ok(last)
    }

    /// Lists need not look any more where nothing is left.
    async fn clear_places(&self, places: &[(ListingPlace, i64)]) -> Result<(), Error> {
        let is_old = |place: &ListingPlace| place.bucket + YOUNG_BUCKETS < bucket_of(self.end);
        for (place, noted) in places.iter().filter(|(place, _)| is_old(place)) {
            if entries(self.tables, place, None, 1).await?.is_empty() {
                let ListingPlace { bucket, workflow_type, state, shard } = place;
                let values = (noted, SHELF, bucket, workflow_type, state, shard);
                let statement = &self.tables.statements.clear_bucket;
                self.tables.session.write(statement, values).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The entry led to no run that is closed.
    Nothing,
    Kept,
    Deleted,
}

async fn look_at(
    tables: &CqlTables,
    place: &ListingPlace,
    run_id: RunId,
    closed_before_ms: i64,
) -> Result<Look, Error> {
    let Some(row) = tables.run(run_id).await? else {
        // It was deleted while the entry was written anew. A run that is just coming is not as old as this.
        tables.clear_listed(place, run_id, DELETED).await.map_err(failed)?;
        return Ok(Look::Nothing);
    };
    if ListingPlace::of(&row) != *place {
        tables.clear_contradicted(place, &row).await?;
        return Ok(Look::Nothing);
    }
    if row.closed_at_ms >= closed_before_ms {
        return Ok(Look::Kept);
    }
    delete(tables, place, &row).await?;
    Ok(Look::Deleted)
}

/// The entry by which the run was found goes last: until then a crash leaves what is found again.
async fn delete(tables: &CqlTables, place: &ListingPlace, row: &RunRow) -> Result<(), Error> {
    let (session, statements) = (&tables.session, &tables.statements);
    let run_id = key(row.id());
    let work = async {
        session.write(&statements.delete_history, (DELETED, run_id)).await?;
        session.write(&statements.clear_id, (DELETED, &row.workflow_id, run_id)).await?;
        session.write(&statements.delete_run, (DELETED, run_id)).await?;
        tables.clear_listed(place, row.id(), DELETED).await
    };
    work.await.map_err(failed)
}

/// The runs of a partition of the list behind one of them, oldest first.
async fn entries(
    tables: &CqlTables,
    place: &ListingPlace,
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunId>, Error> {
    let ListingPlace { bucket, workflow_type, state, shard } = place;
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let values = (workflow_type, state, bucket, shard, after, limit as i32);
    let rows: Vec<(Bytes,)> =
        tables.session.rows(&tables.statements.listed_after, values).await.map_err(failed)?;
    rows.iter().map(|(id,)| run_of("listing", id)).collect()
}
