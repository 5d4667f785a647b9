//! The events of a product, read back from its partition for those that a process made and did not publish.

use async_trait::async_trait;
use prost::Message as _;
use souk_mesh::cql::outbox::Events;
use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::partition::Entry;

/// Revisions that are read at once. Each revision that tells something has a marker of its own, so one would do.
const MAX_REVISIONS: i32 = 16;

/// Reads events of the table `product`.
pub(super) struct Told {
    session: Session,
    since: Prepared,
}

impl Told {
    pub(super) async fn prepare(session: &Session) -> Result<Told, CqlError> {
        let since = format!(
            "SELECT events FROM {{}}.product WHERE product_id = ? AND entry >= ? AND entry <= ?
             LIMIT {MAX_REVISIONS}"
        );
        let since = session.prepare(Kind::SettledRead, &since).await?;
        Ok(Told { session: session.clone(), since })
    }
}

#[async_trait]
impl Events for Told {
    async fn events_since(&self, aggregate: &str, from_version: i64) -> Result<Vec<Event>, String> {
        let product_id: Uuid = aggregate.parse().map_err(|_| String::from("not a product"))?;
        let (from, last) = (Entry::Events(from_version).key(), Entry::Events(i64::MAX).key());
        let rows: Vec<(Option<Vec<Vec<u8>>>,)> = self
            .session
            .rows(&self.since, (product_id, from, last))
            .await
            .map_err(|error| error.to_string())?;
        let events = rows.into_iter().flat_map(|(events,)| events.unwrap_or_default());
        let decode = |bytes: Vec<u8>| Event::decode(bytes.as_slice());
        events.map(decode).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}
