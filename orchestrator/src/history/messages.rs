//! A history on its way to a caller: in messages of many events, each with where the run stands after them.

use futures::stream::{self, BoxStream, ReadyChunks, StreamExt};
use souk_proto::workflow::v1::{GetWorkflowHistoryResponse, HistoryEvent as WireEvent};
use tonic::Status;

use super::Walk;
use crate::engine;
use crate::engine::engine::HistoryEvent;
use crate::error::refusal;

/// Events in one message.
const EVENTS_PER_MESSAGE: usize = 256;

/// A history from its first event on.
type Events = BoxStream<'static, Result<HistoryEvent, engine::Error>>;

/// The messages of a history, with the events from number `from_sequence` on.
pub fn messages(
    events: Events,
    from_sequence: i64,
) -> BoxStream<'static, Result<GetWorkflowHistoryResponse, Status>> {
    let told = Told::new(events, from_sequence);
    stream::unfold(told, |mut told| async move { Some((told.next().await?, told)) }).boxed()
}

struct Told {
    events: ReadyChunks<Events>,
    from_sequence: i64,
    walk: Walk,
    /// Whether anything was sent.
    has_begun: bool,
    failed: Option<Status>,
}

impl Told {
    fn new(events: Events, from_sequence: i64) -> Self {
        let events = events.ready_chunks(EVENTS_PER_MESSAGE);
        Self { events, from_sequence, walk: Walk::default(), has_begun: false, failed: None }
    }

    async fn next(&mut self) -> Option<Result<GetWorkflowHistoryResponse, Status>> {
        if let Some(status) = self.failed.take() {
            return Some(Err(status));
        }
        while let Some(chunk) = self.events.next().await {
            let events = self.take(chunk);
            if !events.is_empty() {
                return Some(Ok(self.message(events)));
            }
            if let Some(status) = self.failed.take() {
                return Some(Err(status));
            }
        }
        // Who has heard everything before is told where the run stands all the same.
        (!self.has_begun).then(|| Ok(self.message(Vec::new())))
    }

    /// Walks over a chunk; what came before a failure is told before it.
    fn take(&mut self, chunk: Vec<Result<HistoryEvent, engine::Error>>) -> Vec<WireEvent> {
        let mut events = Vec::with_capacity(chunk.len());
        for event in chunk {
            match event {
                Ok(event) => events.push(self.walk.step(&event)),
                Err(error) => {
                    self.has_begun = true;
                    self.failed = Some(refusal(error));
                    break;
                }
            }
        }
        events.retain(|event| event.sequence >= self.from_sequence);
        events
    }

    fn message(&mut self, events: Vec<WireEvent>) -> GetWorkflowHistoryResponse {
        self.has_begun = true;
        GetWorkflowHistoryResponse { events, state: self.walk.state().into() }
    }
}
