//! What the outbox's sweeper asks: what an order, or a request to place one, has told. On the way it finishes what a
//! process that died had left to do.

use std::sync::Arc;

use async_trait::async_trait;
use souk_mesh::cql::outbox::Events;
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::tables::Tables;
use super::{CqlStore, request_of_name};
use crate::Error;

/// Answers the sweeper.
pub(super) struct Teller(pub(super) Arc<Tables>);

#[async_trait]
impl Events for Teller {
    async fn events_since(&self, aggregate: &str, from_version: i64) -> Result<Vec<Event>, String> {
        let told = match request_of_name(aggregate) {
            Some(request) => told_by_request(&self.0, &request).await,
            None => match Uuid::parse_str(aggregate) {
                Ok(order_id) => told_since(&self.0, order_id, from_version).await,
                Err(problem) => Err(Error::corrupt("marker", problem)),
            },
        };
        told.map_err(|error| error.to_string())
    }
}

impl CqlStore {
    pub(super) async fn told_since(
        &self,
        order_id: Uuid,
        version: i64,
    ) -> Result<Vec<Event>, Error> {
        told_since(&self.tables, order_id, version).await
    }
}

/// The placing, which is finished if need be.
async fn told_by_request(tables: &Tables, request: &[u8; 32]) -> Result<Vec<Event>, Error> {
    let Some(claim) = tables.find_claim(request).await? else { return Ok(Vec::new()) };
    tables.derive(&claim).await?;
    Ok(vec![claim.event()?])
}

/// The changes from a version on; the order is listed as it is now.
async fn told_since(
    tables: &Tables,
    order_id: Uuid,
    from_version: i64,
) -> Result<Vec<Event>, Error> {
    let events = tables.events(order_id, from_version).await?;
    if !events.is_empty()
        && let Some(found) = tables.head(order_id).await?
    {
        tables.list(&found.order).await?;
    }
    Ok(events)
}
