//! The numbers that stand for the states of reservations in every store.

use crate::domain::State;

/// The number of a state.
pub(super) fn number(state: State) -> i8 {
    match state {
        State::Held => 1,
        State::Committed => 2,
        State::Released => 3,
        State::Expired => 4,
        State::Undone => 5,
    }
}

/// The state of a number, if it is one.
pub(super) fn of_number(number: i64) -> Option<State> {
    [State::Held, State::Committed, State::Released, State::Expired, State::Undone]
        .into_iter()
        .find(|state| i64::from(self::number(*state)) == number)
}
