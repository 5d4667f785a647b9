//! What the bus is made of at the broker: names and declarations. All are durable, and declaring
//! what is there changes nothing, so that everybody declares what they are about to use.

use std::sync::Arc;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};

/// Times that the broker may give a message back and out again. Our own attempts are counted
/// elsewhere, and a message comes again whenever a consumer ends; so this is as good as unbounded.
/// It must be said, because RabbitMQ 4 drops a message after 20 when it is not.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// Events kept for queues that are made later; the broker drops the oldest.
pub(super) const KEPT_EVENTS: u16 = 10_000;

/// The names at the broker.
#[derive(Clone)]
pub(super) struct Names(Arc<str>);

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names(prefix.into())
    }

    /// The topic exchange that all events go to.
    pub(super) fn events(&self) -> ShortString {
        format!("{}.events", self.0).into()
    }

    /// A consumer's queue.
    pub(super) fn queue(&self, name: &str) -> ShortString {
        format!("{}.queue.{name}", self.0).into()
    }

    /// The last events, for queues that are made later.
    pub(super) fn kept(&self) -> ShortString {
        format!("{}.kept", self.0).into()
    }

    /// Is there once a queue was made and has what was kept.
    pub(super) fn made(&self, queue: &str) -> ShortString {
        format!("{}.made.{queue}", self.0).into()
    }

    /// Belongs to whoever makes a queue.
    pub(super) fn making(&self, queue: &str) -> ShortString {
        format!("{}.making.{queue}", self.0).into()
    }

    /// The dead letters of all queues.
    pub(super) fn dead(&self) -> ShortString {
        format!("{}.dead", self.0).into()
    }

    /// Which dead letters each request has replayed.
    pub(super) fn replays(&self) -> ShortString {
        format!("{}.replays", self.0).into()
    }
}

/// What publishers need: the exchange, what is kept of it, and the dead letters.
pub(super) async fn declare_common(channel: &Channel, names: &Names) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let arguments = FieldTable::default();
    channel.exchange_declare(names.events(), ExchangeKind::Topic, options, arguments).await?;
    declare_kept(channel, names).await?;
    declare_queue(channel, names.replays()).await?;
    declare_queue(channel, names.dead()).await
}

async fn declare_kept(channel: &Channel, names: &Names) -> lapin::Result<()> {
    let mut arguments = queue_arguments();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(KEPT_EVENTS.into()));
    channel.queue_declare(names.kept(), QueueDeclareOptions::durable(), arguments).await?;
    bind_one(channel, names.kept(), names.events(), "#").await
}

/// Bindings of before stay: what they bring too much is passed over by the consumer, as AMQP does
/// not tell which there are.
pub(super) async fn bind(
    channel: &Channel,
    names: &Names,
    queue: &str,
    topics: &[String],
) -> lapin::Result<()> {
    for topic in topics {
        bind_one(channel, names.queue(queue), names.events(), topic).await?;
    }
    Ok(())
}

async fn bind_one(
    channel: &Channel,
    queue: ShortString,
    exchange: ShortString,
    topic: &str,
) -> lapin::Result<()> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue, exchange, topic.into(), options, arguments).await
}

/// A consumer's queue, or one of those for the dead letters.
pub(super) async fn declare_queue(channel: &Channel, name: ShortString) -> lapin::Result<()> {
    channel.queue_declare(name, QueueDeclareOptions::durable(), queue_arguments()).await.map(drop)
}

/// Of a quorum queue that serves one consumer at a time.
fn queue_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}
