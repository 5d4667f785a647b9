//! A consumer's hold on a queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use metrics::Counter;
use parking_lot::Mutex;
use prost::Message as _;
use souk_proto::event::v1::Event;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::kept::NewQueue;
use super::ledger::{Arrival, Ledger};
use super::link::answer;
use super::{Shared, message, topology};
use crate::bus::{
    DeadLetter, Delivery, DeliveryTag, Error, HandlerError, Outcome, Subscription, Topics, retry,
};

/// Messages that the broker gives out before any is acknowledged: those whose handlers run, and those
/// that failed or wait behind a failed one. With more of those, the queue waits for them.
const PREFETCH: u16 = 4096;
/// How often a consumer looks whether a redelivery is due.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Queue {
    shared: Arc<Shared>,
    name: String,
    topics: Topics,
    bindings: Vec<String>,
    /// Held by the one call of `receive` that is under way.
    session: tokio::sync::Mutex<Option<Session>>,
    state: Arc<Mutex<State>>,
    /// Something may have become due.
    changed: Notify,
    dead: Counter,
}

struct Session {
    consumer: Consumer,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    /// Where the ledger's tags are acknowledged.
    channel: Option<Channel>,
    /// To be acknowledged without having been handed out.
    passed_over: Vec<u64>,
}

/// What is to be done for one outcome.
struct Settling {
    tag: DeliveryTag,
    broker_tag: Option<u64>,
    what: What,
}

enum What {
    Done,
    Dead(Box<DeadLetter>),
    Again { failed_attempts: u32, not_before_ms: i64 },
}

impl Queue {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: &str,
        topics: Topics,
        bindings: Vec<String>,
    ) -> Queue {
        let dead = metrics::counter!("souk_bus_dead_letters_total", "queue" => name.to_owned());
        Queue {
            shared,
            name: name.to_owned(),
            topics,
            bindings,
            session: tokio::sync::Mutex::default(),
            state: Arc::default(),
            changed: Notify::new(),
            dead,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the queue and its bindings, unless they are there.
    pub(super) async fn declare(&self) -> Result<Channel, Error> {
        let new = NewQueue { shared: &self.shared, name: &self.name, topics: &self.topics };
        new.make_unless_made(&self.bindings).await?;
        let channel = self.shared.consuming.channel().await?;
        let names = &self.shared.names;
        let binding = topology::bind(&channel, names, &self.name, &self.bindings);
        answer("binding a queue", binding).await?;
        Ok(channel)
    }

    /// Stands in line for the queue. Messages come when it is this consumer's turn.
    async fn begin(&self) -> Result<Session, Error> {
        let channel = self.declare().await?;
        let consumer = answer("consuming", async {
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let (queue, tag) = (self.shared.names.queue(&self.name), "".into());
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue, tag, options, FieldTable::default()).await
        })
        .await?;
        let mut state = self.state.lock();
        state.ledger.lost();
        state.passed_over.clear();
        state.channel = Some(channel);
        Ok(Session { consumer })
    }

    fn arrive(&self, message: &lapin::message::Delivery) {
        let mut state = self.state.lock();
        let arrival = match Event::decode(&*message.data) {
            // Bindings of an earlier build may bring what is not asked for any more.
            Ok(event) if !self.topics.matches(&event.r#type) => Arrival::Done,
            Ok(event) => state.ledger.arrive(event, message.delivery_tag, message.redelivered),
            Err(error) => {
                let queue = &self.name;
                tracing::error!(queue, %error, "a message that is no event was dropped");
                Arrival::Done
            }
        };
        if arrival == Arrival::Done {
            state.passed_over.push(message.delivery_tag);
        }
    }

    /// Takes what has come already. `Err` when nothing will come any more.
    fn drain(&self, session: &mut Session, limit: usize) -> Result<(), Error> {
        for _ in 0..limit {
            match session.consumer.next().now_or_never() {
                Some(next) => self.arrive(&came(next)?),
                None => break,
            }
        }
        Ok(())
    }

    async fn acknowledge_passed_over(&self) -> Result<(), Error> {
        let (channel, tags) = {
            let state = self.state.lock();
            (state.channel.clone(), state.passed_over.clone())
        };
        let Some(channel) = channel else { return Ok(()) };
        for tag in &tags {
            answer("acknowledging", channel.basic_ack(*tag, BasicAckOptions::default())).await?;
        }
        self.state.lock().passed_over.retain(|tag| !tags.contains(tag));
        Ok(())
    }

    async fn receive_from(
        &self,
        session: &mut Session,
        limit: usize,
    ) -> Result<Vec<Delivery>, Error> {
        loop {
            let drained = self.drain(session, limit);
            let (deliveries, is_waiting) = {
                let mut state = self.state.lock();
                // Nothing is handed out that cannot be acknowledged.
                drained?;
                let taken = state.ledger.take(self.shared.clock.now_ms(), limit);
                (taken, state.ledger.is_waiting())
            };
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            self.acknowledge_passed_over().await?;
            let look_again = async {
                match is_waiting {
                    true => tokio::time::sleep(LOOK_EVERY).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                next = session.consumer.next() => self.arrive(&came(next)?),
                () = self.changed.notified() => {}
                () = look_again => {}
            }
        }
    }

    fn plan(&self, outcomes: &[(DeliveryTag, Outcome)]) -> (Option<Channel>, Vec<Settling>) {
        let state = self.state.lock();
        let now_ms = self.shared.clock.now_ms();
        let settling = outcomes.iter().filter_map(|(tag, outcome)| {
            let held = state.ledger.handed_out(*tag)?;
            let failed_attempts = held.failed_attempts;
            let what = match outcome {
                Outcome::Done => What::Done,
                Outcome::Deferred => What::Again { failed_attempts, not_before_ms: now_ms },
                Outcome::Failed(error) => {
                    self.failed(&held.event, failed_attempts, held.broker_tag.is_some(), error)
                }
            };
            Some(Settling { tag: *tag, broker_tag: held.broker_tag, what })
        });
        (state.channel.clone(), settling.collect())
    }

    fn failed(
        &self,
        event: &Event,
        failed_attempts: u32,
        can_be_acknowledged: bool,
        error: &HandlerError,
    ) -> What {
        let now_ms = self.shared.clock.now_ms();
        let attempts = failed_attempts + 1;
        let pause_ms = if error.retry { retry::pause_ms(attempts) } else { None };
        match pause_ms {
            Some(pause_ms) => {
                What::Again { failed_attempts: attempts, not_before_ms: now_ms + pause_ms }
            }
            // The broker will give it out again: it dies when it can leave the queue.
            None if !can_be_acknowledged => What::Again { failed_attempts, not_before_ms: now_ms },
            None => What::Dead(Box::new(DeadLetter {
                id: self.shared.dead_ids.next(now_ms),
                queue: self.name.clone(),
                event: event.clone(),
                reason: error.kept_reason().to_owned(),
                attempts,
                dead_at_ms: now_ms,
            })),
        }
    }

    /// Puts dead letters where they are kept; only then may they leave the queue.
    async fn bury(&self, settling: &[Settling]) -> Result<(), Error> {
        let names = &self.shared.names;
        let letters = settling.iter().filter_map(|settling| match &settling.what {
            What::Dead(letter) => Some(message::of_dead(names, letter)),
            What::Done | What::Again { .. } => None,
        });
        let letters: Vec<_> = letters.collect();
        if letters.is_empty() {
            return Ok(());
        }
        let routed = self.shared.publisher.publish(letters).await?;
        if routed.contains(&false) {
            return Err(Error::NoDeadLetterQueue);
        }
        self.dead.increment(routed.len() as u64);
        Ok(())
    }
}

fn came(
    next: Option<lapin::Result<lapin::message::Delivery>>,
) -> Result<lapin::message::Delivery, Error> {
    match next {
        Some(Ok(message)) => Ok(message),
        Some(Err(source)) => Err(Error::Broker { doing: "consuming", source: Box::new(source) }),
        None => Err(Error::Cancelled),
    }
}

async fn acknowledge(channel: Option<&Channel>, broker_tag: Option<u64>) -> bool {
    let (Some(channel), Some(tag)) = (channel, broker_tag) else { return false };
    // What cannot be acknowledged comes again, and is recognised then.
    answer("acknowledging", channel.basic_ack(tag, BasicAckOptions::default())).await.is_ok()
}

#[async_trait]
impl Subscription for Queue {
    async fn receive(&self, limit: usize) -> Result<Vec<Delivery>, Error> {
        let mut slot = self.session.lock().await;
        // It stays in its place while it is used: this future may be dropped in the middle.
        if slot.is_none() {
            *slot = Some(self.begin().await?);
        }
        let session = slot.as_mut().expect("it was just made");
        let received = self.receive_from(session, limit).await;
        if received.is_err() {
            *slot = None;
        }
        received
    }

    async fn settle(&self, outcomes: &[(DeliveryTag, Outcome)]) -> Result<(), Error> {
        let (channel, settling) = self.plan(outcomes);
        self.bury(&settling).await?;
        for Settling { tag, broker_tag, what } in settling {
            let put_back = match what {
                What::Again { failed_attempts, not_before_ms } => {
                    Some((failed_attempts, not_before_ms))
                }
                What::Done | What::Dead(_) => None,
            };
            let acknowledged =
                put_back.is_none() && acknowledge(channel.as_ref(), broker_tag).await;
            let mut state = self.state.lock();
            match put_back {
                Some((failed_attempts, not_before_ms)) => {
                    state.ledger.put_back(tag, failed_attempts, not_before_ms);
                }
                None => state.ledger.remove(tag, acknowledged),
            }
        }
        self.changed.notify_one();
        Ok(())
    }
}

impl Drop for Queue {
    /// Closes the channel before the consumer is cancelled: then everything that is not acknowledged
    /// is back in the queue before the next consumer has its turn.
    fn drop(&mut self) {
        let session = self.session.get_mut().take();
        let channel = self.state.lock().channel.take();
        let (Some(channel), Ok(runtime)) = (channel, tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            // Without an answer the connection is lost, and the channel with it.
            let _ = timeout(super::link::ANSWER_LIMIT, channel.close(200, "done".into())).await;
            drop(session);
        });
    }
}
