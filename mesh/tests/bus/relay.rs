//! From a service's write to another service's handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use souk_mesh::bus::{Bus, DeadLetter, DeadLetterQuery, Error, Outcome, Replay, Subscription};
use souk_mesh::store::{self, Store};
use souk_mesh::tasks::Tasks;
use souk_mesh::{inbox, outbox};
use souk_proto::event::v1::Event;

use super::{event, open};

const DRAIN: Duration = Duration::from_secs(10);
/// How long an event may take before it is lost.
const PATIENCE: Duration = Duration::from_secs(30);

async fn put(store: &Store, event: Event) {
    store
        .write(move |connection| Ok::<_, store::Error>(outbox::put(connection, &event)?))
        .await
        .unwrap();
}

async fn left(store: &Store) -> i64 {
    store
        .read(|connection| {
            let sql = "SELECT count(*) FROM outbox";
            Ok::<_, store::Error>(connection.query_row(sql, [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

/// Receives and settles so many.
async fn receive(queue: &dyn Subscription, count: usize) -> Vec<i64> {
    let mut versions = Vec::new();
    while versions.len() < count {
        let got = tokio::time::timeout(PATIENCE, queue.receive(count)).await;
        let got = got.expect("events arrive").unwrap();
        let done: Vec<_> = got.iter().map(|delivery| (delivery.tag, Outcome::Done)).collect();
        queue.settle(&done).await.unwrap();
        versions.extend(got.iter().map(|delivery| delivery.event.aggregate_version));
    }
    versions
}

#[tokio::test]
async fn committed_events_reach_the_bus_in_order_and_leave_the_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let store = Store::open(&folder.path().join("order.db"), &[]).unwrap();
    let queue = bus.subscribe("all", &["#"]).await.unwrap();
    // More than a page from before the start.
    for version in 1..=300 {
        put(&store, event("t", "a", version)).await;
    }
    let tasks = Tasks::new();
    outbox::spawn_relay(&store, bus, &tasks, "order.outbox");
    assert_eq!(receive(&*queue, 300).await, (1..=300).collect::<Vec<_>>());
    put(&store, event("t", "a", 301)).await;
    assert_eq!(receive(&*queue, 1).await, [301]);
    let refused = store
        .write(|connection| {
            outbox::put(connection, &event("t", "a", -1))?;
            Err::<(), _>(store::Error::Overloaded)
        })
        .await;
    assert!(refused.is_err());
    put(&store, event("t", "a", 302)).await;
    assert_eq!(receive(&*queue, 1).await, [302], "a refused write tells nothing");
    tasks.drain(DRAIN).await.unwrap();
    assert_eq!(left(&store).await, 0);
}

/// A bus that fails its first publications, some after they have happened.
struct Failing {
    bus: Arc<dyn Bus>,
    publications: AtomicU32,
}

#[async_trait]
impl Bus for Failing {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let publication = self.publications.fetch_add(1, Ordering::SeqCst);
        if publication != 0 {
            self.bus.publish(events).await?;
        }
        if publication < 2 { Err(store::Error::Overloaded.into()) } else { Ok(()) }
    }

    async fn subscribe(
        &self,
        queue: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, Error> {
        self.bus.subscribe(queue, topics).await
    }

    async fn dead_letters(&self, which: DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        self.bus.dead_letters(which).await
    }

    async fn replay(&self, which: Replay) -> Result<usize, Error> {
        self.bus.replay(which).await
    }
}

#[tokio::test]
async fn a_failing_bus_loses_nothing_and_consumers_act_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("order.db"), &[]).unwrap();
    let bus = Arc::new(Failing { bus: open(folder.path()), publications: AtomicU32::new(0) });
    let queue = bus.subscribe("all", &["#"]).await.unwrap();
    put(&store, event("t", "a", 1)).await;
    let tasks = Tasks::new();
    outbox::spawn_relay(&store, bus, &tasks, "order.outbox");
    // Once from the publication whose outcome was unknown, once from its repetition.
    assert_eq!(receive(&*queue, 2).await, [1, 1]);
    let acted = store
        .write(|connection| {
            Ok::<_, store::Error>([
                inbox::first_time(connection, "all", "t/a/1")?,
                inbox::first_time(connection, "all", "t/a/1")?,
            ])
        })
        .await
        .unwrap();
    assert_eq!(acted, [true, false]);
    tasks.drain(DRAIN).await.unwrap();
    assert_eq!(left(&store).await, 0);
}
