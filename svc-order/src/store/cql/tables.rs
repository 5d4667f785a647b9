//! The statements, and the writes that more than one task needs.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::try_join_all;
use souk_mesh::cql::{Error, Kind, Lookup, Prepared, Session};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::rows::{self, Claim, Found, ORDER_COLUMNS, OrderRow};
use crate::Error as OrderError;
use crate::domain::{Entry, Order};

/// Most timeline entries of one order; its states are five, each of which it enters once.
const MAX_ENTRIES: i32 = 100;
/// Shards of the orders of one day: a day of many millions is spread, and a page reads from all of them.
pub(super) const DAY_SHARDS: i32 = 16;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// The one partition of `order_day`.
pub(super) const CALENDAR: i32 = 0;

/// All that is ever said to the store.
pub(super) struct Tables {
    pub session: Session,
    pub claim: Prepared,
    pub find_claim: Prepared,
    pub put_input: Prepared,
    pub forget_order: Prepared,
    put_order: Prepared,
    pub change: Prepared,
    pub add_entry: Prepared,
    /// Orders, and the first entry of each.
    head: Lookup<Uuid, OrderRow>,
    whole: Lookup<Uuid, OrderRow>,
    whole_settled: Prepared,
    events: Prepared,
    pub answer: Prepared,
    pub put_unstarted: Prepared,
    pub forget_unstarted: Prepared,
    pub page_unstarted: Prepared,
    pub save_swept: Prepared,
    pub find_swept: Prepared,
    list_for_user: Prepared,
    list_in_day: Prepared,
    list_day: Prepared,
    pub by_user: Prepared,
    pub by_day: Prepared,
    pub days: Prepared,
    /// The last day that was put on the calendar by this process.
    listed_day: AtomicI64,
}

impl Tables {
    pub async fn open(session: Session) -> Result<Tables, Error> {
        use Kind::{Conditional, Read, SettledRead, Write};
        let prepare = async |kind, text: &str| session.prepare(kind, text).await;
        let orders = |entries: i32| {
            format!(
                "SELECT {ORDER_COLUMNS} FROM {{}}.orders WHERE order_id {{key}}
                 PER PARTITION LIMIT {entries}"
            )
        };
        let whole = orders(MAX_ENTRIES);
        let events = format!(
            "SELECT event FROM {{}}.orders WHERE order_id = ? AND entry >= ? LIMIT {MAX_ENTRIES}"
        );
        Ok(Tables {
            claim: prepare(Conditional, CLAIM).await?,
            find_claim: prepare(SettledRead, FIND_CLAIM).await?,
            put_input: prepare(Write, PUT_INPUT).await?,
            forget_order: prepare(Write, FORGET_ORDER).await?,
            put_order: prepare(Write, PUT_ORDER).await?,
            change: prepare(Conditional, CHANGE).await?,
            add_entry: prepare(Conditional, ADD_ENTRY).await?,
            head: Lookup::prepare(&session, &orders(1)).await?,
            whole: Lookup::prepare(&session, &whole).await?,
            whole_settled: prepare(SettledRead, &whole.replace("{key}", "= ?")).await?,
            events: prepare(SettledRead, &events).await?,
            answer: prepare(Write, ANSWER).await?,
            put_unstarted: prepare(Write, PUT_UNSTARTED).await?,
            forget_unstarted: prepare(Write, FORGET_UNSTARTED).await?,
            page_unstarted: prepare(Read, PAGE_UNSTARTED).await?,
            save_swept: prepare(Write, SAVE_SWEPT).await?,
            find_swept: prepare(Read, FIND_SWEPT).await?,
            list_for_user: prepare(Write, LIST_FOR_USER).await?,
            list_in_day: prepare(Write, LIST_IN_DAY).await?,
            list_day: prepare(Write, LIST_DAY).await?,
            by_user: prepare(Read, BY_USER).await?,
            by_day: prepare(Read, BY_DAY).await?,
            days: prepare(Read, DAYS).await?,
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
            true => self.session.rows(&self.whole_settled, (order_id,)).await?,
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
        let rows: Vec<Columns> = self.session.rows(&self.events, (order_id, version)).await?;
        rows.into_iter().filter_map(|(event,)| event).map(|it| rows::decode_event(&it)).collect()
    }

    /// The claim of a request, with every write under way finished or void.
    pub async fn find_claim(&self, request: &[u8]) -> Result<Option<Claim>, Error> {
        self.session.row(&self.find_claim, (request,)).await
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
            Box::pin(self.session.write(&self.put_order, values)),
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
            self.session.write(&self.list_for_user, (order.user_id, order.id, state, version)),
            self.session.write(&self.list_in_day, (day, shard, order.id, state, version)),
        )?;
        Ok(())
    }

    async fn list_day(&self, day: i64) -> Result<(), Error> {
        if self.listed_day.load(Ordering::Relaxed) != day {
            self.session.write(&self.list_day, (CALENDAR, day)).await?;
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

const CLAIM: &str = "INSERT INTO {}.placing
    (request, fingerprint, order_id, user_id, created_at_ms, fixed, event)
    VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const FIND_CLAIM: &str = "SELECT fingerprint, order_id, user_id, created_at_ms, fixed, event
    FROM {}.placing WHERE request = ?";
const PUT_INPUT: &str = "UPDATE {}.orders USING TIMESTAMP 1 SET input = ? WHERE order_id = ?";
const FORGET_ORDER: &str = "DELETE FROM {}.orders WHERE order_id = ?";
const PUT_ORDER: &str = "INSERT INTO {}.orders (order_id, entry, version,
    user_id, state, created_at_ms, updated_at_ms, fixed, entry_state, at_ms, reason, note, actor)
    VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1";
const CHANGE: &str = "UPDATE {}.orders SET state = ?, version = ?, updated_at_ms = ?, changing = ?
    WHERE order_id = ? IF version = ?";
const ADD_ENTRY: &str = "INSERT INTO {}.orders
    (order_id, entry, entry_state, at_ms, reason, note, actor, request, fingerprint, event)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ANSWER: &str =
    "UPDATE {}.orders USING TIMESTAMP ? SET answer = ?, input = null WHERE order_id = ?";
const PUT_UNSTARTED: &str = "INSERT INTO {}.unstarted
    (shard, slot, order_id, created_at_ms, request) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1";
const FORGET_UNSTARTED: &str =
    "DELETE FROM {}.unstarted WHERE shard = ? AND slot = ? AND order_id = ?";
const PAGE_UNSTARTED: &str = "SELECT order_id, created_at_ms, request FROM {}.unstarted
    WHERE shard = ? AND slot = ? AND order_id > ? LIMIT ?";
const SAVE_SWEPT: &str = "INSERT INTO {}.unstarted_swept (shard, slot) VALUES (?, ?)";
const FIND_SWEPT: &str = "SELECT slot FROM {}.unstarted_swept WHERE shard = ?";
const LIST_FOR_USER: &str = "INSERT INTO {}.orders_by_user (user_id, order_id, state)
    VALUES (?, ?, ?) USING TIMESTAMP ?";
const LIST_IN_DAY: &str = "INSERT INTO {}.orders_by_day (day, shard, order_id, state)
    VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
const LIST_DAY: &str = "INSERT INTO {}.order_day (calendar, day) VALUES (?, ?)";
const BY_USER: &str = "SELECT order_id, state FROM {}.orders_by_user
    WHERE user_id = ? AND order_id < ? LIMIT ?";
const BY_DAY: &str = "SELECT order_id, state FROM {}.orders_by_day
    WHERE day = ? AND shard = ? AND order_id < ? LIMIT ?";
const DAYS: &str = "SELECT day FROM {}.order_day
    WHERE calendar = ? AND day <= ? LIMIT ?";
