//! Lists of orders, newest first: ids and states from rows of their own, which come after the order itself; the orders
//! from where they are.

use std::cmp::Reverse;

use futures::future::try_join_all;
use uuid::Uuid;

use super::CqlStore;
use super::tables::{CALENDAR, DAY_SHARDS, day_of};
use crate::Error;
use crate::domain::Order;
use crate::store::{Filter, MAX_PAGE, MAX_SCAN, Page};

/// Rows looked through at once for those in a state.
const CHUNK: usize = 250;
/// Days read at once.
const DAYS: i32 = 32;

/// An order's id and the number of its state.
type Listed = (Uuid, i64);

impl CqlStore {
    pub(super) async fn find_page(&self, filter: Filter) -> Result<Page, Error> {
        let limit = filter.limit.min(MAX_PAGE) as usize;
        let (ids, next) = self.find_ids(&filter, limit).await?;
        let orders = self.tables.heads(&ids).await?.into_iter().map(|found| found.order);
        // The order is right where its row is late.
        let is_wanted = |order: &Order| filter.state.is_none_or(|state| order.state == state);
        Ok(Page { orders: orders.filter(is_wanted).collect(), next })
    }

    /// The ids of a page, and where the next one begins.
    async fn find_ids(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<Uuid>, Option<Uuid>), Error> {
        // No bound means: before the greatest id there can be.
        let mut before = filter.before.unwrap_or(Uuid::max());
        let mut ids = Vec::new();
        let Some(state) = filter.state else {
            let newest = self.newest(filter.user_id, before, limit).await?;
            ids.extend(newest.into_iter().map(|(id, _)| id));
            let next = ids.last().copied().filter(|_| ids.len() == limit);
            return Ok((ids, next));
        };
        let mut scanned = 0;
        while scanned < MAX_SCAN as usize {
            let chunk = self.newest(filter.user_id, before, CHUNK).await?;
            let is_last = chunk.len() < CHUNK;
            scanned += chunk.len();
            for (id, listed) in chunk {
                before = id;
                if listed == state.number() && ids.len() < limit {
                    ids.push(id);
                    if ids.len() == limit {
                        return Ok((ids, Some(id)));
                    }
                }
            }
            if is_last {
                return Ok((ids, None));
            }
        }
        Ok((ids, Some(before)))
    }

    async fn newest(
        &self,
        user_id: Option<Uuid>,
        before: Uuid,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let tables = &self.tables;
        let Some(user_id) = user_id else { return self.newest_of_all(before, limit).await };
        let rows = tables.session.rows(&tables.statements.by_user, (user_id, before, limit as i32));
        Ok(rows.await?)
    }

    /// Day by day; each day noted has an order at least.
    async fn newest_of_all(&self, before: Uuid, limit: usize) -> Result<Vec<Listed>, Error> {
        let tables = &self.tables;
        let mut found = Vec::new();
        let mut last_day = day_of(before);
        loop {
            let days: Vec<(i64,)> =
                tables.session.rows(&tables.statements.days, (CALENDAR, last_day, DAYS)).await?;
            for (day,) in &days {
                let wanted = limit - found.len();
                let shards = (0..DAY_SHARDS).map(|shard| {
                    let values = (*day, shard, before, wanted as i32);
                    tables.session.rows::<Listed>(&tables.statements.by_day, values)
                });
                let mut of_day: Vec<_> =
                    try_join_all(shards).await?.into_iter().flatten().collect();
                of_day.sort_unstable_by_key(|listed| Reverse(listed.0));
                found.extend(of_day.into_iter().take(wanted));
                if found.len() == limit {
                    return Ok(found);
                }
            }
            match days.last() {
                Some((day,)) if days.len() == DAYS as usize => last_day = day - 1,
                _ => return Ok(found),
            }
        }
    }
}
