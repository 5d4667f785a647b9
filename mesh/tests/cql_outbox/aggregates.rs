//! The smallest service with an outbox: versions, each with its event, in one partition per aggregate.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use prost::Message as _;
use souk_mesh::cql::outbox::{Events, TABLES};
use souk_mesh::cql::{Batch, Kind, Migration, Prepared, Session};
use souk_proto::event::v1::Event;

const PATIENCE: Duration = Duration::from_secs(30);

pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "outbox", cql: TABLES },
    Migration {
        version: 2,
        name: "aggregates",
        cql: &["CREATE TABLE IF NOT EXISTS {}.aggregate (
            id text, newest bigint static, version bigint, event blob, PRIMARY KEY (id, version))"],
    },
];

pub fn event(aggregate: &str, version: i64) -> Event {
    Event {
        event_id: format!("{aggregate}/{version}"),
        aggregate_id: aggregate.to_owned(),
        aggregate_version: version,
        ..Event::default()
    }
}

#[derive(Clone)]
pub struct Aggregates {
    session: Session,
    raise: Prepared,
    tell: Prepared,
    since: Prepared,
    markers: Prepared,
    swept: Prepared,
}

impl Aggregates {
    pub async fn open(session: &Session) -> Aggregates {
        let prepare = async |kind, text| session.prepare(kind, text).await.unwrap();
        let raise = "UPDATE {}.aggregate SET newest = ? WHERE id = ? IF newest = ?";
        let tell = "INSERT INTO {}.aggregate (id, version, event) VALUES (?, ?, ?)";
        let since = "SELECT event FROM {}.aggregate WHERE id = ? AND version >= ? LIMIT 1000";
        Aggregates {
            session: session.clone(),
            raise: prepare(Kind::Conditional, raise).await,
            tell: prepare(Kind::Conditional, tell).await,
            since: prepare(Kind::SettledRead, since).await,
            markers: prepare(Kind::Read, "SELECT names FROM {}.outbox_marker").await,
            swept: prepare(Kind::Read, "SELECT slot FROM {}.outbox_swept").await,
        }
    }

    /// Whether the version was the next one, and is there now.
    pub async fn change(&self, event: &Event) -> bool {
        let (id, version) = (event.aggregate_id.clone(), event.aggregate_version);
        let before = (version > 1).then_some(version - 1);
        let mut batch = Batch::conditional();
        batch.add(&self.raise, (version, id.clone(), before));
        batch.add(&self.tell, (id, version, event.encode_to_vec()));
        self.session.conditional_batch(batch).await.unwrap()
    }

    /// How many aggregates are named by markers.
    pub async fn markers(&self) -> usize {
        let rows = self.session.rows::<(Vec<(String, i64)>,)>(&self.markers, ()).await.unwrap();
        rows.into_iter().map(|(names,)| names.len()).sum()
    }

    /// Markers are deleted behind.
    pub async fn wait_for_markers(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.markers().await;
            if found == count {
                return;
            }
            assert!(Instant::now() < until, "{found} marks, not {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn swept(&self) -> Vec<i64> {
        let rows = self.session.rows::<(i64,)>(&self.swept, ()).await.unwrap();
        rows.into_iter().map(|(slot,)| slot).collect()
    }
}

#[async_trait]
impl Events for Aggregates {
    async fn events_since(&self, aggregate: &str, from_version: i64) -> Result<Vec<Event>, String> {
        let found = self.session.rows::<(Vec<u8>,)>(&self.since, (aggregate, from_version)).await;
        let rows = found.map_err(|error| error.to_string())?;
        let decode = |(bytes,): (Vec<u8>,)| Event::decode(bytes.as_slice());
        rows.into_iter().map(decode).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}
