//! Lists of ids by time: plain rows in partitions of an hour, beside the payments themselves.
//!
//! What is listed is looked up before it counts. So a row may be there for nothing: it is written
//! *before* what it points to, and whoever dies in between leaves a row that is passed over. What
//! exists is always listed. Rows of payments are never deleted; those of tombstones and unfinished
//! refunds are, and the hours that are empty then are forgotten after two days.
//!
//! A list of all would be one ever growing partition, hence the hours; `bucket` tells which there
//! are. The lists of an order and of a user have one partition each.
//!
//! Of the states only those have a list that a payment without trouble does not come to. The others
//! are found by looking through all, [`MAX_LOOKED_AT`] payments at a time: a page may be short.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use uuid::Uuid;

use super::Books;
use super::rows::damaged;
use super::schema::Statements;
use crate::domain::{Payment, State};
use crate::error::Error;
use crate::store::{Filter, Found, Page, Place};

/// How much time a partition holds, in milliseconds.
const BUCKET_MS: i64 = 60 * 60 * 1_000;
/// Buckets after which an empty one is forgotten: nothing is added to one so old, whatever the clocks of the processes.
const FORGET_AFTER: i64 = 48;
/// Buckets looked for at once.
const BUCKETS_AT_ONCE: i32 = 64;
/// Ids read at once, and looked up at once.
const IDS_AT_ONCE: i32 = 64;
/// Payments looked up for one page, whether they belong to it or not.
const MAX_LOOKED_AT: usize = 2_048;

/// Unfinished refunds, by the ids of the refund, its payment and its request.
pub const REFUNDS: &str = "refunds";
/// Tombstones that need not be kept for good, by payment id.
pub const TOMBSTONES: &str = "tombstones";
const ALL: &str = "all";

/// An id in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub bucket: i64,
    pub at_ms: i64,
    pub id: Vec<u8>,
}

/// The lists of one keyspace.
#[derive(Default)]
pub struct Lists {
    /// The newest bucket of each list that this process has noted.
    noted: Mutex<HashMap<String, i64>>,
}

/// The list of a state, if it has one.
fn of_state(state: State) -> Option<String> {
    matches!(state, State::RequiresAction | State::Declined | State::Cancelled | State::Refunded)
        .then(|| format!("state/{state}"))
}

/// The shortest list that has everything that a filter lets through.
fn list_of(filter: &Filter) -> String {
    if let Some(order_id) = filter.order_id {
        return format!("order/{order_id}");
    }
    if let Some(user_id) = filter.user_id {
        return format!("user/{user_id}");
    }
    match filter.states.as_slice() {
        [state] => of_state(*state).unwrap_or_else(|| ALL.to_owned()),
        _ => ALL.to_owned(),
    }
}

/// Whether a list is cut into hours.
fn is_cut(list: &str) -> bool {
    !list.starts_with("order/") && !list.starts_with("user/")
}

pub fn bucket_of(list: &str, at_ms: i64) -> i64 {
    if is_cut(list) { at_ms.div_euclid(BUCKET_MS) } else { 0 }
}

impl Books {
    /// Adds an id to a list, in the bucket of the time `bucket_ms`.
    pub async fn list(
        &self,
        list: &str,
        bucket_ms: i64,
        (at_ms, id): (i64, &[u8]),
    ) -> Result<(), Error> {
        let bucket = bucket_of(list, bucket_ms);
        if is_cut(list) && !self.lists.knows(list, bucket) {
            self.session.write(&self.statements.add_bucket, (list, bucket)).await?;
            self.lists.note(list, bucket);
        }
        Ok(self.session.write(&self.statements.list, (list, bucket, at_ms, id)).await?)
    }

    /// Takes an id out of a list.
    pub async fn unlist(&self, list: &str, listed: &Listed) -> Result<(), Error> {
        let Listed { bucket, at_ms, id } = listed;
        let values = (list, bucket, at_ms, id);
        Ok(self.session.write(&self.statements.unlist, values).await?)
    }

    /// Lists a payment that is about to be opened.
    pub async fn list_payment(&self, payment: &Payment) -> Result<(), Error> {
        let order = format!("order/{}", payment.order_id);
        let user = payment.user_id.map(|user_id| format!("user/{user_id}"));
        let at = (payment.created_ms, payment.payment_id.as_bytes().as_slice());
        let lists = [Some(ALL), Some(order.as_str()), user.as_deref()];
        let added = lists.into_iter().flatten().map(|list| self.list(list, at.0, at));
        try_join_all(added).await.map(drop)
    }

    /// Lists a payment that is about to come to the state that it has, where that state has a list.
    pub async fn list_state(&self, payment: &Payment) -> Result<(), Error> {
        let Some(list) = of_state(payment.state) else { return Ok(()) };
        let at = (payment.created_ms, payment.payment_id.as_bytes().as_slice());
        self.list(&list, at.0, at).await
    }

    /// A page of the payments that a filter lets through.
    pub async fn page(
        &self,
        filter: &Filter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Page, Error> {
        let list = list_of(filter);
        let mut place = before.unwrap_or(Place { at: i64::MAX, tie: Uuid::max() });
        let mut payments = Vec::new();
        let mut looked_at = 0;
        while looked_at < MAX_LOOKED_AT {
            let ids = self.ids_before(&list, place).await?;
            if ids.is_empty() {
                return Ok(Page { payments, next: None });
            }
            looked_at += ids.len();
            let heads = ids.iter().map(|listed| self.listed_payment(listed));
            let heads = try_join_all(heads).await?;
            for (listed, payment) in ids.into_iter().zip(heads) {
                place = place_of(&listed)?;
                payments.extend(payment.filter(|payment| lets_through(filter, payment)));
                if payments.len() == limit {
                    let more = !self.ids_before(&list, place).await?.is_empty();
                    return Ok(Page { payments, next: more.then_some(place) });
                }
            }
        }
        Ok(Page { payments, next: Some(place) })
    }

    /// What a row points to, if it is a payment that was opened then.
    async fn listed_payment(&self, listed: &Listed) -> Result<Option<Payment>, Error> {
        let head = self.head(place_of(listed)?.tie).await?;
        match head.found {
            // A repeat of its opening was listed too, at another time.
            Found::Payment(payment) if payment.created_ms == listed.at_ms => Ok(Some(payment)),
            Found::Payment(_) | Found::Tombstone | Found::Nothing => Ok(None),
        }
    }

    /// Some of a list's ids before a place, newest first; none when there are none.
    async fn ids_before(&self, list: &str, place: Place) -> Result<Vec<Listed>, Error> {
        let Statements { buckets_down, listed_before, .. } = &self.statements;
        let mut below = if is_cut(list) { bucket_of(list, place.at) } else { 0 };
        loop {
            let buckets: Vec<(i64,)> = if is_cut(list) {
                self.session.rows(buckets_down, (list, below, BUCKETS_AT_ONCE)).await?
            } else {
                vec![(0,)]
            };
            for (bucket,) in &buckets {
                let values = (list, bucket, place.at, place.tie.as_bytes().as_slice(), IDS_AT_ONCE);
                let ids = self.session.rows::<(i64, Vec<u8>)>(listed_before, values).await?;
                if !ids.is_empty() {
                    return Ok(listed(*bucket, ids));
                }
            }
            match buckets.last() {
                Some((last,)) if is_cut(list) => below = last - 1,
                Some(_) | None => return Ok(Vec::new()),
            }
        }
    }

    /// Some of a list's ids, oldest first: of times before `until_ms`, those after `after`.
    pub async fn oldest(
        &self,
        list: &str,
        until_ms: i64,
        after: Option<&Listed>,
    ) -> Result<Vec<Listed>, Error> {
        let Statements { buckets_up, listed_after, .. } = &self.statements;
        let mut above = after.map_or(i64::MIN, |listed| listed.bucket - 1);
        loop {
            let buckets: Vec<(i64,)> =
                self.session.rows(buckets_up, (list, above, BUCKETS_AT_ONCE)).await?;
            for (bucket,) in &buckets {
                let start = after.filter(|listed| listed.bucket == *bucket);
                let (at_ms, id) =
                    start.map_or((i64::MIN, [].as_slice()), |listed| (listed.at_ms, &listed.id));
                let values = (list, bucket, at_ms, id, IDS_AT_ONCE);
                let mut ids = self.session.rows::<(i64, Vec<u8>)>(listed_after, values).await?;
                ids.retain(|(at_ms, _)| *at_ms < until_ms);
                if !ids.is_empty() {
                    return Ok(listed(*bucket, ids));
                }
            }
            match buckets.last() {
                Some((last,)) => above = *last,
                None => return Ok(Vec::new()),
            }
        }
    }

    /// Forgets buckets of a list that are empty and long past at `now_ms`, some of them.
    pub async fn forget_empty(&self, list: &str, now_ms: i64) -> Result<(), Error> {
        let Statements { buckets_up, listed_after, drop_bucket, .. } = &self.statements;
        let buckets: Vec<(i64,)> =
            self.session.rows(buckets_up, (list, i64::MIN, BUCKETS_AT_ONCE)).await?;
        let first_kept = bucket_of(list, now_ms).saturating_sub(FORGET_AFTER);
        for (bucket,) in buckets.into_iter().filter(|(bucket,)| *bucket < first_kept) {
            let values = (list, bucket, i64::MIN, Vec::<u8>::new(), 1_i32);
            if self.session.row::<(i64, Vec<u8>)>(listed_after, values).await?.is_none() {
                self.session.write(drop_bucket, (list, bucket)).await?;
            }
        }
        Ok(())
    }
}

impl Lists {
    fn knows(&self, list: &str, bucket: i64) -> bool {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(list) == Some(&bucket)
    }

    fn note(&self, list: &str, bucket: i64) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(list.to_owned(), bucket);
    }
}

fn listed(bucket: i64, ids: Vec<(i64, Vec<u8>)>) -> Vec<Listed> {
    ids.into_iter().map(|(at_ms, id)| Listed { bucket, at_ms, id }).collect()
}

fn place_of(listed: &Listed) -> Result<Place, Error> {
    let tie = Uuid::from_slice(&listed.id).map_err(damaged)?;
    Ok(Place { at: listed.at_ms, tie })
}

fn lets_through(filter: &Filter, payment: &Payment) -> bool {
    filter.order_id.is_none_or(|order_id| payment.order_id == order_id)
        && filter.user_id.is_none_or(|user_id| payment.user_id == Some(user_id))
        && (filter.states.is_empty() || filter.states.contains(&payment.state))
}
