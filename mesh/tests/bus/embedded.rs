//! The contract on the embedded bus, and what only it promises.

use std::sync::Arc;

use souk_mesh::bus::embedded::{Embedded, Limits};
use souk_mesh::bus::{Bus, Delivery, Error, HandlerError, Outcome, Subscription};
use souk_mesh::clock::ManualClock;
use souk_mesh::testing::{BusUnderTest, bus_contract};

use super::{NOW_MS, event, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    bus_contract(async || {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(NOW_MS);
        let bus = Embedded::open(folder.path(), Arc::new(clock.clone())).unwrap();
        BusUnderTest {
            bus: Arc::new(bus),
            pass_ms: Box::new(move |by_ms| clock.advance_ms(by_ms)),
            keep: Box::new(folder),
        }
    })
    .await;
}

async fn settle(queue: &dyn Subscription, deliveries: &[Delivery], outcome: Outcome) {
    let outcomes: Vec<_> =
        deliveries.iter().map(|delivery| (delivery.tag, outcome.clone())).collect();
    queue.settle(&outcomes).await.unwrap();
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.event.event_id.as_str()).collect()
}

#[tokio::test]
async fn two_processes_on_one_folder_see_each_others_events() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let queue = one.subscribe("orders", &["#"]).await.unwrap();
    let waiting = tokio::spawn(async move { queue.receive(1).await.map(|got| got[0].attempt) });
    other.publish(vec![event("t", "a", 1)]).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn reopening_keeps_events_redeliveries_and_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    {
        let bus = open(folder.path());
        let queue = bus.subscribe("orders", &["#"]).await.unwrap();
        let events = ["a", "b", "c", "d"].map(|aggregate| event("t", aggregate, 1));
        bus.publish(events.to_vec()).await.unwrap();
        let got = queue.receive(4).await.unwrap();
        // The first stays open, so the cursor stays before all of them.
        settle(&*queue, &got[1..2], Outcome::Failed(HandlerError::retry("not now"))).await;
        settle(&*queue, &got[2..3], Outcome::Failed(HandlerError::reject("never"))).await;
    }
    let clock = ManualClock::new(NOW_MS);
    let bus = Embedded::open(folder.path(), Arc::new(clock.clone())).unwrap();
    assert_eq!(bus.dead_letters(super::admin::first(10)).await.unwrap().len(), 1);
    let queue = bus.subscribe("orders", &["#"]).await.unwrap();
    // c was given up but the cursor had not passed it: at least once.
    let got = queue.receive(4).await.unwrap();
    assert_eq!(ids(&got), ["t/a/1", "t/c/1", "t/d/1"]);
    settle(&*queue, &got[1..2], Outcome::Failed(HandlerError::reject("never"))).await;
    settle(&*queue, &got[..1], Outcome::Done).await;
    settle(&*queue, &got[2..], Outcome::Done).await;
    assert_eq!(bus.dead_letters(super::admin::first(10)).await.unwrap().len(), 1);
    clock.advance_ms(60_000);
    let got = queue.receive(4).await.unwrap();
    assert_eq!((ids(&got), got[0].attempt), (vec!["t/b/1"], 2));
}

/// A folder's log, opened by another hand.
fn logged(folder: &std::path::Path) -> i64 {
    let connection = rusqlite::Connection::open(folder.join("events.db")).unwrap();
    connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_log_is_trimmed_behind_the_slowest_queue_and_keeps_its_tail() {
    const EVENTS: i64 = 2000;
    const KEPT: i64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { kept_events: KEPT, ..Limits::default() };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bus = Embedded::open_with(folder.path(), clock, limits).unwrap();
    let fast = bus.subscribe("fast", &["#"]).await.unwrap();
    let slow = bus.subscribe("slow", &["#"]).await.unwrap();
    bus.publish((0..EVENTS).map(|at| event("t", "a", at)).collect()).await.unwrap();
    consume_all(&*fast, EVENTS as usize).await;
    assert_eq!(logged(folder.path()), EVENTS, "the slow queue needs them");
    consume_all(&*slow, EVENTS as usize).await;
    let left = logged(folder.path());
    assert!((KEPT..KEPT + 500).contains(&left), "{left} are left");
    let late = bus.subscribe("late", &["#"]).await.unwrap();
    assert_eq!(late.receive(1).await.unwrap()[0].event.aggregate_version, EVENTS - left);
}

async fn consume_all(queue: &dyn Subscription, count: usize) {
    let mut consumed = 0;
    while consumed < count {
        let got = queue.receive(100).await.unwrap();
        settle(queue, &got, Outcome::Done).await;
        consumed += got.len();
    }
}

#[tokio::test]
async fn a_queue_that_is_too_far_behind_stops_publishers_until_it_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { most_behind: 3, ..Limits::default() };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bus = Embedded::open_with(folder.path(), clock, limits).unwrap();
    let queue = bus.subscribe("slow", &["#"]).await.unwrap();
    bus.publish((0..3).map(|at| event("t", "a", at)).collect()).await.unwrap();
    let refused = bus.publish(vec![event("t", "a", 3)]).await;
    assert!(matches!(refused, Err(Error::Full { ref queue, behind: 4 }) if queue == "slow"));
    consume_all(&*queue, 3).await;
    bus.publish(vec![event("t", "a", 3)]).await.unwrap();
    let got = queue.receive(10).await.unwrap();
    assert_eq!(ids(&got), ["t/a/3"], "nothing of the refused one was kept");
}

#[tokio::test]
async fn what_is_behind_many_failures_neither_blocks_others_nor_comes_early() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(NOW_MS);
    let bus = Embedded::open(folder.path(), Arc::new(clock.clone())).unwrap();
    let queue = bus.subscribe("orders", &["#"]).await.unwrap();
    bus.publish(vec![event("t", "bad", 1)]).await.unwrap();
    let got = queue.receive(1).await.unwrap();
    settle(&*queue, &got, Outcome::Failed(HandlerError::retry("not now"))).await;
    let behind = (2..300).map(|version| event("t", "bad", version));
    bus.publish(behind.chain([event("t", "good", 1)]).collect()).await.unwrap();
    let got = queue.receive(10).await.unwrap();
    assert_eq!(ids(&got), ["t/good/1"]);
    settle(&*queue, &got, Outcome::Done).await;
    clock.advance_ms(60_000);
    let mut versions = Vec::new();
    while versions.len() < 299 {
        let got = queue.receive(64).await.unwrap();
        settle(&*queue, &got, Outcome::Done).await;
        versions.extend(got.iter().map(|delivery| delivery.event.aggregate_version));
    }
    assert_eq!(versions, (1..300).collect::<Vec<_>>());
}
