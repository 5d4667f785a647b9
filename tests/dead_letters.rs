//! Dead letters from the command line, on either bus: listed, shown, put back, and acted on then.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use souk_backends::{Part, RabbitMq, there_or_skipped};
use souk_mesh::bus::{Bus, Config, Delivery, HandlerError, Outcome, Subscription};
use souk_mesh::clock::SystemClock;
use souk_mesh::config::Sources;
use souk_proto::event::v1::Event;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{PATIENCE, Shop};

/// A queue that only this test consumes.
const QUEUE: &str = "test.audit";
/// A topic that only this test publishes.
const TOPIC: &str = "test.happened";

fn event(aggregate: &str) -> Event {
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: TOPIC.to_owned(),
        aggregate_id: aggregate.to_owned(),
        aggregate_version: 1,
        ..Event::default()
    }
}

/// A consumer beside the shop's own, on the shop's bus.
struct Auditor {
    bus: Arc<dyn Bus>,
    queue: Box<dyn Subscription>,
}

impl Auditor {
    async fn join(shop: &Shop, config: &Config) -> Self {
        let bus = config.open(&shop.data().join("bus"), Arc::new(SystemClock)).unwrap();
        let queue = bus.subscribe(QUEUE, &[TOPIC]).await.unwrap();
        Self { bus, queue }
    }

    async fn receive(&self, count: usize) -> Vec<Delivery> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.queue.receive(count - all.len()));
            all.extend(next.await.unwrap().unwrap());
        }
        all
    }

    async fn settle(&self, deliveries: &[Delivery], outcome: &Outcome) {
        let outcomes: Vec<_> =
            deliveries.iter().map(|delivery| (delivery.tag, outcome.clone())).collect();
        self.queue.settle(&outcomes).await.unwrap();
    }

    /// Publishes events of these aggregates and gives them up.
    async fn give_up(&self, aggregates: &[&str]) {
        let events = aggregates.iter().map(|aggregate| event(aggregate)).collect();
        self.bus.publish(events).await.unwrap();
        let got = self.receive(aggregates.len()).await;
        self.settle(&got, &Outcome::Failed(HandlerError::reject("no such account"))).await;
    }

    /// Acts on what comes again, and tells of which aggregates it was.
    async fn act(&self, count: usize) -> Vec<String> {
        let got = self.receive(count).await;
        self.settle(&got, &Outcome::Done).await;
        got.into_iter().map(|delivery| delivery.event.aggregate_id).collect()
    }
}

fn text(output: Output) -> Result<String, String> {
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}

fn souk(shop: &Shop, arguments: &[&str]) -> Result<String, String> {
    text(shop.souk(&[&["events", "dead"], arguments].concat(), ""))
}

/// Dead letters as scripts see them, newest first.
fn listed(shop: &Shop) -> Vec<Value> {
    let said = souk(shop, &["list", "--queue", QUEUE, "--output", "json"]).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn people_look_after_dead_letters(shop: &Shop, bus: &Config) {
    let auditor = Auditor::join(shop, bus).await;
    auditor.give_up(&["a", "b", "c", "d"]).await;

    let table = souk(shop, &["list", "--queue", QUEUE]).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows.len() == 5 && rows[0].starts_with("DEAD LETTER"), "{table}");
    let shown = |row: &str| [QUEUE, TOPIC, "no such account"].iter().all(|it| row.contains(it));
    assert!(rows[1..].iter().all(|row| shown(row)), "{table}");
    let two = souk(shop, &["list", "--queue", QUEUE, "--limit", "2"]).unwrap();
    assert_eq!(two.lines().count(), 3, "{two}");
    assert_eq!(souk(shop, &["list", "--queue", "other"]).unwrap().lines().count(), 1);

    let letters = listed(shop);
    let of = |at: usize| letters[at]["event"]["aggregateId"].as_str().unwrap();
    assert_eq!([of(0), of(1), of(2), of(3)], ["d", "c", "b", "a"], "newest first");
    let oldest = letters[3]["deadLetterId"].as_str().unwrap();
    let said = souk(shop, &["show", oldest]).unwrap();
    assert!(said.contains("no such account") && said.contains(r#""aggregateId": "a""#), "{said}");
    let said = souk(shop, &["show", oldest, "--output", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), letters[3]);

    // Nothing is done unasked, and what makes no sense is told.
    let refused = souk(shop, &["replay", oldest]).unwrap_err();
    assert!(refused.contains("--yes"), "{refused}");
    let refused = souk(shop, &["replay", "--yes"]).unwrap_err();
    assert!(refused.contains("required"), "{refused}");
    let refused = souk(shop, &["replay", "first", "--yes"]).unwrap_err();
    assert!(refused.contains("dead_letter_ids[0]"), "{refused}");
    assert_eq!(listed(shop).len(), 4);

    assert_eq!(souk(shop, &["replay", oldest, "--yes"]).unwrap(), "1 replayed\n");
    assert_eq!(auditor.act(1).await, ["a"]);
    let gone = souk(shop, &["show", oldest]).unwrap_err();
    assert!(gone.contains("NotFound (DEAD_LETTER_NOT_FOUND)"), "{gone}");

    // A bounded replay, sent again after more has died.
    let id = Uuid::new_v4().to_string();
    let bounded = ["replay", "--queue", QUEUE, "--limit", "2", "--yes", "--request-id", &id];
    let said = souk(shop, &bounded).unwrap();
    assert!(said.starts_with("2 replayed\n") && said.contains("there may be more"), "{said}");
    assert_eq!(auditor.act(2).await, ["b", "c"], "the oldest first");
    auditor.give_up(&["e"]).await;
    assert_eq!(souk(shop, &bounded).unwrap(), said);
    assert_eq!(listed(shop).len(), 2, "a repeat touches nothing");
    let said = souk(shop, &["replay", "--all", "--yes", "--output", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["replayed"], 2);
    assert_eq!(auditor.act(2).await, ["d", "e"]);
    assert!(listed(shop).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_bus_dead_letters_are_listed_shown_and_replayed() {
    let shop = Shop::start().await;
    people_look_after_dead_letters(&shop, &Config::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_rabbitmq_dead_letters_are_listed_shown_and_replayed() {
    if !there_or_skipped(Part::RabbitMq) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let broker = RabbitMq::start(folder.path()).unwrap();
    let shop = Shop::with(&[&format!("bus.rabbitmq_url={}", broker.url())]).await;
    people_look_after_dead_letters(&shop, &bus_of(folder.path(), &broker)).await;
}

fn bus_of(folder: &Path, broker: &RabbitMq) -> Config {
    let file = folder.join("bus.toml");
    std::fs::write(&file, format!("rabbitmq_url = \"{}\"\n", broker.url())).unwrap();
    Sources { file: Some(file), ..Sources::default() }.load().unwrap()
}
