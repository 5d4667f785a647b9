//! Events of the bus, as news for the index. An event is acknowledged when what it tells is durable there.

use souk_mesh::bus::HandlerError;
use souk_mesh::clock::SharedClock;
use souk_proto::event::v1::Event;
use souk_proto::event::v1::event::Payload;

use crate::domain::{News, Source};
use crate::indexer::Indexer;

/// Brings what `event` tells to the indexer.
///
/// # Errors
/// Events that make no sense are rejected for good; a failing index is tried again.
pub async fn handle(
    event: Event,
    indexer: &Indexer,
    clock: &SharedClock,
) -> Result<(), HandlerError> {
    let news = news(event, clock.now_ms())?;
    Ok(indexer.bring(vec![news]).await?)
}

fn news(event: Event, heard_ms: i64) -> Result<News, HandlerError> {
    let version = event.aggregate_version;
    if version < 1 {
        return Err(HandlerError::reject("an event's aggregate_version is 1 or more"));
    }
    let Some(Payload::Product(told)) = event.payload else {
        return Err(HandlerError::reject("the event tells of no product"));
    };
    let product = told.product.unwrap_or_default();
    let source = Source::Event { version, heard_ms };
    News::new(product, told.category_name, told.in_stock, source).map_err(HandlerError::reject)
}
