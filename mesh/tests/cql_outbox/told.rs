//! A bus that remembers what it was told, and can be away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use souk_mesh::bus::{Bus, DeadLetter, DeadLetterQuery, Error, Replay, Subscription};
use souk_proto::event::v1::Event;
use tokio::sync::watch;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Told {
    events: Mutex<Vec<(String, i64)>>,
    is_away: AtomicBool,
    news: watch::Sender<()>,
}

impl Told {
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// What was told of an aggregate, in the order of telling.
    pub fn versions(&self, aggregate: &str) -> Vec<i64> {
        let events = self.events.lock();
        let own = events.iter().filter(|(of, _)| of == aggregate);
        own.map(|(_, version)| *version).collect()
    }

    pub async fn wait_for(&self, aggregate: &str, count: usize) -> Vec<i64> {
        let mut news = self.news.subscribe();
        let enough = news.wait_for(|()| self.versions(aggregate).len() >= count);
        let told = tokio::time::timeout(PATIENCE, enough).await;
        told.unwrap_or_else(|_| panic!("{aggregate}: {:?}", self.versions(aggregate))).unwrap();
        self.versions(aggregate)
    }
}

#[async_trait]
impl Bus for Told {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Unconfirmed);
        }
        let told = events.into_iter().map(|event| (event.aggregate_id, event.aggregate_version));
        self.events.lock().extend(told);
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
