//! Workflows that may never have been started.
//!
//! Before an order is recorded, its input is written beside it and a row names it as not started, in a partition of its
//! shard and slot of time; when its start is noted, the row is deleted. So a row is either a lost start, or an order that
//! was never recorded, or (the delete was lost) one that needs nothing: each look tells which.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use souk_mesh::cql::Error as StoreError;
use souk_mesh::cql::slots::{SAVED_BEHIND, Slots};
use uuid::Uuid;

use super::CqlStore;
use super::tables::Tables;
use crate::Error;
use crate::domain::State;
use crate::store::{MAX_UNSTARTED, Start, Unstarted};

/// Partitions of one slot.
const SHARDS: i32 = 4;
/// How much time a partition holds, milliseconds.
const SLOT_MS: i64 = 15_000;
/// How long after its end a slot may still be written to: longer than placing takes, and clocks differ.
const SETTLE_MS: i64 = 45_000;
/// How old a row without an order is when none can come any more, milliseconds.
const GIVE_UP_MS: i64 = 10 * 60 * 1_000;
/// Rows read at once.
const PAGE: i32 = 500;
/// Most rows that one look takes in, the oldest. They go away as their orders are started.
const MAX_ROWS: usize = 16_384;
/// Orders looked at, and slots read, at once.
const PARALLEL: usize = 16;
/// 2100-01-01, unix milliseconds.
const FAR_MS: i64 = 4_102_444_800_000;

/// An order that may not have been started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    order_id: Uuid,
    created_at_ms: i64,
    request: Vec<u8>,
}

/// Where a look begins: the slots of each shard.
pub(super) async fn open_slots(tables: &Tables, now_ms: i64) -> Result<Vec<Slots>, StoreError> {
    let mut slots = Vec::new();
    for shard in 0..SHARDS {
        let saved: Option<(i64,)> =
            tables.session.row(&tables.statements.find_swept, (shard,)).await?;
        let low = match saved {
            Some((low,)) => low,
            None => {
                let low = now_ms.div_euclid(SLOT_MS) - SAVED_BEHIND;
                // Before anything is recorded: the next start must look from here on.
                tables.session.write(&tables.statements.save_swept, (shard, low)).await?;
                low
            }
        };
        slots.push(Slots::new(low));
    }
    Ok(slots)
}

pub(super) fn place_of(order_id: Uuid, created_at_ms: i64) -> (i32, i64) {
    (i32::from(order_id.as_bytes()[15]) % SHARDS, created_at_ms.div_euclid(SLOT_MS))
}

impl CqlStore {
    /// Keeps what the workflow is to be started with, and that it has not been.
    pub(super) async fn put_start(
        &self,
        order_id: Uuid,
        created_at_ms: i64,
        request: &[u8; 32],
        input: &[u8],
    ) -> Result<(), StoreError> {
        let tables = &self.tables;
        let (shard, slot) = place_of(order_id, created_at_ms);
        let request = request.as_slice();
        tokio::try_join!(
            tables.session.write(&tables.statements.put_input, (input, order_id)),
            tables.session.write(
                &tables.statements.put_unstarted,
                (shard, slot, order_id, created_at_ms, request)
            ),
        )?;
        Ok(())
    }

    /// Forgets the start of an order that was certainly not recorded. What cannot be forgotten is met by a later look.
    pub(super) async fn forget_start(&self, order_id: Uuid, created_at_ms: i64) {
        let forgotten = tokio::try_join!(
            self.tables.session.write(&self.tables.statements.forget_order, (order_id,)),
            self.forget_unstarted(order_id, created_at_ms),
        );
        if let Err(error) = forgotten {
            tracing::debug!(%order_id, %error, "an order that was not recorded is forgotten later");
        }
    }

    async fn forget_unstarted(&self, order_id: Uuid, created_at_ms: i64) -> Result<(), StoreError> {
        let (shard, slot) = place_of(order_id, created_at_ms);
        self.tables
            .session
            .write(&self.tables.statements.forget_unstarted, (shard, slot, order_id))
            .await
    }

    pub(super) async fn note(&self, order_id: Uuid, answer: Option<Vec<u8>>) -> Result<(), Error> {
        let Some(found) = self.tables.head(order_id).await? else { return Ok(()) };
        if let (Some(answer), false) = (answer, found.has_answer()) {
            let values = (first_wins(), answer, order_id);
            self.tables.session.write(&self.tables.statements.answer, values).await?;
        }
        self.forget_unstarted(order_id, found.order.created_at_ms).await?;
        Ok(())
    }

    pub(super) async fn find_unstarted(
        &self,
        before_ms: i64,
        after: Option<Uuid>,
    ) -> Result<Vec<Unstarted>, Error> {
        let rows = self.unstarted_rows(before_ms).await?;
        let candidates = rows
            .into_iter()
            .filter(|row| row.created_at_ms < before_ms && Some(row.order_id) > after);
        let looks = candidates.map(|row| self.look(row, before_ms));
        let mut looks = stream::iter(looks).buffered(PARALLEL);
        let mut lost = Vec::new();
        while let Some(found) = looks.try_next().await? {
            lost.extend(found);
            if lost.len() == MAX_UNSTARTED as usize {
                break;
            }
        }
        Ok(lost)
    }

    /// The oldest rows, in the order of their ids.
    async fn unstarted_rows(&self, before_ms: i64) -> Result<BTreeSet<Row>, Error> {
        let mut shards = self.unstarted.lock().await;
        let newest = before_ms.div_euclid(SLOT_MS);
        let mut all = BTreeSet::new();
        for (shard, slots) in (0..).zip(shards.iter_mut()) {
            let room = MAX_ROWS / SHARDS as usize;
            let mut found = 0;
            let reads = slots.to_look_at(newest).into_iter().map(|slot| self.read(shard, slot));
            let mut reads = stream::iter(reads).buffered(PARALLEL);
            while let Some((slot, rows)) = reads.try_next().await? {
                if rows.is_empty() && before_ms >= (slot + 1) * SLOT_MS + SETTLE_MS {
                    slots.set_done(slot);
                }
                found += rows.len();
                all.extend(rows);
                if found >= room {
                    break;
                }
            }
            if let Some(begin) = slots.to_save() {
                let tables = &self.tables;
                tables.session.write(&tables.statements.save_swept, (shard, begin)).await?;
            }
        }
        Ok(all)
    }

    pub(super) async fn read(&self, shard: i32, slot: i64) -> Result<(i64, Vec<Row>), StoreError> {
        let tables = &self.tables;
        let mut rows = Vec::new();
        let mut last = Uuid::nil();
        while rows.len() < MAX_ROWS {
            let values = (shard, slot, last, PAGE);
            let page: Vec<(Uuid, i64, Vec<u8>)> =
                tables.session.rows(&tables.statements.page_unstarted, values).await?;
            let is_full = page.len() == PAGE as usize;
            rows.extend(page.into_iter().map(|(order_id, created_at_ms, request)| Row {
                order_id,
                created_at_ms,
                request,
            }));
            match rows.last() {
                Some(row) if is_full => last = row.order_id,
                _ => break,
            }
        }
        Ok((slot, rows))
    }

    /// Whether the order of a row has not been started.
    async fn look(&self, row: Row, now_ms: i64) -> Result<Option<Unstarted>, Error> {
        let Row { order_id, created_at_ms, request } = row;
        let found = match self.tables.head(order_id).await? {
            Some(found) => found,
            None => {
                let claim = self.tables.find_claim(&request).await?;
                match claim.filter(|claim| claim.order_id == order_id) {
                    // Recorded, by a process that did not come to write it down everywhere.
                    Some(claim) => self.tables.derive(&claim).await?,
                    None if now_ms - created_at_ms > GIVE_UP_MS => {
                        Box::pin(self.forget_start(order_id, created_at_ms)).await;
                        return Ok(None);
                    }
                    None => return Ok(None),
                }
                let found = self.tables.head(order_id).await?;
                found.ok_or(Error::OrderNotFound(order_id))?
            }
        };
        match found.into_start()? {
            (order, Start::Input(input)) if order.state == State::Pending => {
                Ok(Some(Unstarted { order_id, input }))
            }
            _ => {
                self.forget_unstarted(order_id, created_at_ms).await?;
                Ok(None)
            }
        }
    }
}

/// A timestamp that is smaller the later it is taken, so that of two answers the first stays; later than that of the
/// input, so that it goes. All answers to one order are the same, as its workflow's history has one: this is for two that
/// differ although they must not.
fn first_wins() -> i64 {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    (FAR_MS - i64::try_from(now_ms).unwrap_or(FAR_MS)).max(2)
}
