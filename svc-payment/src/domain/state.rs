//! Where a payment stands, and which observations can follow which state.

use std::fmt;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// On record here; whether the provider has made it is not.
    Opening,
    /// Made at the provider; no money is touched.
    Created,
    /// The customer has to pass a challenge.
    RequiresAction,
    /// The money is set aside.
    Authorized,
    /// The money is taken, and not all of it given back.
    Captured,
    /// The provider refused.
    Declined,
    /// Over without money taken.
    Cancelled,
    /// All that was taken was given back.
    Refunded,
}

/// What the provider says a payment's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observed {
    /// Made, not confirmed.
    Created,
    /// Waiting for the customer.
    RequiresAction,
    /// Money set aside.
    Authorized,
    /// Money taken.
    Captured,
    /// Refused.
    Declined,
    /// Given up.
    Cancelled,
    /// Money taken and all of it given back.
    Refunded,
}

/// Every state, in the order of a payment's life.
pub const STATES: [State; 8] = [
    State::Opening,
    State::Created,
    State::RequiresAction,
    State::Authorized,
    State::Captured,
    State::Declined,
    State::Cancelled,
    State::Refunded,
];

/// An observation that cannot follow a state: someone is wrong about the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {state} cannot be {seen:?} at the provider")]
pub struct Illegal {
    /// Ours.
    pub state: State,
    /// The provider's.
    pub seen: Observed,
}

impl State {
    /// The state after the provider was seen in `seen`. Observations may skip states, since answers
    /// get lost, but never lead back.
    ///
    /// # Errors
    /// [`Illegal`] when that would lead back.
    pub fn next(self, seen: Observed) -> Result<State, Illegal> {
        use Observed as O;
        use State as S;
        let target = State::from(seen);
        match (self, seen) {
            _ if self == target => Ok(target),
            (S::Opening | S::Created, _) => Ok(target),
            (
                S::RequiresAction,
                O::Authorized | O::Captured | O::Declined | O::Cancelled | O::Refunded,
            )
            | (S::Authorized, O::Captured | O::Cancelled | O::Refunded)
            | (S::Declined, O::Cancelled)
            | (S::Captured, O::Refunded) => Ok(target),
            (
                S::RequiresAction
                | S::Authorized
                | S::Captured
                | S::Declined
                | S::Cancelled
                | S::Refunded,
                _,
            ) => Err(Illegal { state: self, seen }),
        }
    }

    /// Whether the payment was undone: net captured is 0 for good.
    pub fn is_undone(self) -> bool {
        matches!(self, State::Cancelled | State::Refunded)
    }

    /// The state's name in the store and in messages.
    pub fn name(self) -> &'static str {
        match self {
            State::Opening => "opening",
            State::Created => "created",
            State::RequiresAction => "requires_action",
            State::Authorized => "authorized",
            State::Captured => "captured",
            State::Declined => "declined",
            State::Cancelled => "cancelled",
            State::Refunded => "refunded",
        }
    }

    /// The state of that name.
    pub fn of_name(name: &str) -> Option<State> {
        STATES.into_iter().find(|state| state.name() == name)
    }
}

impl From<Observed> for State {
    fn from(seen: Observed) -> State {
        match seen {
            Observed::Created => State::Created,
            Observed::RequiresAction => State::RequiresAction,
            Observed::Authorized => State::Authorized,
            Observed::Captured => State::Captured,
            Observed::Declined => State::Declined,
            Observed::Cancelled => State::Cancelled,
            Observed::Refunded => State::Refunded,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OBSERVED: [Observed; 7] = [
        Observed::Created,
        Observed::RequiresAction,
        Observed::Authorized,
        Observed::Captured,
        Observed::Declined,
        Observed::Cancelled,
        Observed::Refunded,
    ];

    #[test]
    fn the_table_of_transitions_is_this() {
        let table: Vec<String> = STATES
            .into_iter()
            .map(|state| {
                let allowed: Vec<_> = OBSERVED
                    .into_iter()
                    .filter(|seen| state.next(*seen).is_ok_and(|next| next != state))
                    .map(|seen| State::from(seen).name())
                    .collect();
                format!("{state}: {}", allowed.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "opening: created requires_action authorized captured declined cancelled refunded",
                "created: requires_action authorized captured declined cancelled refunded",
                "requires_action: authorized captured declined cancelled refunded",
                "authorized: captured cancelled refunded",
                "captured: refunded",
                "declined: cancelled",
                "cancelled: ",
                "refunded: ",
            ]
        );
    }

    #[test]
    fn names_read_back() {
        for state in STATES {
            assert_eq!(State::of_name(state.name()), Some(state));
        }
        assert_eq!(State::of_name("paid"), None);
    }

    proptest! {
        #[test]
        fn no_sequence_of_observations_leaves_an_end_or_returns(
            seen in proptest::collection::vec(0..OBSERVED.len(), 1..12)
        ) {
            let mut state = State::Opening;
            let mut left = Vec::new();
            for index in seen {
                let ended = state.is_undone();
                if let Ok(next) = state.next(OBSERVED[index]) {
                    prop_assert!(!ended || next == state);
                    prop_assert!(!left.contains(&next), "back to {}", next);
                    if next != state {
                        left.push(state);
                    }
                    state = next;
                }
            }
        }
    }
}
