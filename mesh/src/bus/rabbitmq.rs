//! The bus on RabbitMQ: a topic exchange, a quorum queue per consumer, and a quorum queue of dead letters.
//!
//! Publishing waits for the broker's confirms. A queue has one active consumer
//! (`x-single-active-consumer`), which acknowledges an event after it was acted on. What failed, and
//! what waits behind it, stays unacknowledged with the consumer, so that order and pauses are kept
//! here ([`ledger`]) and a crash gives everything back in its old order. docs/adr/0005 says why, and
//! what of it survives what.
//!
//! Connections are made when they are needed and made again when they are lost, with the exchange,
//! queues and bindings declared anew: callers see an error that passes, and all of ours try again.

mod dead;
mod kept;
mod ledger;
mod link;
pub mod look;
mod message;
mod publisher;
mod queue;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use souk_proto::event::v1::Event;
use tokio::time::timeout;

use self::link::Link;
use self::publisher::Publisher;
use self::topology::Names;
use super::{Bus, DeadLetter, DeadLetterQuery, Error, Replay, Subscription, Topics};
use crate::clock::SharedClock;

/// What the names of the exchange and of all queues begin with, unless told otherwise.
pub const PREFIX: &str = "souk";
/// Seconds between heartbeats where the URL does not say (`?heartbeat=`); twice that without any
/// means that the broker is away.
const HEARTBEAT_S: u16 = 10;

/// How long a subscription waits for a broker that does not answer; it is made later then.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// The bus of a RabbitMQ broker or cluster.
pub struct RabbitMq {
    shared: Arc<Shared>,
}

struct Shared {
    names: Names,
    clock: SharedClock,
    /// A connection of its own: a broker short of memory or disk stops those that publish, and
    /// consumers must be able to go on acknowledging.
    publisher: Publisher,
    consuming: Link,
    dead_ids: message::DeadIds,
    /// Held while a queue is made; among processes a lock of the broker does the same.
    making: tokio::sync::Mutex<()>,
}

impl RabbitMq {
    /// The bus behind an `amqp://` or `amqps://` URL. Connects when it is first used.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn new(url: &SecretString, clock: SharedClock) -> Result<RabbitMq, Error> {
        RabbitMq::with_prefix(url, PREFIX, clock)
    }

    /// As [`RabbitMq::new`], with names that begin with `prefix`: a bus apart on the same broker.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::QueueName`] for a prefix that cannot begin a queue's name.
    pub fn with_prefix(
        url: &SecretString,
        prefix: &str,
        clock: SharedClock,
    ) -> Result<RabbitMq, Error> {
        super::check_queue_name(prefix)?;
        // What is wrong with it may tell the password.
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| Error::Url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        let names = Names::new(prefix);
        let publisher = Publisher::new(Link::new(uri.clone(), "publisher"), names.clone());
        let consuming = Link::new(uri, "consumer");
        let dead_ids = message::DeadIds::default();
        let making = tokio::sync::Mutex::default();
        let shared = Shared { names, clock, publisher, consuming, dead_ids, making };
        Ok(RabbitMq { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Bus for RabbitMq {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let messages = events
            .iter()
            .map(|event| message::of_event(&self.shared.names, event))
            .collect::<Result<Vec<_>, _>>()?;
        let routed = self.shared.publisher.publish(messages).await?;
        if routed.contains(&false) {
            // Everything is kept, at least: somebody has deleted what keeps it.
            self.shared.publisher.declare_again().await;
            return Err(Error::Unconfirmed);
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        queue: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, Error> {
        super::check_queue_name(queue)?;
        let parsed = Topics::parse(topics)?;
        let bindings = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let queue = queue::Queue::new(self.shared.clone(), queue, parsed, bindings);
        match timeout(SUBSCRIBE_PATIENCE, queue.declare()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if link::will_not_pass(&error) => return Err(error),
            // Who receives declares first, again and again with growing pauses, and a queue that is made later has what
            // was kept meanwhile.
            Ok(Err(error)) => {
                tracing::warn!(queue = queue.name(), %error, "subscribing when the broker is there");
            }
            Err(_elapsed) => {
                tracing::warn!(queue = queue.name(), "subscribing when the broker answers");
            }
        }
        Ok(Box::new(queue))
    }

    async fn dead_letters(&self, which: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        dead::list(&self.shared, &which).await
    }

    async fn replay(&self, which: Replay) -> Result<usize, Error> {
        dead::replay(&self.shared, &which).await
    }
}
