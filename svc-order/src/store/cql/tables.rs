//! What more than one task reads and writes.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::try_join_all;
use souk_mesh::cql::{Error, Lookup, Session};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::rows::{self, Claim, Found, OrderRow};
use super::schema::{self, MAX_ENTRIES, Statements};
use crate::Error as OrderError;
use crate::domain::{Entry, Order};

/// Shards of the orders of one day: a day of many millions is spread, and a page reads from all of them.
pub(super) const DAY_SHARDS: i32 = 16;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// The one partition of `order_day`.
pub(super) const CALENDAR: i32 = 0;

/// The store's tables.
pub(super) struct Tables {
    pub session: Session,
    pub statements: Statements,
    /// Orders, and the first entry of each.
    head: Lookup<Uuid, OrderRow>,
    whole: Lookup<Uuid, OrderRow>,
    /// The last day that was put on the calendar by this process.
    listed_day: AtomicI64,
}

impl Tables {
    pub async fn open(session: Session) -> Result<Tables, Error> {
        Ok(Tables {
            statements: Statements::prepare(&session).await?,
            head: Lookup::prepare(&session, &schema::orders(1)).await?,
            whole: Lookup::prepare(&session, &schema::orders(MAX_ENTRIES)).await?,
            listed_day: AtomicI64::new(i64::MIN),
            session,
        })
    }

    /// The order without its timeline, if it is there.
    pub async fn head(&self, order_id: Uuid) -> Result<Option<Found>, OrderError> {
        Found::of(self.head.rows(order_id).await?)
    }

    /// The order with its timeline, if it is there. `settled`: with every change that is under way finished or void.
    pub async fn whole(&self, order_id: Uuid, settled: bool) -> Result<Option<Found>, OrderError> {
        let rows = match settled {
            true => self.session.rows(&self.statements.whole_settled, (order_id,)).await?,
            false => self.whole.rows(order_id).await?,
        };
        Found::of(rows)
    }

    /// Those of the orders that are there, each without its timeline, in the same order.
    pub async fn heads(&self, order_ids: &[Uuid]) -> Result<Vec<Found>, OrderError> {
        let found = try_join_all(order_ids.iter().map(|id| self.head(*id))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The events of the changes from `version` on; that of the placing is with its claim.
    pub async fn events(&self, order_id: Uuid, version: i64) -> Result<Vec<Event>, OrderError> {
        type Columns = (Option<Vec<u8>>,);
        let rows: Vec<Columns> =
            self.session.rows(&self.statements.events, (order_id, version)).await?;
        rows.into_iter().filter_map(|(event,)| event).map(|it| rows::decode_event(&it)).collect()
    }

    /// The claim of a request, with every write under way finished or void.
    pub async fn find_claim(&self, request: &[u8]) -> Result<Option<Claim>, Error> {
        self.session.row(&self.statements.find_claim, (request,)).await
    }

    /// Writes the order that a claim stands for, and lists it. As often as one likes: everything is written with the
    /// first timestamp there is, so that any change that came since stays.
    pub async fn derive(&self, claim: &Claim) -> Result<(), OrderError> {
        let order = claim.order()?;
        let entry = order.first_entry();
        let (order_id, state, created_at_ms) =
            (order.id, order.state.number(), order.created_at_ms);
        let Entry { at_ms, reason, note, actor, .. } = entry;
        // One statement, so that no order is seen without its first entry.
        let values = (
            order_id,
            order.user_id,
            state,
            created_at_ms,
            created_at_ms,
            &claim.fixed,
            state,
            at_ms,
            reason,
            note,
            actor,
        );
        let day = day_of(order_id);
        tokio::try_join!(
            Box::pin(self.session.write(&self.statements.put_order, values)),
            Box::pin(self.list(&order)),
            Box::pin(self.list_day(day)),
        )?;
        Ok(())
    }

    /// Puts the order's state onto the lists. What comes late never replaces what is newer: the version is the timestamp.
    pub async fn list(&self, order: &Order) -> Result<(), Error> {
        let version = i64::try_from(order.version).unwrap_or(i64::MAX);
        let state = order.state.number();
        let (day, shard) = (day_of(order.id), day_shard_of(order.id));
        tokio::try_join!(
            self.session
                .write(&self.statements.list_for_user, (order.user_id, order.id, state, version)),
            self.session
                .write(&self.statements.list_in_day, (day, shard, order.id, state, version)),
        )?;
        Ok(())
    }

    async fn list_day(&self, day: i64) -> Result<(), Error> {
        if self.listed_day.load(Ordering::Relaxed) != day {
            self.session.write(&self.statements.list_day, (CALENDAR, day)).await?;
            self.listed_day.store(day, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The day of an order's id, counted from 1970: ids are UUIDv7, which begin with their time.
pub(super) fn day_of(order_id: Uuid) -> i64 {
    let at_ms = (order_id.as_u128() >> 80) as i64;
    at_ms / DAY_MS
}

fn day_shard_of(order_id: Uuid) -> i32 {
    i32::from(order_id.as_bytes()[15]) % DAY_SHARDS
}
