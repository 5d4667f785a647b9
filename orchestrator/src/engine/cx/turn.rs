//! Continuing as new: a run that goes on for ever, in turns whose histories stay short.

use bytes::Bytes;
use serde::Serialize;

use super::Cx;
use crate::engine::error::StuckCode;
use crate::engine::limits::MAX_PAYLOAD_BYTES;

impl Cx {
    /// Ends this turn of the run and begins the next one: the same workflow under the same id, with this input and an
    /// empty history, in one commit. Never resolves; await it in place of returning.
    ///
    /// Like returning `Ok`, it lets everything stand that was done. Occurrences are counted on, so that effect keys stay
    /// distinct; signals that nobody has taken, the last answers to updates, and the answer to those who started the run, go
    /// along. Steps under way and updates without an answer are given up.
    pub async fn continue_as_new<I: Serialize, T>(&self, input: &I) -> T {
        self.end_turn(serde_json::to_vec(input));
        std::future::pending().await
    }

    /// Ends this turn as soon as the workflow waits.
    pub(crate) fn end_turn(&self, input: Result<Vec<u8>, serde_json::Error>) {
        let mut state = self.shared.state.lock();
        match input {
            Ok(json) if json.len() <= MAX_PAYLOAD_BYTES => {
                state.continue_with = Some(Bytes::from(json));
            }
            Ok(json) => {
                let message = format!(
                    "the next turn's input has {} bytes, at most {MAX_PAYLOAD_BYTES}",
                    json.len()
                );
                state.misfit(StuckCode::BoundExceeded, message);
            }
            Err(error) => state.misfit_value("the next turn's input", &error),
        }
    }

    /// Whether the history is so long that it is time to continue as new.
    pub fn history_is_long(&self) -> bool {
        self.shared.state.lock().history_is_long()
    }
}
