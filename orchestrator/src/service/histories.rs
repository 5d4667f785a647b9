//! `ExportHistories`: the open runs' histories as they are recorded, for another build.

use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use souk_proto::workflow::v1::ExportHistoriesResponse;
use tonic::Status;

use crate::engine::engine::{HistoryEvent, OpenRun};
use crate::engine::event::Event;
use crate::engine::{self, Engine};
use crate::error::refusal;

/// Bytes of the events in one message, about: well below what a message may have.
const MESSAGE_BYTES: usize = 1024 * 1024;

type Events = BoxStream<'static, Result<HistoryEvent, engine::Error>>;

/// The messages of all open runs of a type, or of all types if that is empty.
pub fn export(
    engine: Engine,
    workflow_type: String,
) -> BoxStream<'static, Result<ExportHistoriesResponse, Status>> {
    let runs = engine.open_runs().filter(move |run| {
        let is_wanted = run
            .as_ref()
            .map_or(true, |run| workflow_type.is_empty() || run.workflow_type == workflow_type);
        std::future::ready(is_wanted)
    });
    let messages = runs.flat_map(move |run| match run {
        Ok(run) => Export::new(&engine, run).messages(),
        Err(error) => stream::iter([Err(refusal(error))]).boxed(),
    });
    messages.boxed()
}

/// One run on its way.
struct Export {
    run: OpenRun,
    events: Events,
    /// Read, and not fitting into the message before.
    next: Option<Event>,
    is_done: bool,
}

impl Export {
    fn new(engine: &Engine, run: OpenRun) -> Export {
        let events = engine.history_of(&run).boxed();
        Export { run, events, next: None, is_done: false }
    }

    fn messages(self) -> BoxStream<'static, Result<ExportHistoriesResponse, Status>> {
        stream::unfold(self, |mut export| async move { Some((export.message().await?, export)) })
            .boxed()
    }

    async fn message(&mut self) -> Option<Result<ExportHistoriesResponse, Status>> {
        if self.is_done {
            return None;
        }
        let mut message = ExportHistoriesResponse {
            run_id: self.run.run_id.to_string(),
            workflow_id: self.run.workflow_id.clone(),
            workflow_type: self.run.workflow_type.clone(),
            ..ExportHistoriesResponse::default()
        };
        let mut bytes = 0;
        loop {
            let event = match self.next.take() {
                Some(event) => event,
                None => match self.events.next().await {
                    Some(Ok(item)) => item.event,
                    Some(Err(error)) => {
                        self.is_done = true;
                        return Some(Err(refusal(error)));
                    }
                    None => {
                        self.is_done = true;
                        message.ends = true;
                        return Some(Ok(message));
                    }
                },
            };
            bytes += event.encoded_len();
            if bytes > MESSAGE_BYTES && !message.events.is_empty() {
                self.next = Some(event);
                return Some(Ok(message));
            }
            message.events.push(event.encode_to_vec().into());
        }
    }
}
