//! Views: what a workflow shows of itself to those who ask, without anything going on record.
//!
//! A view is a value under a name, and the last one stands. It is made by the workflow's code alone, so replay makes it
//! again: it costs no event, and survives whatever the run survives.

use bytes::Bytes;
use serde::Serialize;

use super::Cx;
use crate::engine::error::StuckCode;
use crate::engine::limits::{MAX_PAYLOAD_BYTES, MAX_VIEWS};

/// Something that a workflow publishes for queries.
pub trait View: Serialize {
    /// The name of the query that it answers.
    const NAME: &'static str;
}

impl Cx {
    /// Shows a value to whoever queries the run under the view's name, until another one takes its place. Not recorded:
    /// a query sees it once everything that it follows from is durable.
    pub fn publish<V: View>(&self, view: &V) {
        let json = serde_json::to_vec(view);
        let mut state = self.shared.state.lock();
        let json = match json {
            Ok(json) if json.len() <= MAX_PAYLOAD_BYTES => Bytes::from(json),
            Ok(json) => {
                let message = format!(
                    "the view {} has {} bytes, at most {MAX_PAYLOAD_BYTES}",
                    V::NAME,
                    json.len()
                );
                return state.misfit(StuckCode::BoundExceeded, message);
            }
            Err(error) => return state.misfit_value(&format!("the view {}", V::NAME), &error),
        };
        state.views.insert(V::NAME, json);
        if state.views.len() > MAX_VIEWS {
            let message = format!("more than {MAX_VIEWS} views are published");
            state.misfit(StuckCode::BoundExceeded, message);
        }
    }
}
