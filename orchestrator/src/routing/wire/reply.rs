//! What is answered.

use prost::Message;
use souk_proto::workflow::v1::ask_response::Reply as Wire;
use souk_proto::workflow::v1::{
    AskResponse, PeerDone, PeerEvent, PeerEvents, PeerSignalled, PeerStarted, PeerWasReset,
};

use super::error;
use super::run::{decode_outcome, encode_outcome};
use crate::engine::Error;
use crate::engine::engine::{HistoryEvent, Started, WasReset};
use crate::engine::event::Event;
use crate::engine::ids::RunId;
use crate::engine::peers::PeerReply;
use crate::engine::row::RunRow;

/// Bytes of events in one answer, about; a single event may have more. Well below what a message may have.
const EVENTS_BYTES: usize = 2 * 1024 * 1024;

pub fn encode(answer: Result<PeerReply, Error>) -> AskResponse {
    let reply = match answer {
        Ok(PeerReply::Done) => Wire::Done(PeerDone {}),
        Ok(PeerReply::Started(Started { run_id, is_new })) => {
            Wire::Started(PeerStarted { run_id: run_id.as_bytes().to_vec().into(), is_new })
        }
        Ok(PeerReply::Signalled(is_new)) => Wire::Signalled(PeerSignalled { is_new }),
        Ok(PeerReply::Sequence(sequence)) => Wire::Sequence(sequence),
        Ok(PeerReply::Reset(WasReset { run_id, kept })) => {
            Wire::WasReset(PeerWasReset { run_id: run_id.as_bytes().to_vec().into(), kept })
        }
        Ok(PeerReply::Row(row)) => Wire::Row(row.encode_to_vec().into()),
        Ok(PeerReply::Outcome(outcome)) => Wire::Outcome(encode_outcome(outcome)),
        Ok(PeerReply::Events(events)) => Wire::Events(encode_events(events)),
        Ok(PeerReply::View(view)) => Wire::View(view),
        Err(error) => Wire::Error(error::encode(error)),
    };
    AskResponse { reply: Some(reply) }
}

/// As many as fit, from the first on.
fn encode_events(events: Vec<HistoryEvent>) -> PeerEvents {
    let mut bytes = 0;
    let events = events.into_iter().map(|HistoryEvent { sequence, event }| {
        let event = event.encode_to_vec().into();
        PeerEvent { sequence, event }
    });
    let fits = |event: &PeerEvent| {
        let is_first = bytes == 0;
        bytes += event.event.len().max(1);
        is_first || bytes <= EVENTS_BYTES
    };
    PeerEvents { events: events.take_while(fits).collect() }
}

/// # Errors
/// What the node answers; [`Error::PeerUnreachable`] where it answers what this build does not understand.
pub fn decode(answer: AskResponse, workflow_id: &str) -> Result<PeerReply, Error> {
    let run_id = |bytes: &[u8]| RunId::from_slice(bytes).ok_or_else(|| unfit("a run id"));
    Ok(match answer.reply.ok_or_else(|| unfit("nothing"))? {
        Wire::Done(PeerDone {}) => PeerReply::Done,
        Wire::Started(PeerStarted { run_id: id, is_new }) => {
            PeerReply::Started(Started { run_id: run_id(&id)?, is_new })
        }
        Wire::Signalled(PeerSignalled { is_new }) => PeerReply::Signalled(is_new),
        Wire::Sequence(sequence) => PeerReply::Sequence(sequence),
        Wire::WasReset(PeerWasReset { run_id: id, kept }) => {
            PeerReply::Reset(WasReset { run_id: run_id(&id)?, kept })
        }
        Wire::Row(row) => {
            PeerReply::Row(Box::new(RunRow::decode(row).map_err(|_| unfit("a row"))?))
        }
        Wire::Outcome(outcome) => PeerReply::Outcome(decode_outcome(outcome)),
        Wire::Events(PeerEvents { events }) => {
            let decode = |PeerEvent { sequence, event }| {
                let event = Event::decode(event).map_err(|_| unfit("an event"))?;
                Ok(HistoryEvent { sequence, event })
            };
            PeerReply::Events(events.into_iter().map(decode).collect::<Result<_, Error>>()?)
        }
        Wire::View(view) => PeerReply::View(view),
        Wire::Error(error) => return Err(error::decode(error, workflow_id)),
    })
}

fn unfit(what: &str) -> Error {
    Error::PeerUnreachable(format!("it answers with {what} that this build does not understand"))
}
