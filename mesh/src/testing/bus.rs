//! The contract of every event bus, whatever it is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use souk_proto::event::v1::Event;
use tokio::sync::mpsc;

use crate::bus::{
    Bus, DeadLetterQuery, Delivery, Error, HandlerError, Outcome, Replay, Subscription, consume,
    retry,
};
use crate::idempotency::RequestKey;
use crate::tasks::Tasks;

/// How long any one wait of the contract may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(10);

/// A bus of its own for one check, empty.
pub struct BusUnderTest {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Makes so many milliseconds pass for redeliveries.
    pub pass_ms: Box<dyn Fn(i64) + Send + Sync>,
    /// What must live as long as the bus, such as its temporary folder.
    pub keep: Box<dyn Send + Sync>,
}

/// Checks everything that [`Bus`] and [`consume`] promise. For tests, on any implementation.
///
/// # Panics
/// When the bus breaks the contract.
pub async fn bus_contract(make: impl AsyncFn() -> BusUnderTest) {
    every_queue_gets_what_its_topics_match(make().await).await;
    a_new_queue_begins_with_what_is_kept(make().await).await;
    unsettled_events_come_again(make().await).await;
    a_failed_event_comes_again_before_the_later_ones_of_its_aggregate(make().await).await;
    a_rejected_event_is_dead_and_can_be_replayed(make().await).await;
    a_request_replays_once_and_no_more_than_it_may(make().await).await;
    an_event_that_fails_for_good_becomes_a_dead_letter(make().await).await;
    a_queue_has_one_consumer_at_a_time(make().await).await;
    malformed_names_are_refused(make().await).await;
    handlers_run_in_order_per_aggregate_and_side_by_side(make().await).await;
    order_is_kept_past_failures(make().await).await;
    a_panicking_handler_is_tried_again(make().await).await;
    a_drain_waits_for_handlers_and_keeps_their_outcome(make().await).await;
}

fn event(topic: &str, aggregate: &str, version: i64) -> Event {
    Event {
        event_id: format!("{topic}/{aggregate}/{version}"),
        r#type: topic.to_owned(),
        aggregate_id: aggregate.to_owned(),
        aggregate_version: version,
        ..Event::default()
    }
}

async fn subscribe(under: &BusUnderTest, queue: &str, topics: &[&str]) -> Box<dyn Subscription> {
    under.bus.subscribe(queue, topics).await.expect("the queue can be subscribed to")
}

async fn publish(under: &BusUnderTest, events: &[Event]) {
    under.bus.publish(events.to_vec()).await.expect("the events are published");
}

/// Receives exactly so many.
async fn receive(subscription: &dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let received = subscription.receive(count - deliveries.len());
        let received = tokio::time::timeout(PATIENCE, received).await;
        deliveries.extend(received.expect("deliveries arrive").expect("the bus delivers"));
    }
    assert_eq!(deliveries.len(), count, "no more than asked for");
    deliveries
}

async fn settle(subscription: &dyn Subscription, deliveries: &[Delivery], outcome: &Outcome) {
    let outcomes: Vec<_> =
        deliveries.iter().map(|delivery| (delivery.tag, outcome.clone())).collect();
    subscription.settle(&outcomes).await.expect("the bus takes outcomes");
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.event.event_id.as_str()).collect()
}

async fn every_queue_gets_what_its_topics_match(under: BusUnderTest) {
    let orders = subscribe(&under, "orders", &["order.*"]).await;
    let some = subscribe(&under, "some", &["order.created", "payment.#"]).await;
    let (created, shipped) = (event("order.created", "a", 1), event("order.shipped", "a", 2));
    let (paid, last) = (event("payment.succeeded", "b", 1), event("order.created", "c", 1));
    publish(&under, &[created.clone(), shipped]).await;
    publish(&under, &[paid, event("product.updated", "d", 1), last]).await;
    let got = receive(&*orders, 3).await;
    assert_eq!(ids(&got), ["order.created/a/1", "order.shipped/a/2", "order.created/c/1"]);
    assert_eq!(got[0].event, created, "the event arrives whole");
    assert_eq!(got[0].attempt, 1);
    let got = receive(&*some, 3).await;
    assert_eq!(ids(&got), ["order.created/a/1", "payment.succeeded/b/1", "order.created/c/1"]);
}

async fn a_new_queue_begins_with_what_is_kept(under: BusUnderTest) {
    publish(&under, &[event("t.a", "a", 1), event("u", "b", 1), event("t.a", "a", 2)]).await;
    let late = subscribe(&under, "late", &["t.*"]).await;
    publish(&under, &[event("t.b", "a", 3)]).await;
    assert_eq!(ids(&receive(&*late, 3).await), ["t.a/a/1", "t.a/a/2", "t.b/a/3"]);
    drop(late);
    let again = subscribe(&under, "late", &["t.*"]).await;
    let got = receive(&*again, 3).await;
    assert_eq!(ids(&got), ["t.a/a/1", "t.a/a/2", "t.b/a/3"], "they were not added twice");
    settle(&*again, &got, &Outcome::Done).await;
    publish(&under, &[event("t.b", "a", 4)]).await;
    assert_eq!(ids(&receive(&*again, 1).await), ["t.b/a/4"]);
}

async fn unsettled_events_come_again(under: BusUnderTest) {
    let first = subscribe(&under, "orders", &["#"]).await;
    publish(&under, &[event("t", "a", 1), event("t", "b", 1), event("t", "c", 1)]).await;
    let got = receive(&*first, 3).await;
    settle(&*first, &got[..1], &Outcome::Done).await;
    drop(first);
    publish(&under, &[event("t", "d", 1)]).await;
    let second = subscribe(&under, "orders", &["#"]).await;
    assert_eq!(ids(&receive(&*second, 3).await), ["t/b/1", "t/c/1", "t/d/1"]);
}

async fn a_failed_event_comes_again_before_the_later_ones_of_its_aggregate(under: BusUnderTest) {
    let queue = subscribe(&under, "orders", &["#"]).await;
    publish(&under, &[event("t", "a", 1), event("t", "b", 1)]).await;
    let got = receive(&*queue, 2).await;
    settle(&*queue, &got[..1], &Outcome::Failed(HandlerError::retry("not now"))).await;
    settle(&*queue, &got[1..], &Outcome::Done).await;
    // The second of a waits behind the first; another aggregate does not.
    publish(&under, &[event("t", "a", 2), event("t", "c", 1)]).await;
    let got = receive(&*queue, 1).await;
    assert_eq!(ids(&got), ["t/c/1"]);
    settle(&*queue, &got, &Outcome::Done).await;
    (under.pass_ms)(retry::FIRST_PAUSE_MS);
    let mut order = Vec::new();
    while order.len() < 2 {
        let got = receive(&*queue, 1).await;
        settle(&*queue, &got, &Outcome::Done).await;
        order.extend(got.into_iter().map(|next| (next.event.aggregate_version, next.attempt)));
    }
    assert_eq!(order, [(1, 2), (2, 1)]);
}

async fn a_rejected_event_is_dead_and_can_be_replayed(under: BusUnderTest) {
    let queue = subscribe(&under, "orders", &["#"]).await;
    publish(&under, &[event("t", "a", 1), event("t", "b", 1)]).await;
    let got = receive(&*queue, 2).await;
    settle(&*queue, &got, &Outcome::Failed(HandlerError::reject("makes no sense"))).await;

    let all = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
    let letters = under.bus.dead_letters(all.clone()).await.expect("dead letters are listed");
    let listed: Vec<_> =
        letters.iter().map(|dead| (&*dead.event.event_id, dead.attempts)).collect();
    assert_eq!(listed, [("t/b/1", 1), ("t/a/1", 1)], "newest first");
    assert_eq!((&*letters[0].queue, &*letters[0].reason), ("orders", "makes no sense"));
    let page = DeadLetterQuery { before_id: Some(letters[0].id), ..all.clone() };
    let page = under.bus.dead_letters(page).await.expect("a page is listed");
    assert_eq!(page, letters[1..]);
    let other = DeadLetterQuery { queue: Some("other".into()), ..all.clone() };
    assert_eq!(under.bus.dead_letters(other).await.expect("none is listed"), []);

    let by = |request| Replay { queue: None, ids: Vec::new(), limit: 10, request };
    let one = Replay { ids: vec![letters[1].id], ..by(None) };
    assert_eq!(under.bus.replay(one.clone()).await.expect("it is replayed"), 1);
    assert_eq!(under.bus.replay(one).await.expect("once"), 0);
    let got = receive(&*queue, 1).await;
    assert_eq!((ids(&got), got[0].attempt), (vec!["t/a/1"], 1));
    settle(&*queue, &got, &Outcome::Done).await;
    let left = Replay { queue: Some("orders".into()), ..by(None) };
    assert_eq!(under.bus.replay(left).await.expect("the rest is replayed"), 1);
    assert_eq!(ids(&receive(&*queue, 1).await), ["t/b/1"]);
    assert_eq!(under.bus.dead_letters(all).await.expect("none is left"), []);
}

async fn a_request_replays_once_and_no_more_than_it_may(under: BusUnderTest) {
    let queue = subscribe(&under, "orders", &["#"]).await;
    let die = async || {
        let events: Vec<_> = ["a", "b", "c"].map(|name| event("t", name, 1)).into();
        publish(&under, &events).await;
        let got = receive(&*queue, 3).await;
        settle(&*queue, &got, &Outcome::Failed(HandlerError::reject("makes no sense"))).await;
    };
    die().await;
    let key = |request_id: &str, limit: u8| RequestKey {
        scope: "staff".to_owned(),
        method: "ReplayDeadLetters",
        request_id: request_id.to_owned(),
        fingerprint: [limit; 32],
    };
    let asked = |request_id: &str, limit: u8| {
        let request = Some(key(request_id, limit));
        Replay { queue: None, ids: Vec::new(), limit: limit.into(), request }
    };
    assert_eq!(under.bus.replay(asked("one", 2)).await.expect("two are replayed"), 2);
    let got = receive(&*queue, 2).await;
    assert_eq!(ids(&got), ["t/a/1", "t/b/1"], "the oldest, in order");
    settle(&*queue, &got, &Outcome::Done).await;
    die().await;
    assert_eq!(under.bus.replay(asked("one", 2)).await.expect("its answer is known"), 2);
    let reused = under.bus.replay(asked("one", 3)).await;
    assert!(matches!(reused, Err(Error::RequestReused)), "{reused:?}");
    let all = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
    let letters = under.bus.dead_letters(all.clone()).await.expect("dead letters are listed");
    assert_eq!(letters.len(), 4, "nothing that has died since was touched");
    // Equal requests at once are one.
    let both = tokio::join!(under.bus.replay(asked("two", 3)), under.bus.replay(asked("two", 3)));
    assert!(matches!(both, (Ok(3), Ok(3))), "{both:?}");
    assert_eq!(ids(&receive(&*queue, 3).await), ["t/c/1", "t/a/1", "t/b/1"]);
    assert_eq!(under.bus.dead_letters(all).await.expect("one is left").len(), 1);
}

async fn an_event_that_fails_for_good_becomes_a_dead_letter(under: BusUnderTest) {
    let queue = subscribe(&under, "orders", &["#"]).await;
    publish(&under, &[event("t", "a", 1), event("t", "a", 2)]).await;
    let got = receive(&*queue, 2).await;
    let failed = |attempt: u32| Outcome::Failed(HandlerError::retry(format!("try {attempt}")));
    settle(&*queue, &got[1..], &Outcome::Deferred).await;
    settle(&*queue, &got[..1], &failed(1)).await;
    for attempt in 2..=retry::ATTEMPTS {
        (under.pass_ms)(retry::LONGEST_PAUSE_MS);
        let got = receive(&*queue, 2).await;
        assert_eq!((ids(&got), got[0].attempt), (vec!["t/a/1", "t/a/2"], attempt));
        settle(&*queue, &got[1..], &Outcome::Deferred).await;
        settle(&*queue, &got[..1], &failed(attempt)).await;
    }
    let which = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
    let letters = under.bus.dead_letters(which).await.expect("dead letters are listed");
    let listed: Vec<_> = letters.iter().map(|dead| (&*dead.reason, dead.attempts)).collect();
    assert_eq!(listed, [(&*format!("try {}", retry::ATTEMPTS), retry::ATTEMPTS)]);
    // What waited behind it goes on.
    assert_eq!(ids(&receive(&*queue, 1).await), ["t/a/2"]);
}

async fn a_queue_has_one_consumer_at_a_time(under: BusUnderTest) {
    let active = subscribe(&under, "orders", &["#"]).await;
    publish(&under, &[event("t", "a", 1)]).await;
    let got = receive(&*active, 1).await;
    let standby = subscribe(&under, "orders", &["#"]).await;
    let mut waiting = Box::pin(receive(&*standby, 1));
    publish(&under, &[event("t", "a", 2)]).await;
    assert!(futures::poll!(&mut waiting).is_pending());
    let next = tokio::select! {
        next = receive(&*active, 1) => next,
        _ = &mut waiting => panic!("two consumers were served at once"),
    };
    assert_eq!(ids(&next), ["t/a/2"]);
    settle(&*active, &got, &Outcome::Done).await;
    drop(active);
    assert_eq!(ids(&waiting.await), ["t/a/2"], "the standby takes over what was not settled");
}

async fn malformed_names_are_refused(under: BusUnderTest) {
    for (queue, topic) in [("", "#"), ("a/b", "#"), ("../a", "#"), ("a", ""), ("a", "b*")] {
        let answer = under.bus.subscribe(queue, &[topic]).await;
        assert!(answer.is_err(), "queue {queue:?}, topic {topic:?}");
    }
}

/// Starts a consumer that tells what it was given and answers as `answer` says.
async fn start(
    under: &BusUnderTest,
    tasks: &Tasks,
    answer: impl Fn(&Event, usize) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> mpsc::UnboundedReceiver<Event> {
    let (seen, seeing) = mpsc::unbounded_channel();
    let calls = AtomicUsize::new(0);
    let handler = move |event: Event| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let result = answer(&event, call);
        let _ = seen.send(event);
        async move { result }
    };
    consume(under.bus.clone(), tasks, "orders", &["#"], handler).await.expect("it subscribes");
    seeing
}

async fn next(seeing: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    let next = tokio::time::timeout(PATIENCE, seeing.recv()).await;
    next.expect("the handler is called").expect("the consumer runs")
}

async fn handlers_run_in_order_per_aggregate_and_side_by_side(under: BusUnderTest) {
    const AGGREGATES: usize = 8;
    const VERSIONS: i64 = 20;
    let tasks = Tasks::new();
    let seen: Arc<Mutex<BTreeMap<String, Vec<i64>>>> = Arc::default();
    let (done, mut all_done) = mpsc::unbounded_channel();
    // The first event of every aggregate waits for those of all others: all run side by side.
    let meeting = Arc::new(tokio::sync::Barrier::new(AGGREGATES));
    let (seeing, told) = (seen.clone(), done);
    let handler = move |event: Event| {
        let (meeting, seeing, told) = (meeting.clone(), seeing.clone(), told.clone());
        async move {
            if event.aggregate_version == 1 {
                meeting.wait().await;
            }
            tokio::task::yield_now().await;
            seeing.lock().entry(event.aggregate_id).or_default().push(event.aggregate_version);
            let _ = told.send(());
            Ok(())
        }
    };
    consume(under.bus.clone(), &tasks, "orders", &["#"], handler).await.expect("it subscribes");
    for version in 1..=VERSIONS {
        let of_version = |aggregate: usize| event("t", &format!("a{aggregate}"), version);
        publish(&under, &(0..AGGREGATES).map(of_version).collect::<Vec<_>>()).await;
    }
    for _ in 0..AGGREGATES * VERSIONS as usize {
        let done = tokio::time::timeout(PATIENCE, all_done.recv()).await;
        done.expect("every event is handled").expect("the consumer runs");
    }
    tasks.drain(DRAIN).await.expect("the consumer ends");
    for (aggregate, versions) in &*seen.lock() {
        assert_eq!(*versions, (1..=VERSIONS).collect::<Vec<_>>(), "{aggregate}");
    }
}

async fn order_is_kept_past_failures(under: BusUnderTest) {
    const AGGREGATES: usize = 4;
    const VERSIONS: i64 = 25;
    let tasks = Tasks::new();
    // Every third call fails, whatever it is for.
    let answer = |_: &Event, call: usize| match call % 3 {
        2 => Err(HandlerError::retry("not now")),
        _ => Ok(()),
    };
    let done: Arc<Mutex<BTreeMap<String, Vec<i64>>>> = Arc::default();
    let doing = done.clone();
    let mut seeing = start(&under, &tasks, move |event, call| {
        let answered = answer(event, call);
        if answered.is_ok() {
            let aggregate = event.aggregate_id.clone();
            doing.lock().entry(aggregate).or_default().push(event.aggregate_version);
        }
        answered
    })
    .await;
    for version in 1..=VERSIONS {
        // They come while others fail.
        let of_version = |aggregate: usize| event("t", &format!("a{aggregate}"), version);
        publish(&under, &(0..AGGREGATES).map(of_version).collect::<Vec<_>>()).await;
        (under.pass_ms)(retry::FIRST_PAUSE_MS);
    }
    let all = AGGREGATES * VERSIONS as usize;
    while done.lock().values().map(Vec::len).sum::<usize>() < all {
        (under.pass_ms)(retry::LONGEST_PAUSE_MS);
        let seen = tokio::time::timeout(Duration::from_millis(100), seeing.recv()).await;
        assert!(!matches!(seen, Ok(None)), "the consumer runs");
    }
    tasks.drain(DRAIN).await.expect("the consumer ends");
    for (aggregate, versions) in &*done.lock() {
        assert_eq!(*versions, (1..=VERSIONS).collect::<Vec<_>>(), "{aggregate}");
    }
}

async fn a_panicking_handler_is_tried_again(under: BusUnderTest) {
    let tasks = Tasks::new();
    let (panicked, mut panicking) = mpsc::unbounded_channel();
    let mut seeing = start(&under, &tasks, move |_, call| {
        if call == 0 {
            let _ = panicked.send(());
            panic!("the handler broke");
        }
        Ok(())
    })
    .await;
    publish(&under, &[event("t", "a", 1), event("t", "a", 2)]).await;
    panicking.recv().await.expect("the handler is called");
    // Time passes in steps: when the failure is on record, its pause begins.
    let second = loop {
        (under.pass_ms)(retry::FIRST_PAUSE_MS);
        match tokio::time::timeout(Duration::from_millis(100), seeing.recv()).await {
            Ok(event) => break event.expect("the consumer runs"),
            Err(_elapsed) => continue,
        }
    };
    assert_eq!(second.aggregate_version, 1, "the failed one comes first");
    assert_eq!(next(&mut seeing).await.aggregate_version, 2);
    assert!(tasks.failure().is_none(), "the panic stays within the consumer");
    tasks.drain(DRAIN).await.expect("the consumer ends");
}

async fn a_drain_waits_for_handlers_and_keeps_their_outcome(under: BusUnderTest) {
    let tasks = Tasks::new();
    let (entered, mut entering) = mpsc::unbounded_channel();
    let go_on = Arc::new(tokio::sync::Notify::new());
    let held = go_on.clone();
    let handler = move |_event: Event| {
        let (entered, held) = (entered.clone(), held.clone());
        async move {
            let _ = entered.send(());
            held.notified().await;
            Ok(())
        }
    };
    consume(under.bus.clone(), &tasks, "orders", &["#"], handler).await.expect("it subscribes");
    publish(&under, &[event("t", "a", 1)]).await;
    entering.recv().await.expect("the handler is called");
    let drained = tokio::spawn(async move { tasks.drain(DRAIN).await });
    go_on.notify_one();
    drained.await.expect("the drain ends").expect("the handler was waited for");
    publish(&under, &[event("t", "b", 1)]).await;
    let later = subscribe(&under, "orders", &["#"]).await;
    assert_eq!(ids(&receive(&*later, 1).await), ["t/b/1"], "what was done does not come again");
}
