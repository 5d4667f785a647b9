//! Runs a handler over a queue: bounded concurrency, order per aggregate, outcomes in batches.
//!
//! Deliveries wait in lanes, one per aggregate; a lane runs one handler at a time. When a handler
//! fails, what waits behind it in its lane goes back untried, so that it comes after it again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use souk_proto::event::v1::Event;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Bus, Delivery, DeliveryTag, Error, HandlerError, Outcome, Subscription, aggregate_of};
use crate::tasks::Tasks;
use crate::{panic, telemetry};

/// Deliveries that are received and not settled.
const WINDOW: usize = 512;
/// Handlers that run at once.
const HANDLERS: usize = 32;
/// From one settling to the next: what ends meanwhile is settled by one write.
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);
/// Pause after the bus has failed, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Subscribes and, in the background, hands each event to `handler` until the drain. At a drain,
/// handlers that run are waited for; what was not tried is delivered after the next start.
///
/// The handler acts at least once per event, so it deduplicates ([`crate::inbox`]). An error or a
/// panic brings the event again, then makes it a dead letter; see [`super::retry`].
///
/// # Errors
/// When the subscription cannot be made.
pub async fn consume<H, F>(
    bus: Arc<dyn Bus>,
    tasks: &Tasks,
    queue: &'static str,
    topics: &[&str],
    handler: H,
) -> Result<(), Error>
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let subscription = bus.subscribe(queue, topics).await?;
    let consumer = Consumer {
        queue,
        subscription: subscription.into(),
        receiving: None,
        handler: Arc::new(handler),
        drain: tasks.token(),
        lanes: HashMap::new(),
        ready: VecDeque::new(),
        failed: HashSet::new(),
        running: JoinSet::new(),
        outcomes: Vec::new(),
        next_settling: Instant::now(),
        unsettled: 0,
    };
    tasks.spawn(queue, consumer.run());
    Ok(())
}

/// A handler that has ended.
struct Ended {
    lane: String,
    tag: DeliveryTag,
    result: Result<(), HandlerError>,
}

struct Consumer<H> {
    queue: &'static str,
    subscription: Arc<dyn Subscription>,
    /// The one look for deliveries that is under way; kept while other things happen, because one
    /// that is given up was for nothing.
    receiving: Option<BoxFuture<'static, Result<Vec<Delivery>, Error>>>,
    handler: Arc<H>,
    drain: CancellationToken,
    /// What waits per aggregate; a lane is here while a delivery of it waits or runs.
    lanes: HashMap<String, VecDeque<Delivery>>,
    /// Lanes whose next delivery can run.
    ready: VecDeque<String>,
    /// Lanes whose failure is not settled yet: what is still delivered of them comes too early, and
    /// goes back.
    failed: HashSet<String>,
    running: JoinSet<Ended>,
    outcomes: Vec<(DeliveryTag, Outcome)>,
    next_settling: Instant,
    unsettled: usize,
}

impl<H, F> Consumer<H>
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    async fn run(mut self) {
        let drain = self.drain.clone();
        let mut pause = FIRST_PAUSE;
        while !drain.is_cancelled() {
            self.start_handlers();
            match self.step().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(queue = self.queue, %error, "the bus failed, trying again");
                    let _ = tokio::time::timeout(pause, drain.cancelled()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.finish().await;
    }

    /// Settles what has ended, or waits for news.
    async fn step(&mut self) -> Result<(), Error> {
        let free = WINDOW - self.unsettled;
        if self.receiving.is_none() && free > 0 {
            let subscription = self.subscription.clone();
            self.receiving = Some(async move { subscription.receive(free).await }.boxed());
        }
        tokio::select! {
            biased;
            () = self.drain.cancelled() => {}
            () = sleep_until(self.next_settling), if !self.outcomes.is_empty() => {
                return self.settle().await;
            }
            Some(ended) = self.running.join_next() => self.note(ended),
            received = received(&mut self.receiving) => {
                self.receiving = None;
                for delivery in received? {
                    self.admit(delivery);
                }
            }
        }
        while let Some(ended) = self.running.try_join_next() {
            self.note(ended);
        }
        Ok(())
    }

    fn admit(&mut self, delivery: Delivery) {
        self.unsettled += 1;
        let name = aggregate_of(&delivery.event).to_owned();
        if self.failed.contains(&name) {
            self.outcomes.push((delivery.tag, Outcome::Deferred));
            return;
        }
        let lane = self.lanes.entry(name.clone()).or_insert_with(|| {
            self.ready.push_back(name);
            VecDeque::new()
        });
        lane.push_back(delivery);
    }

    fn start_handlers(&mut self) {
        while self.running.len() < HANDLERS {
            let Some(name) = self.ready.pop_front() else { return };
            let Some(delivery) = self.lanes.get_mut(&name).and_then(VecDeque::pop_front) else {
                self.lanes.remove(&name);
                continue;
            };
            let handler = self.handler.clone();
            let queue = self.queue;
            self.running.spawn(async move {
                let result = handle(queue, &*handler, delivery.event, delivery.attempt).await;
                Ended { lane: name, tag: delivery.tag, result }
            });
        }
    }

    fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let ended = ended.expect("handlers are not aborted, and their panics are caught");
        match ended.result {
            Ok(()) => {
                self.outcomes.push((ended.tag, Outcome::Done));
                self.ready.push_back(ended.lane);
            }
            Err(error) => {
                self.outcomes.push((ended.tag, Outcome::Failed(error)));
                let behind = self.lanes.remove(&ended.lane).unwrap_or_default();
                let deferred = behind.into_iter().map(|next| (next.tag, Outcome::Deferred));
                self.outcomes.extend(deferred);
                self.failed.insert(ended.lane);
            }
        }
    }

    async fn settle(&mut self) -> Result<(), Error> {
        self.next_settling = Instant::now() + SETTLE_INTERVAL;
        self.subscription.settle(&self.outcomes).await?;
        self.unsettled -= self.outcomes.len();
        self.outcomes.clear();
        self.failed.clear();
        Ok(())
    }

    /// At the drain: what runs may end, and is settled; `Tasks` bounds the time.
    async fn finish(mut self) {
        self.receiving = None;
        while let Some(ended) = self.running.join_next().await {
            self.note(ended);
        }
        if !self.outcomes.is_empty()
            && let Err(error) = self.settle().await
        {
            tracing::warn!(queue = self.queue, %error, "events acted on will be delivered again");
        }
    }
}

/// The outcome of a look for deliveries; never when none is under way.
async fn received(
    receiving: &mut Option<BoxFuture<'static, Result<Vec<Delivery>, Error>>>,
) -> Result<Vec<Delivery>, Error> {
    match receiving {
        Some(receiving) => receiving.await,
        None => std::future::pending().await,
    }
}

async fn handle<F>(
    queue: &'static str,
    handler: &(impl Fn(Event) -> F + Sync),
    event: Event,
    attempt: u32,
) -> Result<(), HandlerError>
where
    F: Future<Output = Result<(), HandlerError>> + Send,
{
    let (id, kind) = (event.event_id.clone(), event.r#type.clone());
    let trace_parent = (!event.trace_parent.is_empty()).then(|| event.trace_parent.clone());
    // Both the call and its future may panic.
    let handling = AssertUnwindSafe(async { handler(event).await }).catch_unwind();
    let handled = telemetry::in_trace(queue, trace_parent.as_deref(), handling).await;
    let result = handled.unwrap_or_else(|caught| {
        Err(HandlerError::retry(format!("the handler panicked: {}", panic::message(&*caught))))
    });
    if let Err(error) = &result {
        let reason = &error.reason;
        tracing::warn!(
            queue,
            event_id = id,
            event_type = kind,
            attempt,
            reason,
            "event not handled"
        );
    }
    result
}
