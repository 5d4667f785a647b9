//! Observations on their way into a run. While it is paused they are on record and wait; resuming takes them in, in
//! order, as if they had come at that time: so no step begins with its time over.

use super::Run;
use crate::engine::error::Misfit;
use crate::engine::event::Body;
use crate::engine::limits::WARN_OBSERVATIONS;

impl Run {
    /// Takes an observation, and returns what the workflow decides because of it. Live and in replay.
    pub(super) fn take(&mut self, body: &Body, time_ms: i64) -> Result<Vec<Body>, Misfit> {
        match (body, &mut self.paused) {
            (Body::Paused(_), paused) => {
                paused.get_or_insert_default();
                Ok(Vec::new())
            }
            (Body::Unpaused(_), _) => {
                let waiting = self.paused.take().unwrap_or_default();
                let mut decisions = self.go_on(body, time_ms)?;
                for body in waiting {
                    decisions.extend(self.go_on(&body, time_ms)?);
                }
                Ok(decisions)
            }
            (Body::Terminated(_) | Body::Superseded(_), _) | (_, None) => self.go_on(body, time_ms),
            (_, Some(waiting)) => {
                waiting.push(body.clone());
                self.note(body);
                Ok(Vec::new())
            }
        }
    }

    fn go_on(&mut self, body: &Body, time_ms: i64) -> Result<Vec<Body>, Misfit> {
        self.apply(body, time_ms);
        {
            let mut state = self.shared.state.lock();
            state.observations += 1;
            // What a turn was given is not its own.
            if !matches!(body, Body::Started(_)) {
                state.history_bytes += body.encoded_len() as u64;
            }
            if state.observations.is_multiple_of(WARN_OBSERVATIONS) && !state.replaying {
                tracing::warn!(workflow_id = %self.shared.workflow_id, observations = state.observations,
                    "a run's history grows and grows; rounds or continue_as_new would keep it short");
            }
        }
        if matches!(body, Body::Started(started) if started.is_held) {
            return Ok(Vec::new());
        }
        self.advance()?;
        Ok(std::mem::take(&mut self.shared.state.lock().decisions))
    }

    /// Whether someone has paused the run.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}
