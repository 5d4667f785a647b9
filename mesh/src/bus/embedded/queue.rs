//! A consumer's hold on a queue of the embedded bus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::log::{self, Again, Found, Page};
use super::{POLL_MS, Shared};
use crate::bus::{
    Delivery, DeliveryTag, Error, HandlerError, Outcome, Subscription, Topics, aggregate_of, retry,
};

/// A cursor that only passes events of other topics is saved after so many.
const SAVE_EVERY: i64 = 1000;
const POLL: Duration = Duration::from_millis(POLL_MS);
/// From one look at the tables to the next, unless there was more than was asked for: a look costs
/// about as much for one event as for a hundred.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Queue {
    shared: Arc<Shared>,
    name: Arc<str>,
    topics: Topics,
    /// Held by the one call of `receive` that is under way.
    receiving: tokio::sync::Mutex<Receiving>,
    progress: Mutex<Progress>,
    behind: Gauge,
    dead: Counter,
}

struct Receiving {
    news: watch::Receiver<()>,
    next_look: Instant,
    /// Locked while this is the queue's one consumer.
    lock: Option<File>,
}

/// Where the consumer stands. Tags are positions in the log.
#[derive(Default)]
struct Progress {
    /// The cursor as saved.
    cursor: i64,
    /// Everything up to here was delivered, deferred or is of other topics.
    scanned_to: i64,
    in_flight: BTreeMap<i64, InFlight>,
    /// Those in flight that came from the log: the cursor stays before them.
    from_log: BTreeSet<i64>,
    /// In flight, never handed out: to be put behind a failed event of their aggregate.
    deferred: Vec<(DeliveryTag, Outcome)>,
    /// Something that was waited for may be due.
    look_again: bool,
    /// Counts settlings with failures: a look at the tables from before such a one is stale, as it
    /// does not know who is behind whom.
    failures: u64,
}

#[derive(Clone)]
struct InFlight {
    aggregate: Arc<str>,
    failed_attempts: u32,
    from_log: bool,
}

impl Progress {
    /// How far the cursor may go once those `settled` are done.
    fn cursor_after(&self, settled: &[(DeliveryTag, Outcome)]) -> i64 {
        let settled: BTreeSet<i64> = settled.iter().map(|(tag, _)| tag.0).collect();
        let first_open = self.from_log.iter().find(|position| !settled.contains(position));
        first_open.map_or(self.scanned_to, |position| position - 1)
    }

    /// Takes over what was found; returns what is to be handed out.
    fn admit(&mut self, found: Vec<Found>) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(found.len());
        for found in found {
            // After a restart the log brings again what is already among the redeliveries.
            if self.in_flight.contains_key(&found.position) {
                continue;
            }
            let tag = DeliveryTag(found.position);
            let in_flight = InFlight {
                aggregate: aggregate_of(&found.event).into(),
                failed_attempts: found.failed_attempts,
                from_log: found.from_log,
            };
            self.in_flight.insert(found.position, in_flight);
            if found.from_log {
                self.from_log.insert(found.position);
            }
            if found.is_behind {
                self.deferred.push((tag, Outcome::Deferred));
            } else {
                let attempt = found.failed_attempts + 1;
                deliveries.push(Delivery { tag, event: found.event, attempt });
            }
        }
        deliveries
    }
}

impl Queue {
    pub(super) fn new(shared: Arc<Shared>, name: &str, topics: Topics) -> Self {
        let label = name.to_owned();
        let news = shared.news.subscribe();
        let receiving = Receiving { news, next_look: Instant::now(), lock: None };
        Queue {
            shared,
            name: name.into(),
            topics,
            receiving: tokio::sync::Mutex::new(receiving),
            progress: Mutex::default(),
            behind: metrics::gauge!("souk_bus_queue_behind_events", "queue" => label.clone()),
            dead: metrics::counter!("souk_bus_dead_letters_total", "queue" => label),
        }
    }

    /// Becomes the queue's one consumer, then begins where the last one has ended.
    async fn take(&self) -> Result<File, Error> {
        let path = self.shared.folder.join(format!("{}.lock", self.name));
        let broken = |source| Error::Lock { queue: self.name.to_string(), source };
        let open = File::options().write(true).create(true).truncate(false).open(path);
        let file = open.map_err(broken)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
                Err(TryLockError::Error(source)) => return Err(broken(source)),
            }
        }
        let name = self.name.clone();
        let cursor =
            self.shared.store.read(move |connection| log::cursor(connection, &name)).await?;
        *self.progress.lock() = Progress { cursor, scanned_to: cursor, ..Progress::default() };
        Ok(file)
    }

    /// Looks for redeliveries that are due and for new events.
    async fn fetch(&self, limit: usize) -> Result<Page, Error> {
        let (name, topics) = (self.name.clone(), self.topics.clone());
        let now_ms = self.shared.clock.now_ms();
        let (after, in_flight) = {
            let progress = self.progress.lock();
            let redelivered = progress.in_flight.iter().filter(|(_, delivery)| !delivery.from_log);
            (progress.scanned_to, redelivered.map(|(position, _)| *position).collect())
        };
        let work = move |connection: &Connection| {
            let due = log::due(connection, &name, now_ms, &in_flight, limit)?;
            let mut page = log::next(connection, &name, &topics, after, limit - due.len())?;
            page.found.splice(0..0, due);
            Ok::<_, Error>(page)
        };
        let page = self.shared.store.read(work).await?;
        self.behind.set((page.head - page.scanned_to).max(0) as f64);
        Ok(page)
    }

    /// Saves what `receive` itself has to: deferrals, and a cursor that lags far behind.
    async fn save(&self) -> Result<(), Error> {
        let outcomes = {
            let progress = self.progress.lock();
            let lag = progress.cursor_after(&[]) - progress.cursor;
            if progress.deferred.is_empty() && lag < SAVE_EVERY {
                return Ok(());
            }
            progress.deferred.clone()
        };
        // Kept until it has succeeded: `receive` may be dropped in the middle.
        self.settle(&outcomes).await?;
        self.progress.lock().deferred.clear();
        Ok(())
    }
}

#[async_trait]
impl Subscription for Queue {
    async fn receive(&self, limit: usize) -> Result<Vec<Delivery>, Error> {
        let mut receiving = self.receiving.lock().await;
        if receiving.lock.is_none() {
            receiving.lock = Some(self.take().await?);
        }
        loop {
            self.save().await?;
            sleep_until(receiving.next_look).await;
            receiving.next_look = Instant::now() + LOOK_INTERVAL;
            receiving.news.mark_unchanged();
            let failures = {
                let mut progress = self.progress.lock();
                progress.look_again = false;
                progress.failures
            };
            let page = self.fetch(limit).await?;
            let is_last = page.scanned_to >= page.head;
            let look_again = {
                let mut progress = self.progress.lock();
                if progress.failures != failures {
                    continue;
                }
                progress.scanned_to = page.scanned_to;
                let deliveries = progress.admit(page.found);
                if !is_last {
                    receiving.next_look = Instant::now();
                }
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
                progress.look_again || !progress.deferred.is_empty() || !is_last
            };
            if !look_again {
                let _ = tokio::time::timeout(POLL, receiving.news.changed()).await;
            }
        }
    }

    async fn settle(&self, outcomes: &[(DeliveryTag, Outcome)]) -> Result<(), Error> {
        let (settled, from, to) = {
            let progress = self.progress.lock();
            let known = |(tag, outcome): &(DeliveryTag, Outcome)| {
                let delivery = progress.in_flight.get(&tag.0)?;
                Some((tag.0, delivery.clone(), outcome.clone()))
            };
            let settled: Vec<_> = outcomes.iter().filter_map(known).collect();
            (settled, progress.cursor, progress.cursor_after(outcomes))
        };
        let (name, now_ms) = (self.name.clone(), self.shared.clock.now_ms());
        let kept_events = self.shared.limits.kept_events;
        let work = move |connection: &Connection| {
            let mut dead = 0;
            for (position, delivery, outcome) in &settled {
                let queue = Settling { connection, queue: &name, now_ms };
                dead += u64::from(queue.settle(*position, delivery, outcome)?);
            }
            if to > from {
                log::advance(connection, &name, from, to, kept_events)?;
            }
            Ok::<_, Error>(dead)
        };
        let dead = self.shared.store.write(work).await?;
        self.dead.increment(dead);
        let mut progress = self.progress.lock();
        progress.cursor = progress.cursor.max(to);
        progress.failures +=
            u64::from(outcomes.iter().any(|(_, outcome)| *outcome != Outcome::Done));
        for (tag, _) in outcomes {
            progress.from_log.remove(&tag.0);
            let delivery = progress.in_flight.remove(&tag.0);
            // What waits behind a redelivery may be due now.
            progress.look_again |= delivery.is_some_and(|delivery| !delivery.from_log);
        }
        Ok(())
    }
}

/// One write that settles deliveries.
struct Settling<'a> {
    connection: &'a Connection,
    queue: &'a str,
    now_ms: i64,
}

impl Settling<'_> {
    /// `true` when the event is dead.
    fn settle(&self, position: i64, delivery: &InFlight, outcome: &Outcome) -> Result<bool, Error> {
        let aggregate = &*delivery.aggregate;
        match outcome {
            Outcome::Done if delivery.from_log => Ok(false),
            Outcome::Done => {
                log::done(self.connection, self.queue, aggregate, position).map(|()| false)
            }
            Outcome::Deferred => {
                log::behind(self.connection, self.queue, aggregate, position).map(|()| false)
            }
            Outcome::Failed(error) => self.fail(position, delivery, error),
        }
    }

    fn fail(
        &self,
        position: i64,
        delivery: &InFlight,
        error: &HandlerError,
    ) -> Result<bool, Error> {
        let failed_attempts = delivery.failed_attempts + 1;
        let pause_ms = if error.retry { retry::pause_ms(failed_attempts) } else { None };
        let again = Again {
            aggregate: &delivery.aggregate,
            position,
            failed_attempts,
            not_before_ms: self.now_ms + pause_ms.unwrap_or(0),
            reason: error.kept_reason(),
        };
        match pause_ms {
            Some(_) => log::again(self.connection, self.queue, &again).map(|()| false),
            None => log::bury(self.connection, self.queue, &again).map(|()| true),
        }
    }
}
