//! The event bus: what happened in one service reaches the others.
//!
//! A topic exchange, as RabbitMQ has it: an event's `type` is its topic, queues are bound to
//! topics by patterns, and each queue gets every event that its patterns match. Delivery is at
//! least once, and in order per aggregate: no event is tried before the earlier ones of its
//! aggregate in the queue are done or dead. [`consume`] runs a handler over a queue; a failing
//! event comes again with growing pauses ([`retry`]), then becomes a dead letter, which a person
//! can list and replay.

mod admin;
mod consume;
pub mod embedded;
pub mod retry;
mod topic;

use async_trait::async_trait;
use souk_proto::event::v1::Event;

pub use admin::service as admin_service;
pub use consume::consume;
pub use topic::Topics;

use crate::store;

/// What can go wrong on a bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus's own store failed.
    #[error("the event log: {0}")]
    Store(#[from] store::Error),
    /// A lock file of the embedded bus could not be used.
    #[error("the lock of queue {queue}: {source}")]
    Lock {
        /// The queue.
        queue: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name cannot name a queue.
    #[error("{0:?} cannot name a queue: 1 to 100 of a-z, 0-9, '.', '-', '_'")]
    QueueName(String),
    /// A pattern is malformed.
    #[error("{0:?} is no topic pattern: words separated by '.', a word being text, '*' or '#'")]
    Topic(String),
    /// A queue is so far behind that no more events are taken.
    #[error("queue {queue} is {behind} events behind: no more are taken until it has caught up")]
    Full {
        /// The slowest queue.
        queue: String,
        /// By how many events.
        behind: i64,
    },
    /// A stored event cannot be read.
    #[error("event {position} of the log cannot be decoded: {source}")]
    Decode {
        /// Its position in the log.
        position: i64,
        /// The codec's reason.
        source: prost::DecodeError,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Store(error.into())
    }
}

/// Why a handler could not act on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    /// In words; shown with the dead letter.
    pub reason: String,
    /// Whether trying again may help. If not, the event is dead at once.
    pub retry: bool,
}

impl HandlerError {
    /// A failure that may pass.
    pub fn retry(reason: impl ToString) -> Self {
        HandlerError { reason: reason.to_string(), retry: true }
    }

    /// A failure that will not pass: the event makes no sense here.
    pub fn reject(reason: impl ToString) -> Self {
        HandlerError { reason: reason.to_string(), retry: false }
    }
}

/// Any error met on the way is taken as one that may pass; the attempts are bounded.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        HandlerError::retry(error)
    }
}

/// Names a delivery within its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTag(pub i64);

/// An event handed to a consumer, to be settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To settle it by.
    pub tag: DeliveryTag,
    /// What happened.
    pub event: Event,
    /// 1 for the first time.
    pub attempt: u32,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acted on; not delivered again.
    Done,
    /// Not acted on; delivered again later, or dead.
    Failed(HandlerError),
    /// Not tried, because an earlier event of its aggregate failed; delivered after that one.
    Deferred,
}

/// Where events are published and subscribed to.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Adds events, in this order; they are durable when it returns. After an error they may be
    /// there or not, so they are published again: consumers know events by their ids.
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error>;

    /// Makes or rebinds a queue and subscribes to it. A new queue begins with the oldest event
    /// that the bus still keeps. A queue has one consumer at a time; others stand by.
    async fn subscribe(&self, queue: &str, topics: &[&str])
    -> Result<Box<dyn Subscription>, Error>;

    /// Dead letters, newest first.
    async fn dead_letters(&self, which: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error>;

    /// Puts dead letters back into their queues, with all their attempts before them. Returns how
    /// many there were.
    async fn replay(&self, which: Replay) -> Result<usize, Error>;
}

/// A consumer's hold on a queue.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Waits for deliveries; at least one, at most `limit`. Loses nothing when it is dropped
    /// before it returns.
    async fn receive(&self, limit: usize) -> Result<Vec<Delivery>, Error>;

    /// Tells what became of deliveries; durable when it returns. After an error it can be called
    /// again with the same.
    async fn settle(&self, outcomes: &[(DeliveryTag, Outcome)]) -> Result<(), Error>;
}

/// Which dead letters to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Of this queue only.
    pub queue: Option<String>,
    /// Older than this one only: the last of the page before.
    pub before_id: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// Which dead letters to replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Of this queue only.
    pub queue: Option<String>,
    /// These; of all when empty.
    pub ids: Vec<i64>,
}

/// An event that a consumer gave up on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Names it; grows with time.
    pub id: i64,
    /// The queue whose consumer gave up.
    pub queue: String,
    /// What it could not act on.
    pub event: Event,
    /// Why, at the last attempt.
    pub reason: String,
    /// How many times it was tried.
    pub attempts: u32,
    /// When it was given up, in unix milliseconds.
    pub dead_at_ms: i64,
}
