//! Rounds: workflows without an end, or with a very distant one.
//!
//! The workflow is a function from state to state. The engine calls it round after round, and by itself continues as new
//! between two rounds once the history has become long. The author has nothing to think of.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::cx::{Cx, from_json};
use super::error::StuckCode;
use super::event::{Body, RoundEnded};
use super::limits::{MAX_IDLE_ROUNDS, MAX_PAYLOAD_BYTES};
use super::registry::{Definition, Running, WorkflowFn, returned};

/// What a round comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round<S, O> {
    /// Another round follows, with this state. What was done in this one stands.
    Again(S),
    /// The run is complete.
    Done(O),
}

/// A workflow in rounds, with its types erased.
pub(crate) struct Rounds<F, S, O> {
    function: Arc<F>,
    /// Behind how many observations a turn ends, at the latest with the next round.
    max_observations: u64,
    types: PhantomData<fn(S) -> O>,
}

impl<F, S, O> Rounds<F, S, O> {
    pub fn new(function: F, max_observations: u64) -> Rounds<F, S, O> {
        Rounds { function: Arc::new(function), max_observations, types: PhantomData }
    }
}

impl<F, S, O> Definition for Rounds<F, S, O>
where
    F: for<'a> WorkflowFn<'a, S, Round<S, O>> + 'static,
    S: Serialize + DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    fn begin(&self, cx: Cx, input: &[u8]) -> Result<Running, serde_json::Error> {
        let mut state: S = from_json(input)?;
        let (function, max_observations) = (self.function.clone(), self.max_observations);
        Ok(Box::pin(async move {
            loop {
                match function.call(&cx, state).await? {
                    Round::Done(output) => return returned(&cx, output).await,
                    Round::Again(next) => state = next_round(&cx, next, max_observations).await,
                }
            }
        }))
    }
}

/// Ends a round: with the state of the next one, or with the turn. A state is always what was read back from JSON, so that
/// it makes no difference to a round where a turn began.
async fn next_round<S: Serialize + DeserializeOwned>(cx: &Cx, next: S, max_observations: u64) -> S {
    if let Some(state) = read_back(cx, next, max_observations) {
        return state;
    }
    // The turn is over, or the run is stuck: it must not go on.
    std::future::pending().await
}

fn read_back<S: Serialize + DeserializeOwned>(
    cx: &Cx,
    next: S,
    max_observations: u64,
) -> Option<S> {
    let json = serde_json::to_vec(&next);
    let next = json.as_ref().ok().map(|json| serde_json::from_slice::<S>(json));
    let is_turn_over = {
        let mut state = cx.shared.state.lock();
        if let Some(Err(error)) = &next {
            state.misfit_value("a round's state", error);
        }
        if state.count_round() > MAX_IDLE_ROUNDS {
            let message =
                format!("{MAX_IDLE_ROUNDS} rounds in a row ended without waiting for anything");
            state.misfit(StuckCode::BoundExceeded, message);
        }
        let let_stand = state.let_stand();
        if let_stand > 0 {
            state.emit(Body::RoundEnded(RoundEnded { let_stand }));
        }
        if state.misfit.is_some() {
            return None;
        }
        state.is_turn_over(max_observations)
    };
    let is_fit = json.as_ref().is_ok_and(|json| json.len() <= MAX_PAYLOAD_BYTES);
    if is_turn_over || !is_fit {
        // Says what is wrong with a state that no turn could begin with, in every round alike.
        cx.end_turn(json);
        return None;
    }
    next.and_then(Result::ok)
}
