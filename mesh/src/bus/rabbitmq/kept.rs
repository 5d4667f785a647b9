//! A new queue begins with what the bus still keeps.
//!
//! Beside the consumers' queues there is one with the last events, which nobody acknowledges. Whoever
//! subscribes to a queue for the first time copies from it what the queue's topics match: first all
//! there is, then, with the queue bound, what came meanwhile; and gives everything back. So nothing is
//! missed; an event that comes in the moment of the binding may be there twice, and then a copy stands
//! behind later ones of its aggregate. That moment is once in a queue's life, and consumers drop
//! repeats and older versions.

use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer, ExchangeKind};
use prost::Message as _;
use souk_proto::event::v1::Event;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::link::{ANSWER_LIMIT, answer, refusal};
use super::{Shared, message, topology};
use crate::bus::{Error, Topics};

/// Events that are read without giving any back: what is kept, and what comes meanwhile.
const PREFETCH: u16 = 2 * topology::KEPT_EVENTS;
/// Events copied at once.
const COPIED_AT_ONCE: usize = 256;
/// How often it is looked whether another process has made the queue, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const OTHERS_LIMIT: Duration = Duration::from_secs(30);
/// AMQP 0-9-1: reply code resource-locked.
const RESOURCE_LOCKED: u16 = 405;
/// AMQP 0-9-1: reply code not-found.
const NOT_FOUND: u16 = 404;

/// A queue that may have to be made.
pub(super) struct NewQueue<'a> {
    pub shared: &'a Shared,
    pub name: &'a str,
    pub topics: &'a Topics,
}

impl NewQueue<'_> {
    /// Makes the queue with everything that is kept for it, unless somebody has.
    pub(super) async fn make_unless_made(&self, bindings: &[String]) -> Result<(), Error> {
        let _one_at_a_time = self.shared.making.lock().await;
        let patience = Instant::now() + OTHERS_LIMIT;
        while !self.is_made().await? {
            match self.lock().await {
                Ok(channel) => return self.make(channel, bindings).await,
                Err(error) if is(&error, RESOURCE_LOCKED) && Instant::now() < patience => {
                    sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn is_made(&self) -> Result<bool, Error> {
        let channel = self.shared.consuming.channel().await?;
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let (name, none) = (self.shared.names.made(self.name), FieldTable::default());
        let looking = channel.exchange_declare(name, ExchangeKind::Fanout, options, none);
        match answer("looking for a queue", looking).await {
            Ok(()) => Ok(true),
            Err(error) if is(&error, NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The broker refuses it to other connections until it is deleted or this one ends.
    async fn lock(&self) -> Result<Channel, Error> {
        let channel = self.shared.consuming.channel().await?;
        let (name, none) = (self.shared.names.making(self.name), FieldTable::default());
        let locking = channel.queue_declare(name, QueueDeclareOptions::exclusive(), none);
        answer("locking a queue", locking).await?;
        Ok(channel)
    }

    async fn make(&self, channel: Channel, bindings: &[String]) -> Result<(), Error> {
        let names = &self.shared.names;
        let queue = names.queue(self.name);
        answer("making a queue", async {
            topology::declare_common(&channel, names).await?;
            // What an earlier attempt has left is incomplete, and nobody consumes it yet.
            channel.queue_delete(queue.clone(), QueueDeleteOptions::default()).await?;
            topology::declare_queue(&channel, queue).await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await
        })
        .await?;
        let mut kept = self.open(&channel).await?;
        self.copy(&channel, &mut kept).await?;
        answer("binding a queue", topology::bind(&channel, names, self.name, bindings)).await?;
        self.copy(&channel, &mut kept).await?;
        answer("making a queue", async {
            let options =
                ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let (made, none) = (names.made(self.name), FieldTable::default());
            channel.exchange_declare(made, ExchangeKind::Fanout, options, none).await?;
            let making = names.making(self.name);
            channel.queue_delete(making, QueueDeleteOptions::default()).await?;
            channel.close(200, "made".into()).await
        })
        .await
    }

    /// What is kept, from the oldest event on. One reader at a time has it.
    async fn open(&self, channel: &Channel) -> Result<Consumer, Error> {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(self.shared.names.kept(), "".into(), options, none);
        answer("reading what is kept", consuming).await
    }

    /// Copies on, up to what is the end when this is called.
    async fn copy(&self, channel: &Channel, kept: &mut Consumer) -> Result<(), Error> {
        const DOING: &str = "reading what is kept";
        let mark = Uuid::new_v4().to_string();
        let names = &self.shared.names;
        self.shared.publisher.publish(vec![message::of_mark(names.kept(), &mark)]).await?;
        let mut copies = Vec::new();
        loop {
            let next = timeout(ANSWER_LIMIT, kept.next()).await;
            let next = next.map_err(|_| Error::Silent { doing: DOING, limit: ANSWER_LIMIT })?;
            let next = next.ok_or(Error::Cancelled)?;
            let got =
                next.map_err(|source| Error::Broker { doing: DOING, source: Box::new(source) })?;
            let is_end = message::mark_of(&got.properties).is_some_and(|read| read == mark);
            let routing_key = got.routing_key.as_str();
            if got.exchange == names.events()
                && self.topics.matches(routing_key)
                && let Ok(event) = Event::decode(&*got.data)
            {
                copies.push(message::of_event_for(names, self.name, &event));
            }
            if is_end || copies.len() == COPIED_AT_ONCE {
                self.shared.publisher.publish(std::mem::take(&mut copies)).await?;
            }
            if is_end {
                let acknowledging = channel.basic_ack(got.delivery_tag, BasicAckOptions::default());
                answer("acknowledging", acknowledging).await?;
                return Ok(());
            }
        }
    }
}

fn is(error: &Error, reply_code: u16) -> bool {
    refusal(error) == Some(reply_code)
}
