//! A bus that remembers what it was told, and can be away.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use souk_proto::event::v1::Event;
use tokio::sync::watch;

use crate::bus::{Bus, DeadLetter, DeadLetterQuery, Error, Replay, Subscription};

/// Far longer than anything in a test takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a test looks what was published, by which ids and in which order. Nobody can subscribe to it.
#[derive(Default)]
pub struct Told {
    events: Mutex<Vec<Event>>,
    is_away: AtomicBool,
    news: watch::Sender<()>,
}

impl Told {
    /// From now on events are refused, or taken again.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// What was told of an aggregate, in the order of telling, repeats included.
    #[must_use]
    pub fn of(&self, aggregate: &str) -> Vec<Event> {
        let events = self.events.lock();
        events.iter().filter(|event| event.aggregate_id == aggregate).cloned().collect()
    }

    /// All aggregates that something was told of.
    #[must_use]
    pub fn aggregates(&self) -> BTreeSet<String> {
        self.events.lock().iter().map(|event| event.aggregate_id.clone()).collect()
    }

    /// The versions of what was told of an aggregate.
    #[must_use]
    pub fn versions(&self, aggregate: &str) -> Vec<i64> {
        self.of(aggregate).iter().map(|event| event.aggregate_version).collect()
    }

    /// Waits for so many events of an aggregate; all of its versions then.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for(&self, aggregate: &str, count: usize) -> Vec<i64> {
        let mut news = self.news.subscribe();
        let enough = news.wait_for(|()| self.versions(aggregate).len() >= count);
        let told = tokio::time::timeout(PATIENCE, enough).await;
        assert!(told.is_ok(), "{aggregate}: {:?}, not {count}", self.versions(aggregate));
        self.versions(aggregate)
    }
}

#[async_trait]
impl Bus for Told {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Unconfirmed);
        }
        self.events.lock().extend(events);
        self.news.send_replace(());
        Ok(())
    }

    async fn subscribe(&self, _: &str, _: &[&str]) -> Result<Box<dyn Subscription>, Error> {
        Err(Error::Cancelled)
    }

    async fn dead_letters(&self, _: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        Ok(Vec::new())
    }

    async fn replay(&self, _: Replay) -> Result<usize, Error> {
        Ok(0)
    }
}
