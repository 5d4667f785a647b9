//! Where orders are kept: the trait, and the contract that every implementation passes.
//!
//! Each writing method is atomic: the record, its timeline, the memory of the request and the event
//! that tells of the change become durable together, or not at all.

#[cfg(test)]
pub mod contract;
pub mod cql;
mod details;
pub mod sqlite;

use async_trait::async_trait;
pub use souk_mesh::idempotency::RequestKey;
use uuid::Uuid;

use crate::Error;
use crate::domain::{Change, Entry, Illegal, Order, State};

/// Most orders that one [`OrderStore::list`] returns.
pub const MAX_PAGE: u32 = 500;
/// How many orders one [`OrderStore::list`] looks at to find those in a state.
pub const MAX_SCAN: u32 = 2_000;
/// Most orders that one [`OrderStore::unstarted`] returns.
pub const MAX_UNSTARTED: u32 = 256;

/// A new order, to be recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The order, pending and at version 1.
    pub order: Order,
    /// What its workflow is to be started with.
    pub input: Vec<u8>,
    /// The request that places it.
    pub key: RequestKey,
    /// W3C traceparent of the request, for its event; may be empty.
    pub trace_parent: String,
}

/// An order that has been placed, and what its workflow was or is to be started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// As it stands now.
    pub order: Order,
    /// How far its workflow has come.
    pub start: Start,
}

/// What is known of an order's workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// No answer yet: starting with these bytes starts it or joins it.
    Input(Vec<u8>),
    /// The workflow's answer, for ever.
    Answer(Vec<u8>),
}

/// An order whose workflow may never have been started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstarted {
    /// The order.
    pub order_id: Uuid,
    /// What to start it with.
    pub input: Vec<u8>,
}

/// A change to append, and by whose request.
#[derive(Clone, Debug)]
pub struct Append {
    /// The order to change.
    pub order_id: Uuid,
    /// The change.
    pub change: Change,
    /// The payment to note on the order, if it is known by now.
    pub payment_id: Option<Uuid>,
    /// The request; a repeat gets the first answer.
    pub key: RequestKey,
    /// Whether an order that is already in the state wanted is as good as one that was just moved
    /// there: so for the workflow's steps and undos, and for a customer who cancels again.
    pub absorb: bool,
    /// The version that the change is based on, if it is.
    pub expected_version: Option<u64>,
    /// A change that arrives later than this is refused, unix milliseconds.
    pub not_after_ms: Option<i64>,
    /// W3C traceparent of the request, for its event; may be empty.
    pub trace_parent: String,
    /// Unix milliseconds.
    pub now_ms: i64,
}

impl Append {
    /// What this makes of `order`: the changed order with its entry, or `None` when it is to be
    /// left as it is. Every implementation asks this, and writes what it says in one piece.
    ///
    /// # Errors
    /// [`Error::TooLate`], [`Error::VersionMismatch`], [`Error::Illegal`].
    pub fn judge(&self, order: &Order) -> Result<Option<(Order, Entry)>, Error> {
        if self.not_after_ms.is_some_and(|not_after_ms| self.now_ms > not_after_ms) {
            return Err(Error::TooLate);
        }
        if self.absorb && order.state == self.change.kind().target() {
            return Ok(None);
        }
        match self.expected_version {
            Some(expected) if expected != order.version => {
                return Err(Error::VersionMismatch { expected, found: order.version });
            }
            _ => {}
        }
        let (mut after, entry) = order.append(self.change.clone(), &self.key.scope, self.now_ms)?;
        after.payment_id = self.payment_id.or(order.payment_id);
        Ok(Some((after, entry)))
    }

    /// What a repeat of a request gets: `order` as it was when `entry`, made by the request, had been
    /// appended. But an undo outlasts what it undid: a change that was cancelled since stays refused,
    /// so that a late repeat is never taken for a change that stands.
    ///
    /// # Errors
    /// [`Error::Illegal`].
    pub fn repeat(&self, order: Order, entry: &Entry) -> Result<Order, Error> {
        if order.state == State::Cancelled && entry.state != State::Cancelled {
            return Err(Illegal { state: order.state, change: self.change.kind() }.into());
        }
        Ok(order.as_of(entry))
    }
}

/// Which orders to list; newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this user's.
    pub user_id: Option<Uuid>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those placed before this one.
    pub before: Option<Uuid>,
    /// At most so many, up to [`MAX_PAGE`].
    pub limit: u32,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first. May hold fewer than asked for, or none, while there are more.
    pub orders: Vec<Order>,
    /// Where the next page begins ([`Filter::before`]); `None` at the end.
    pub next: Option<Uuid>,
}

/// Keeps orders.
#[async_trait]
pub trait OrderStore: Send + Sync + 'static {
    /// The order that this request placed, if it did.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] when the id was used with other parameters.
    async fn placed(&self, key: &RequestKey) -> Result<Option<Placed>, Error>;

    /// Records a new order with its first timeline entry, the memory of its request, its workflow's
    /// input and `order.created`; or, when the request placed one before, returns that one. Of any
    /// number of equal requests at once, one records.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] when the id was used with other parameters.
    async fn record(&self, recording: Recording) -> Result<Placed, Error>;

    /// Notes that the order's workflow runs, and its answer once there is one. An answer is never
    /// replaced; with it the input (and the payment token in it) is forgotten.
    async fn note_start(&self, order_id: Uuid, answer: Option<Vec<u8>>) -> Result<(), Error>;

    /// Pending orders after the order `after`, placed before `before_ms`, whose workflow is not known
    /// to run; oldest first, at most [`MAX_UNSTARTED`].
    async fn unstarted(&self, before_ms: i64, after: Option<Uuid>)
    -> Result<Vec<Unstarted>, Error>;

    /// The order.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`].
    async fn get(&self, order_id: Uuid) -> Result<Order, Error>;

    /// The order with its timeline, entries after `after_version` only.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`].
    async fn timeline(
        &self,
        order_id: Uuid,
        after_version: u64,
    ) -> Result<(Order, Vec<Entry>), Error>;

    /// A page of orders.
    async fn list(&self, filter: Filter) -> Result<Page, Error>;

    /// Appends a change with its timeline entry and event: the arbiter. Of changes that exclude each
    /// other, one is appended; each repeat of a request gets the order as its change left it.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`], [`Error::RequestIdReused`], those of [`Append::judge`]; nothing is
    /// written.
    async fn append(&self, append: Append) -> Result<Order, Error>;
}
