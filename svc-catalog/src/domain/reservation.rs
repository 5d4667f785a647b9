//! The life of a reservation, as a total function, and what each change of it does to stock.
//!
//! A reservation is a *do* of the order's saga, and [`Step::Release`] is its *undo*. Both serialize on
//! the reservation's id: whichever arrives first decides. An undo that arrives first leaves a
//! tombstone ([`State::Undone`]), which refuses the late do.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::stock::{Refusal, Stock};

/// The most different products in one reservation.
pub const MAX_LINES: usize = 100;
/// The most units in one line, duplicates merged.
pub const MAX_QUANTITY: u32 = 100_000;
/// The longest time for which one call may hold stock.
pub const MAX_HOLD_MS: i64 = 24 * 60 * 60 * 1000;
/// For how long stock is held when the caller does not say.
pub const DEFAULT_HOLD_MS: i64 = 15 * 60 * 1000;
/// How much longer than the `not_after` of the do a tombstone is kept.
pub const TOMBSTONE_MARGIN_MS: i64 = 24 * 60 * 60 * 1000;

/// So many units of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Which product.
    pub product_id: Uuid,
    /// How many units; at least 1.
    pub quantity: u32,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its units are promised until `hold_until_ms`.
    Held,
    /// Its units have left the shelf: sold.
    Committed,
    /// It was undone; its units are back.
    Released,
    /// Its time ran out and its units are free again; commit and extend try to get them back.
    Expired,
    /// A tombstone: undone before it was ever made.
    Undone,
}

/// What is asked of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Hold its lines.
    Reserve,
    /// Hold them for longer.
    Extend,
    /// Sell them.
    Commit,
    /// Undo whatever was done, from any state.
    Release,
    /// The sweeper found its time to be over.
    Expire,
}

/// What a step does to the stock of every line of the reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockEffect {
    /// Nothing.
    None,
    /// Promise the units ([`super::Stock::hold`]); may be refused as sold out.
    Hold,
    /// Give the promise up ([`super::Stock::free`]).
    Free,
    /// Keep the promise: the units leave ([`super::Stock::take`]).
    Take,
    /// Promise again and take at once; may be refused as sold out.
    HoldAndTake,
    /// Sold units come back onto the shelf ([`super::Stock::put_back`]).
    PutBack,
}

impl StockEffect {
    /// The stock of a product of which `quantity` are reserved, after this.
    pub fn apply(self, stock: Stock, quantity: u32) -> Result<Stock, Refusal> {
        match self {
            StockEffect::None => Ok(stock),
            StockEffect::Hold => stock.hold(quantity),
            StockEffect::Free => stock.free(quantity),
            StockEffect::Take => stock.take(quantity),
            StockEffect::HoldAndTake => stock.hold(quantity)?.take(quantity),
            StockEffect::PutBack => stock.put_back(quantity),
        }
    }
}

/// Why a step is refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Nobody has made this reservation.
    #[error("no such reservation")]
    Unknown,
    /// It has been undone already, so it cannot be done.
    #[error("this reservation was undone")]
    Undone,
    /// It is sold already: there is nothing left to extend.
    #[error("this reservation is already committed")]
    AlreadyCommitted,
    /// Only what is held can expire.
    #[error("this reservation is not held")]
    NotHeld,
    /// It is for other lines or another order.
    #[error("this reservation is for something else")]
    Reused,
    /// The call's `not_after` has passed.
    #[error("too late")]
    TooLate,
}

/// What `step` makes of a reservation in `state` (`None`: never heard of), and what that does to stock.
/// The same state back with [`StockEffect::None`] is a repeated step, which gets its first answer.
pub fn next(state: Option<State>, step: Step) -> Result<(State, StockEffect), Illegal> {
    use State::{Committed, Expired, Held, Released, Undone};
    use Step::{Commit, Expire, Extend, Release, Reserve};
    use StockEffect::{Free, Hold, HoldAndTake, None as Nothing, PutBack, Take};
    match (step, state) {
        (Reserve, None | Some(Expired)) => Ok((Held, Hold)),
        (Reserve, Some(Held)) => Ok((Held, Nothing)),
        (Reserve, Some(Committed)) => Ok((Committed, Nothing)),

        (Extend, Some(Held)) => Ok((Held, Nothing)),
        (Extend, Some(Expired)) => Ok((Held, Hold)),
        (Extend, Some(Committed)) => Err(Illegal::AlreadyCommitted),

        (Commit, Some(Held)) => Ok((Committed, Take)),
        (Commit, Some(Expired)) => Ok((Committed, HoldAndTake)),
        (Commit, Some(Committed)) => Ok((Committed, Nothing)),

        (Extend | Commit, None) => Err(Illegal::Unknown),
        (Reserve | Extend | Commit, Some(Released | Undone)) => Err(Illegal::Undone),

        (Release, None | Some(Undone)) => Ok((Undone, Nothing)),
        (Release, Some(Held)) => Ok((Released, Free)),
        (Release, Some(Committed)) => Ok((Released, PutBack)),
        (Release, Some(Expired | Released)) => Ok((Released, Nothing)),

        (Expire, Some(Held)) => Ok((Expired, Free)),
        (Expire, None) => Err(Illegal::Unknown),
        (Expire, Some(Committed | Released | Expired | Undone)) => Err(Illegal::NotHeld),
    }
}

/// A reservation of stock for one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Chosen by the client (UUIDv5 of the step's effect key): do and undo meet on it.
    pub id: Uuid,
    /// The order that it is for; nil in a tombstone.
    pub order_id: Uuid,
    /// What is reserved: merged, sorted by product. Empty in a tombstone.
    pub lines: Vec<Line>,
    /// Where it stands.
    pub state: State,
    /// Until when (unix milliseconds) it is held. Of a tombstone: until when that is kept at least,
    /// `i64::MAX` for ever.
    pub until_ms: i64,
    /// Rises by one with every change; the version of its events.
    pub version: i64,
}

/// Adds up lines of the same product and sorts them, so that equal wishes compare equal.
/// `None` when a line is out of `1..=MAX_QUANTITY` or there are none or more than [`MAX_LINES`].
pub fn merge_lines(lines: impl IntoIterator<Item = Line>) -> Option<Vec<Line>> {
    let mut merged = BTreeMap::<Uuid, u32>::new();
    for line in lines {
        let quantity = merged.entry(line.product_id).or_default();
        *quantity = quantity.checked_add(line.quantity)?;
        if line.quantity == 0 || *quantity > MAX_QUANTITY {
            return None;
        }
    }
    let fits = (1..=MAX_LINES).contains(&merged.len());
    let line = |(product_id, quantity)| Line { product_id, quantity };
    fits.then(|| merged.into_iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [Option<State>; 6] = [
        None,
        Some(State::Held),
        Some(State::Committed),
        Some(State::Released),
        Some(State::Expired),
        Some(State::Undone),
    ];
    const STEPS: [Step; 5] =
        [Step::Reserve, Step::Extend, Step::Commit, Step::Release, Step::Expire];

    /// Units promised and units sold by a reservation of one unit in `state`.
    fn weight(state: Option<State>) -> (i32, i32) {
        match state {
            Some(State::Held) => (1, 0),
            Some(State::Committed) => (0, 1),
            _ => (0, 0),
        }
    }

    fn moved(effect: StockEffect) -> (i32, i32) {
        match effect {
            StockEffect::None => (0, 0),
            StockEffect::Hold => (1, 0),
            StockEffect::Free => (-1, 0),
            StockEffect::Take => (-1, 1),
            StockEffect::HoldAndTake => (0, 1),
            StockEffect::PutBack => (0, -1),
        }
    }

    #[test]
    fn every_transition_moves_exactly_the_stock_that_its_states_differ_by() {
        for state in STATES {
            for step in STEPS {
                if let Ok((after, effect)) = next(state, step) {
                    let (before, then, by) = (weight(state), weight(Some(after)), moved(effect));
                    let expected = (then.0 - before.0, then.1 - before.1);
                    assert_eq!(by, expected, "{state:?} --{step:?}--> {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_step_repeated_at_once_changes_nothing_more() {
        for state in STATES {
            for step in [Step::Reserve, Step::Extend, Step::Commit, Step::Release] {
                if let Ok((after, _)) = next(state, step) {
                    assert_eq!(next(Some(after), step), Ok((after, StockEffect::None)));
                }
            }
        }
    }

    #[test]
    fn release_works_from_everywhere_and_nothing_comes_back_from_it() {
        for state in STATES {
            let (after, _) = next(state, Step::Release).unwrap();
            for step in [Step::Reserve, Step::Extend, Step::Commit] {
                assert_eq!(next(Some(after), step), Err(Illegal::Undone));
            }
        }
    }

    #[test]
    fn lines_merge_and_bounds_hold() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let line = |product_id, quantity| Line { product_id, quantity };
        assert_eq!(
            merge_lines([line(two, 1), line(one, 2), line(two, 3)]),
            Some(vec![line(one, 2), line(two, 4)])
        );
        assert_eq!(merge_lines([]), None);
        assert_eq!(merge_lines([line(one, 0)]), None);
        assert_eq!(merge_lines([line(one, u32::MAX), line(one, 1)]), None);
        assert_eq!(merge_lines([line(one, MAX_QUANTITY), line(one, 1)]), None);
        let many = (0..=MAX_LINES as u128).map(|n| line(Uuid::from_u128(n), 1));
        assert_eq!(merge_lines(many), None);
    }
}
