//! The states that an order has been in, and since when.

use crate::domain::State;

/// Oldest first.
#[derive(Debug, Default)]
pub struct States(Vec<(i64, State)>);

impl States {
    /// The order came into `state` at `at_ms` (unix milliseconds).
    pub fn push(&mut self, at_ms: i64, state: State) {
        self.0.push((at_ms, state));
    }

    /// The state it is in.
    #[must_use]
    pub fn last(&self) -> State {
        self.0.last().map_or(State::Pending, |(_, state)| *state)
    }

    /// The state it was in at `at_ms`.
    #[must_use]
    pub fn at(&self, at_ms: i64) -> State {
        let earlier = self.0.iter().rev().find(|(since_ms, _)| *since_ms <= at_ms);
        earlier.map_or(State::Pending, |(_, state)| *state)
    }

    /// Whether it had been confirmed by `at_ms`. Money is captured only after that.
    #[must_use]
    pub fn was_confirmed(&self, at_ms: i64) -> bool {
        let mut until = self.0.iter().take_while(|(since_ms, _)| *since_ms <= at_ms);
        until.any(|(_, state)| {
            matches!(state, State::Processing | State::Shipped | State::Delivered)
        })
    }
}

impl FromIterator<(i64, State)> for States {
    fn from_iter<T: IntoIterator<Item = (i64, State)>>(states: T) -> States {
        States(states.into_iter().collect())
    }
}
