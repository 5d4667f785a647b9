//! Lists, newest first.
//!
//! Run ids begin with the time of the start. `listing` has a partition for every type, state, hour of the start and
//! shard; `listing_bucket` says which of them there are, so that a list goes back from hour to hour and asks only where
//! something is. Entries lead to runs, no more: the run's row decides whether it is meant.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use souk_mesh::cql;

use super::{CqlTables, READS_AT_ONCE, SHELF, failed, key, run_of, stamp, state_key};
use crate::engine::filter::{Filter, Scope};
use crate::engine::ids::RunId;
use crate::engine::limits::MAX_SCANNED_ROWS;
use crate::engine::row::RunRow;
use crate::engine::tables::{Error, Listed};
use crate::store::cql::merge::{Fetch, Merge};

/// The time that runs of one bucket were started in, in milliseconds.
const BUCKET_MS: i64 = 3_600_000;
/// Partitions over which the runs of one type, state and bucket are spread.
const SHARDS: u8 = 4;
/// Places that a process remembers to have noted.
pub(super) const MAX_KNOWN_PLACES: usize = 10_000;
/// Places less than this older than what is deleted now are not cleared, since new runs may still come: in buckets.
pub(super) const YOUNG_BUCKETS: i64 = 2;
/// Places that are read at once, of one or more buckets.
const PLACES_PER_READ: i32 = 5_000;
/// Places that one page looks through before it says where to go on.
const MAX_PLACES_PER_PAGE: usize = 20_000;

/// A partition of the list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ListingPlace {
    pub bucket: i64,
    pub workflow_type: String,
    pub state: i8,
    pub shard: i8,
}

impl ListingPlace {
    /// Where a run belongs.
    pub(super) fn of(row: &RunRow) -> ListingPlace {
        let run_id = row.id();
        let shard = run_id.as_bytes()[15] % SHARDS;
        ListingPlace {
            bucket: bucket_of(run_id),
            workflow_type: row.workflow_type.clone(),
            state: state_key(row),
            shard: shard as i8,
        }
    }

    /// Where the same run was in another state.
    pub(super) fn beside(&self, workflow_type: &str, state: i8) -> ListingPlace {
        ListingPlace { workflow_type: workflow_type.to_owned(), state, ..self.clone() }
    }
}

pub(super) fn bucket_of(run_id: RunId) -> i64 {
    run_id.time_ms() / BUCKET_MS
}

impl CqlTables {
    /// Lists a run. The place is noted after the entry: whoever clears places looks for entries in between. Of an old
    /// run it is noted every time, since it may have been cleared.
    pub(super) async fn set_listed(
        &self,
        place: ListingPlace,
        is_new: bool,
        run_id: RunId,
        at: i64,
    ) -> Result<(), cql::Error> {
        let ListingPlace { bucket, workflow_type, state, shard } = &place;
        let values = (workflow_type, state, bucket, shard, key(run_id), at);
        self.session.write(&self.statements.set_listed, values).await?;
        if is_new && self.known_places.lock().contains(&place) {
            return Ok(());
        }
        let values = (SHELF, bucket, workflow_type, state, shard);
        self.session.write(&self.statements.set_bucket, values).await?;
        let mut known = self.known_places.lock();
        if known.len() >= MAX_KNOWN_PLACES {
            known.clear();
        }
        known.insert(place);
        Ok(())
    }

    pub(super) async fn clear_listed(
        &self,
        place: &ListingPlace,
        run_id: RunId,
        at: i64,
    ) -> Result<(), cql::Error> {
        let ListingPlace { bucket, workflow_type, state, shard } = place;
        let values = (at, workflow_type, state, bucket, shard, key(run_id));
        self.session.write(&self.statements.clear_listed, values).await
    }

    /// The rows of these runs, as many as there are, in this order.
    pub(super) async fn rows_of(
        &self,
        run_ids: Vec<RunId>,
    ) -> Result<Vec<(RunId, Option<RunRow>)>, Error> {
        use crate::engine::tables::Tables;
        let reads = run_ids
            .into_iter()
            .map(|run_id| async move { Ok::<_, Error>((run_id, self.run(run_id).await?)) });
        stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
    }

    /// The partitions of one bucket and of those before it that are within a scope, bucket by bucket, newest first, and
    /// the bucket to go on before; `None` if those were all.
    async fn places(
        &self,
        scope: &Scope,
        newest: i64,
        oldest: i64,
    ) -> Result<(BTreeMap<i64, Vec<ListingPlace>>, Option<i64>, usize), Error> {
        let values = (SHELF, newest, oldest, PLACES_PER_READ);
        let found: Vec<(i64, String, i8, i8)> =
            self.session.rows(&self.statements.buckets_down, values).await.map_err(failed)?;
        let (count, last) = (found.len(), found.last().map(|found| found.0));
        let is_cut = count == PLACES_PER_READ as usize;
        // The last bucket may go on in the next read, and is read again then.
        let go_on =
            last.filter(|_| is_cut).map(|last| if last == newest { last - 1 } else { last });
        let mut places: BTreeMap<i64, Vec<ListingPlace>> = BTreeMap::new();
        for (bucket, workflow_type, state, shard) in found {
            let is_meant = scope.states.iter().any(|meant| *meant as i32 == i32::from(state))
                && scope.types.as_ref().is_none_or(|types| types.contains(&workflow_type));
            if is_meant && go_on.is_none_or(|go_on| bucket > go_on) {
                let place = ListingPlace { bucket, workflow_type, state, shard };
                places.entry(bucket).or_default().push(place);
            }
        }
        Ok((places, go_on, count))
    }

    /// Reads a partition of the list, newest first.
    fn listed_down(
        &self,
        place: ListingPlace,
        range: Range,
    ) -> Fetch<'_, std::cmp::Reverse<RunId>> {
        Box::new(move |after, limit| {
            let end = after.map_or(range.end, |after: std::cmp::Reverse<RunId>| after.0);
            let place = place.clone();
            async move {
                let ListingPlace { bucket, workflow_type, state, shard } = place;
                let (first, end) = (key(range.first), key(end));
                let values = (workflow_type, state, bucket, shard, first, end, limit as i32);
                let rows: Vec<(Bytes,)> = self
                    .session
                    .rows(&self.statements.listed_before, values)
                    .await
                    .map_err(failed)?;
                rows.iter().map(|(id,)| run_of("listing", id).map(std::cmp::Reverse)).collect()
            }
            .boxed()
        })
    }
}

/// Ids of runs, from the first one up to the end, which is not within.
#[derive(Clone, Copy)]
struct Range {
    first: RunId,
    end: RunId,
}

impl Range {
    /// `None` if no run can be within.
    fn of(scope: &Scope, before: Option<RunId>) -> Option<Range> {
        let none_above = RunId(uuid::Uuid::max());
        let end = scope.end_run().unwrap_or(none_above).min(before.unwrap_or(none_above));
        let first = scope.first_run();
        (first < end).then_some(Range { first, end })
    }
}

/// A page under way.
struct Page<'a> {
    tables: &'a CqlTables,
    filter: &'a Filter,
    limit: usize,
    scanned: usize,
    listed: Listed,
}

/// See [`Tables::list`](crate::engine::tables::Tables::list).
pub(super) async fn list(
    tables: &CqlTables,
    filter: &Filter,
    before: Option<RunId>,
    limit: usize,
) -> Result<Listed, Error> {
    let scope = filter.scope();
    let Some(range) = Range::of(&scope, before) else { return Ok(Listed::default()) };
    let (mut newest, oldest) = (bucket_of(range.end), bucket_of(range.first));
    let mut page = Page { tables, filter, limit, scanned: 0, listed: Listed::default() };
    let mut looked_through = 0;
    loop {
        let (places, go_on, count) = tables.places(&scope, newest, oldest).await?;
        for (_, places) in places.into_iter().rev() {
            if page.add_bucket(places, range).await? {
                return Ok(page.listed);
            }
        }
        looked_through += count;
        match go_on {
            Some(bucket) if looked_through < MAX_PLACES_PER_PAGE => newest = bucket,
            Some(bucket) => {
                page.listed.next = Some(RunId::first_at((bucket + 1) * BUCKET_MS));
                return Ok(page.listed);
            }
            None => return Ok(Listed { next: None, ..page.listed }),
        }
    }
}

impl Page<'_> {
    /// Whether the page is full. A run has more than one entry while it goes from state to state; it is listed once.
    async fn add_bucket(&mut self, places: Vec<ListingPlace>, range: Range) -> Result<bool, Error> {
        let tables = self.tables;
        let feeds = places.into_iter().map(|place| tables.listed_down(place, range)).collect();
        let mut merge = Merge::begin(feeds, self.limit.clamp(1, MAX_SCANNED_ROWS)).await?;
        let mut last = None;
        loop {
            // One more tells whether there is more.
            let wanted = (self.limit - self.listed.rows.len()).max(READS_AT_ONCE) + 1;
            let run_ids = merge.take(wanted).await?;
            if run_ids.is_empty() {
                return Ok(false);
            }
            let mut run_ids: Vec<RunId> = run_ids.into_iter().map(|run_id| run_id.0).collect();
            run_ids.dedup();
            run_ids.retain(|run_id| Some(*run_id) != last);
            last = run_ids.last().copied().or(last);
            for (run_id, row) in tables.rows_of(run_ids).await? {
                let Some(row) = row else { continue };
                if self.listed.rows.len() >= self.limit || self.scanned >= MAX_SCANNED_ROWS {
                    return Ok(true);
                }
                self.scanned += 1;
                self.listed.next = Some(run_id);
                if self.filter.matches(&row) {
                    self.listed.rows.push(row);
                }
            }
        }
    }
}

impl CqlTables {
    /// Takes away an entry that the run's row contradicts; one that a newer change has made stays.
    pub(super) async fn clear_contradicted(
        &self,
        place: &ListingPlace,
        row: &RunRow,
    ) -> Result<(), Error> {
        self.clear_listed(place, row.id(), stamp(row.next_sequence)).await.map_err(failed)
    }
}
