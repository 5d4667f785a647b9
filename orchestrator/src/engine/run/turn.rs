//! From one turn of a run to the next.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message;

use super::{Phase, Run};
use crate::engine::attribute;
use crate::engine::error::{Misfit, StuckCode};
use crate::engine::event::{
    Body, Carried, Closed, Continuation, Event, MessageReceived, Occurrence, Started,
    UpdateAnswered,
};
use crate::engine::ids::RunId;
use crate::engine::limits::{
    MAX_CARRIED_SIGNAL_IDS, MAX_CARRIED_UPDATE_BYTES, MAX_CARRIED_UPDATES,
};
use crate::engine::registry::Definition;
use crate::engine::row::RunState;

/// What the next turn begins with, besides what it has of the whole run.
pub(crate) struct Turn {
    pub run_id: RunId,
    pub input: Bytes,
    pub carried: Carried,
}

impl Run {
    /// Ends this turn. What was done stands.
    pub(super) fn end_turn(&mut self, input: Bytes) -> Result<(), Misfit> {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        if state.observations <= 1 {
            let message = "the workflow continues as new before anything has happened in its turn";
            return Err(Misfit::new(StuckCode::BoundExceeded, message));
        }
        // Behind this turn in the order of ids, even if the clock was set back.
        let own_ms = (shared.run_id.0.as_u128() >> 80) as u64;
        let ms = u64::try_from(state.now_ms).unwrap_or(0).max(own_ms + 1);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&state.random().to_le_bytes());
        random[8..].copy_from_slice(&state.random().to_le_bytes()[..2]);
        let run_id = RunId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid());
        let occurrences = state
            .occurrences
            .iter()
            .map(|(name, count)| Occurrence { name: name.to_string(), count: *count })
            .collect();
        let mut known: Vec<(&u64, &String)> =
            self.signal_ids.iter().map(|(id, arrival)| (arrival, id)).collect();
        known.sort_unstable();
        let first = known.len().saturating_sub(MAX_CARRIED_SIGNAL_IDS);
        let signal_ids = known[first..].iter().map(|(_, id)| (*id).clone()).collect();
        let unread = state.signals.iter().flat_map(|(name, inbox)| {
            inbox.iter().map(|(id, payload)| MessageReceived {
                name: name.clone(),
                id: id.clone(),
                payload: payload.clone(),
            })
        });
        let carried = Carried {
            run_id: Bytes::copy_from_slice(shared.run_id.as_bytes()),
            occurrences,
            signals: unread.collect(),
            signal_ids,
            answer: state.answer.clone(),
            cancelled: state.cancelled.clone(),
            attributes: attribute::recorded(&state.attributes),
            answered: self.last_answers(&state.decisions),
            children: state.carried_children(),
        };
        let next = Continuation {
            run_id: Bytes::copy_from_slice(run_id.as_bytes()),
            input: input.clone(),
            rounds: state.rounds,
        };
        let closed =
            Closed { state: RunState::Continued.into(), next: Some(next), ..Closed::default() };
        state.emit(Body::Closed(closed));
        for call in std::mem::take(&mut state.calls).into_values() {
            call.token.cancel();
        }
        drop(state);
        self.unload();
        self.phase = Phase::Closed(RunState::Continued);
        self.next_turn = Some(Box::new(Turn { run_id, input, carried }));
        Ok(())
    }

    /// Takes in what the starter has given, and what the turn before this one has left.
    pub(super) fn carry(&mut self, started: &Started) {
        let mut state = self.shared.state.lock();
        attribute::change(&mut state.attributes, &started.attributes);
        state.parent.clone_from(&started.parent);
        let Some(carried) = &started.carried else { return };
        attribute::change(&mut state.attributes, &carried.attributes);
        for occurrence in &carried.occurrences {
            state.occurrences.insert(Cow::Owned(occurrence.name.clone()), occurrence.count);
        }
        carried.signals.iter().for_each(|signal| state.put_signal(signal));
        for (arrival, id) in (0..).zip(&carried.signal_ids) {
            self.signal_ids.insert(id.clone(), arrival);
        }
        for child in &carried.children {
            state.carry_child(&self.shared, child);
        }
        state.answered = carried.answer.is_some();
        state.answer.clone_from(&carried.answer);
        state.cancelled.clone_from(&carried.cancelled);
        drop(state);
        carried.answered.iter().for_each(|answered| self.note_answer(answered));
    }

    /// The last answers to updates, with those that are being given now, in order.
    fn last_answers(&self, decisions: &[Body]) -> Vec<UpdateAnswered> {
        let new = decisions.iter().rev().filter_map(|body| match body {
            Body::UpdateAnswered(answered) => Some(answered),
            _ => None,
        });
        let mut bytes = 0;
        let fitting = new.chain(self.answered.iter().rev()).take(MAX_CARRIED_UPDATES).take_while(
            |answered| {
                bytes += answered.encoded_len();
                bytes <= MAX_CARRIED_UPDATE_BYTES
            },
        );
        let mut answers: Vec<UpdateAnswered> = fitting.cloned().collect();
        answers.reverse();
        answers
    }

    /// Begins a turn. An input that the workflow cannot read leaves it stuck: there is nobody to refuse it to.
    pub fn begin_turn(
        definition: Option<&dyn Definition>,
        run_id: RunId,
        started: Started,
        now_ms: i64,
    ) -> (Run, Vec<Event>) {
        let mut run = Run::of(run_id, &started);
        let begun = match definition {
            Some(definition) => run.begin(definition, &started.input).map_err(|error| {
                let message = format!("the input of {}: {error}", started.workflow_type);
                Misfit::new(StuckCode::ValueMismatch, message)
            }),
            None => {
                let message =
                    format!("no workflow {} is registered in this build", started.workflow_type);
                Err(Misfit::new(StuckCode::TypeMissing, message))
            }
        };
        let events = match begun {
            Ok(()) => run.observe(Body::Started(Box::new(started)), now_ms),
            Err(misfit) => {
                let stuck = run.become_stuck(misfit);
                let mut events = Vec::new();
                run.record(&mut events, [Body::Started(Box::new(started)), stuck], now_ms);
                events
            }
        };
        (run, events)
    }
}
