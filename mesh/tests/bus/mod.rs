//! The event bus: the contract on both, what is their own, relays and administration.

mod admin;
mod embedded;
mod rabbitmq;
mod relay;

use std::path::Path;
use std::sync::Arc;

use souk_mesh::bus::Bus;
use souk_mesh::bus::embedded::Embedded;
use souk_mesh::clock::ManualClock;
use souk_proto::event::v1::Event;

const NOW_MS: i64 = 1_800_000_000_000;

fn open(folder: &Path) -> Arc<dyn Bus> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    Arc::new(Embedded::open(folder, clock).expect("the bus opens"))
}

fn event(topic: &str, aggregate: &str, version: i64) -> Event {
    Event {
        event_id: format!("{topic}/{aggregate}/{version}"),
        r#type: topic.into(),
        aggregate_id: aggregate.into(),
        aggregate_version: version,
        ..Event::default()
    }
}
