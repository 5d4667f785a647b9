//! What a history says of timers, messages, and values that the run has set down.

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{HistoryEvent as WireEvent, HistoryEventKind as Kind, OpenTimer};

use super::{Walk, failure};
use crate::engine::event::Body;
use crate::wire;

impl Walk {
    /// Takes in an event about what the run waits for, is told, or says.
    pub(super) fn observe_exchange(&mut self, body: &Body, wire: &mut WireEvent) -> bool {
        match body {
            Body::TimerSet(e) => {
                self.open_timers.insert(e.command, e.fire_at_ms);
                wire.fire_time = Some(timestamp(e.fire_at_ms));
                wire.set_kind(Kind::TimerStarted);
            }
            Body::TimerFired(e) => {
                self.open_timers.remove(&e.command);
                wire.set_kind(Kind::TimerFired);
            }
            Body::TimerGivenUp(e) => {
                self.open_timers.remove(&e.command);
                wire.set_kind(Kind::TimerCancelled);
            }
            Body::SignalReceived(e) | Body::UpdateAccepted(e) => {
                wire.name.clone_from(&e.name);
                wire.request_id.clone_from(&e.id);
                wire.payload = e.payload.clone();
                let is_signal = matches!(body, Body::SignalReceived(_));
                wire.set_kind(if is_signal { Kind::SignalReceived } else { Kind::UpdateAccepted });
            }
            Body::UpdateAnswered(e) => {
                wire.request_id.clone_from(&e.id);
                wire.payload = e.answer.clone().unwrap_or_default();
                wire.failure = failure(e.failure.as_ref(), false);
                wire.set_kind(Kind::UpdateCompleted);
            }
            Body::Answered(e) => {
                wire.payload = e.answer.clone();
                wire.set_kind(Kind::Answered);
            }
            Body::VersionMarked(e) => {
                wire.name.clone_from(&e.change);
                wire.payload = e.version.to_string().into();
                wire.set_kind(Kind::ValueRecorded);
            }
            Body::AttributesSet(e) => {
                let names: Vec<&str> = e.changes.iter().map(|set| set.name.as_str()).collect();
                wire.name = names.join(", ");
                wire.payload = wire::attributes_json(&e.changes);
                wire.set_kind(Kind::AttributesSet);
            }
            _ => return false,
        }
        true
    }

    /// Timers that have not fired.
    pub fn open_timers(&self) -> Vec<OpenTimer> {
        let times = self.open_timers.values();
        times.map(|at| OpenTimer { name: String::new(), fire_time: Some(timestamp(*at)) }).collect()
    }
}
