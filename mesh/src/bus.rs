//! The event bus: what happened in one service reaches the others.
//!
//! A topic exchange, as RabbitMQ has it: an event's `type` is its topic, queues are bound to
//! topics by patterns, and each queue gets every event that its patterns match. Delivery is at
//! least once, and in order per aggregate: no event is tried before the earlier ones of its
//! aggregate in the queue are done or dead. [`consume`] runs a handler over a queue; a failing
//! event comes again with growing pauses ([`retry`]), then becomes a dead letter, which a person
//! can list and replay.

mod admin;
mod config;
mod consume;
pub mod embedded;
pub mod rabbitmq;
pub mod retry;
mod topic;

use std::time::Duration;

use async_trait::async_trait;
use souk_proto::event::v1::Event;

pub use admin::service as admin_service;
pub use config::Config;
pub use consume::consume;
pub use topic::Topics;

use crate::idempotency::RequestKey;
use crate::store;

/// Longest name of a queue.
const QUEUE_NAME_LENGTH: usize = 100;
/// How long it is known which dead letters a request has replayed: 7 days.
const REQUEST_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Longest reason that is kept, in characters.
const REASON_LENGTH: usize = 2000;

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
    /// The URL of the broker is malformed. It is not shown, as it may hold a password.
    #[error("the RabbitMQ URL is not of the form amqp://user:password@host:port/vhost")]
    Url,
    /// The broker refused something, or the connection to it is lost; trying again may help.
    #[error("{doing}: {source}")]
    Broker {
        /// What was being done.
        doing: &'static str,
        /// What the broker or the connection said.
        source: Box<lapin::Error>,
    },
    /// The broker did not answer; trying again may help.
    #[error("{doing}: no answer within {limit:?}")]
    Silent {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The broker has taken a queue away from its consumer; trying again may help.
    #[error("the broker has ended the consumer")]
    Cancelled,
    /// The broker could not take an event; trying again may help.
    #[error("the broker did not confirm an event")]
    Unconfirmed,
    /// The queue of dead letters was deleted under way; it is made again with the next connection.
    #[error("there is no queue for dead letters")]
    NoDeadLetterQueue,
    /// The id of a request was used before, for other parameters.
    #[error("the request id was used before with other parameters")]
    RequestReused,
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

    /// The reason as it is kept with a dead letter.
    fn kept_reason(&self) -> &str {
        let end = self.reason.char_indices().nth(REASON_LENGTH);
        end.map_or(&self.reason, |(at, _)| &self.reason[..at])
    }
}

/// Any error met on the way is taken as one that may pass; the attempts are bounded.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        HandlerError::retry(error)
    }
}

/// What events are kept in order by; those without an aggregate stand alone.
fn aggregate_of(event: &Event) -> &str {
    if event.aggregate_id.is_empty() { &event.event_id } else { &event.aggregate_id }
}

/// Names of queues are parts of other names, of files among them.
fn check_queue_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    if !name.is_empty() && name.len() <= QUEUE_NAME_LENGTH && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(Error::QueueName(name.to_owned()))
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
    /// that the bus still keeps. A queue has one consumer at a time; others stand by. A broker that is
    /// away is no error: who receives waits for it.
    async fn subscribe(&self, queue: &str, topics: &[&str])
    -> Result<Box<dyn Subscription>, Error>;

    /// Dead letters, newest first.
    async fn dead_letters(&self, which: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error>;

    /// Puts dead letters back into their queues, with all their attempts before them. Returns how
    /// many there were. A repeat of a request that was carried out answers what it answered, and
    /// one that was cut short is brought to its end: neither touches what has died since.
    async fn replay(&self, which: Replay) -> Result<usize, Error>;
}

/// A consumer's hold on a queue.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Waits for deliveries; at least one, at most `limit`. Loses nothing when it is dropped
    /// before it returns. What it returns after a `settle` has returned heeds the failures of that,
    /// even when it was called before.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Of this queue only.
    pub queue: Option<String>,
    /// These; of all when empty.
    pub ids: Vec<i64>,
    /// At most so many, the oldest.
    pub limit: usize,
    /// The request that asks, so that a repeat of it is known.
    pub request: Option<RequestKey>,
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
