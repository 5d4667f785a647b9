//! The contract on a real RabbitMQ, and that nothing is lost when it goes away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use souk_backends::{Part, there_or_skipped};
use souk_mesh::bus::rabbitmq::RabbitMq;
use souk_mesh::bus::{Bus, Config, DeadLetterQuery, Error, HandlerError, consume};
use souk_mesh::clock::{ManualClock, SystemClock};
use souk_mesh::config::Sources;
use souk_mesh::store::{self, Store};
use souk_mesh::tasks::Tasks;
use souk_mesh::testing::{BusUnderTest, bus_contract};
use souk_mesh::{inbox, outbox};
use souk_proto::event::v1::Event;

use tokio::task::JoinHandle;

use super::{NOW_MS, event};

/// How long anything may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(20);

/// A broker of the test's own, or none where it cannot be had.
fn broker(folder: &std::path::Path) -> Option<souk_backends::RabbitMq> {
    there_or_skipped(Part::RabbitMq).then(|| souk_backends::RabbitMq::start(folder).unwrap())
}

fn url(broker: &souk_backends::RabbitMq) -> SecretString {
    // Half-open connections are to be found out within the time of a test.
    format!("{}?heartbeat=2", broker.url()).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = broker(folder.path()) else { return };
    let url = url(&broker);
    let made = AtomicU32::new(0);
    bus_contract(async || {
        let clock = ManualClock::new(NOW_MS);
        let prefix = format!("shop{}", made.fetch_add(1, Ordering::SeqCst));
        let bus = RabbitMq::with_prefix(&url, &prefix, Arc::new(clock.clone())).unwrap();
        BusUnderTest {
            bus: Arc::new(bus),
            pass_ms: Box::new(move |by_ms| clock.advance_ms(by_ms)),
            keep: Box::new(()),
        }
    })
    .await;
}

const AGGREGATES: i64 = 20;

/// A shop of one service that tells, and one that is told and writes down what it acts on.
struct Shop {
    bus: Arc<dyn Bus>,
    tasks: Tasks,
    teller: Store,
    /// Per aggregate, the versions that were acted on, in order.
    acted: Arc<Mutex<BTreeMap<String, Vec<i64>>>>,
    put: i64,
    _folder: tempfile::TempDir,
}

impl Shop {
    async fn open(url: &SecretString) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(RabbitMq::new(url, Arc::new(SystemClock)).unwrap());
        let tasks = Tasks::new();
        let teller = Store::open(&folder.path().join("teller.db"), &[]).unwrap();
        let told = Store::open(&folder.path().join("told.db"), &[]).unwrap();
        let acted: Arc<Mutex<BTreeMap<String, Vec<i64>>>> = Arc::default();
        for _consumer in 0..2 {
            let (told, acting, calls) = (told.clone(), acted.clone(), AtomicU32::new(0));
            let handler = move |event: Event| {
                let (told, acting) = (told.clone(), acting.clone());
                let fails = calls.fetch_add(1, Ordering::SeqCst) % 13 == 0;
                async move { act(&told, &acting, event, fails).await }
            };
            consume(bus.clone(), &tasks, "told", &["t.#"], handler).await.unwrap();
        }
        outbox::spawn_relay(&teller, bus.clone(), &tasks, "teller.outbox");
        Shop { bus, tasks, teller, acted, put: 0, _folder: folder }
    }

    /// Puts so many events into the outbox, one after the other, in the background.
    fn tell(&mut self, count: i64) -> JoinHandle<()> {
        let (store, from) = (self.teller.clone(), self.put);
        self.put += count;
        tokio::spawn(async move {
            for at in from..from + count {
                let (aggregate, version) = (at % AGGREGATES, at / AGGREGATES + 1);
                let next = event("t.changed", &format!("a{aggregate}"), version);
                let write = move |connection: &rusqlite::Connection| {
                    Ok::<_, store::Error>(outbox::put(connection, &next)?)
                };
                store.write(write).await.unwrap();
            }
        })
    }

    fn acted(&self) -> i64 {
        self.acted.lock().values().map(|versions| versions.len() as i64).sum()
    }

    async fn wait_for(&self, count: i64) {
        let waiting = async {
            while self.acted() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{} of {count} were acted on", self.acted());
    }
}

/// Acts once per event; what it does is as durable as that it did.
async fn act(
    told: &Store,
    acted: &Mutex<BTreeMap<String, Vec<i64>>>,
    event: Event,
    fails: bool,
) -> Result<(), HandlerError> {
    if fails {
        return Err(HandlerError::retry("not now"));
    }
    if event.r#type == "t.nonsense" {
        return Err(HandlerError::reject("makes no sense"));
    }
    let id = event.event_id.clone();
    let write = move |connection: &rusqlite::Connection| {
        Ok::<_, store::Error>(inbox::first_time(connection, "told", &id)?)
    };
    if told.write(write).await? {
        acted.lock().entry(event.aggregate_id).or_default().push(event.aggregate_version);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_frozen_and_killed_under_load_loses_nothing_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = broker(folder.path()) else { return };
    let mut shop = Shop::open(&url(&broker)).await;
    shop.bus.publish(vec![event("t.nonsense", "n", 1)]).await.unwrap();
    let all = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
    while shop.bus.dead_letters(all.clone()).await.unwrap().is_empty() {}

    let telling = shop.tell(1000);
    shop.wait_for(shop.put - 800).await;
    broker.freeze().unwrap();
    assert!(!telling.is_finished(), "it was frozen under load");
    // Heartbeats tell: both connections are given up, while the broker keeps them.
    let last = vec![event("u", "b", 1)];
    let lost = tokio::join!(shop.bus.publish(last), shop.bus.dead_letters(all.clone()));
    assert!(matches!(lost, (Err(Error::Broker { .. }), Err(Error::Broker { .. }))), "{lost:?}");
    broker.thaw().unwrap();
    telling.await.unwrap();
    shop.wait_for(shop.put).await;

    // Last, when the queues are not new any more: docs/adr/0006, "Open".
    let telling = shop.tell(1000);
    shop.wait_for(shop.put - 800).await;
    tokio::task::block_in_place(|| broker.kill()).unwrap();
    assert!(!telling.is_finished(), "it was killed under load");
    let refused = shop.bus.publish(vec![event("u", "b", 1)]).await;
    assert!(refused.is_err(), "nothing is published that no broker has");
    tokio::task::block_in_place(|| broker.start_again()).unwrap();
    telling.await.unwrap();
    shop.wait_for(shop.put).await;

    for (aggregate, versions) in &*shop.acted.lock() {
        let expected: Vec<i64> = (1..=shop.put / AGGREGATES).collect();
        assert_eq!(*versions, expected, "{aggregate}: each once, in order");
    }
    let letters = shop.bus.dead_letters(all).await.unwrap();
    let letters: Vec<_> = letters.iter().map(|dead| (&*dead.reason, dead.attempts)).collect();
    assert!(letters.iter().all(|(reason, _)| *reason == "makes no sense"), "{letters:?}");
    assert!(!letters.is_empty(), "dead letters outlive the broker");
    shop.tasks.drain(DRAIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_subscribes_while_the_broker_is_away_is_subscribed_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = broker(folder.path()) else { return };
    tokio::task::block_in_place(|| broker.kill()).unwrap();
    let mut shop = Shop::open(&url(&broker)).await;
    let telling = shop.tell(20);
    tokio::task::block_in_place(|| broker.start_again()).unwrap();
    telling.await.unwrap();
    shop.wait_for(shop.put).await;

    // One that will never let us in is told at once.
    let wrong = broker.url().replace("guest:guest", "guest:wrong").into();
    let bus = RabbitMq::new(&wrong, Arc::new(SystemClock)).unwrap();
    let refused = bus.subscribe("told", &["t.#"]).await.err();
    assert!(
        refused.as_ref().is_some_and(|error| error.to_string().contains("ACCESS")),
        "{refused:?}"
    );
    shop.tasks.drain(DRAIN).await.unwrap();
}

#[tokio::test]
async fn a_malformed_url_is_refused_without_showing_its_password() {
    let url: SecretString = "amqp://shop:hunter2@[::1/vhost".into();
    let Err(error) = RabbitMq::new(&url, Arc::new(SystemClock)) else { panic!("it is malformed") };
    assert!(matches!(error, Error::Url));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_url_of_the_configuration_is_a_secret() {
    let sources = Sources {
        environment: vec![("SOUK_RABBITMQ_URL".into(), "amqp://shop:hunter2@broker/".into())],
        ..Sources::default()
    };
    let config: Config = sources.load().unwrap();
    assert!(config.rabbitmq_url.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
}
