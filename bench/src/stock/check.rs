//! Whether every piece is where the callers were told it is.

use std::collections::BTreeMap;

use crate::invariants::SeenStock;

/// What became of a wish for one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// It is held.
    Held,
    /// It was held and sold.
    Sold,
    /// There was none.
    Refused,
    /// Nobody knows, however often it was asked.
    Unknown,
}

/// How many wishes ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Piece, u64>);

impl Tally {
    /// One more.
    pub fn add(&mut self, piece: Piece) {
        *self.0.entry(piece).or_default() += 1;
    }

    /// All of another's.
    pub fn add_all(&mut self, other: &Tally) {
        other.0.iter().for_each(|(piece, count)| *self.0.entry(*piece).or_default() += count);
    }

    /// How many ended so.
    pub fn of(&self, piece: Piece) -> i64 {
        self.0.get(&piece).map_or(0, |count| i64::try_from(*count).unwrap_or(i64::MAX))
    }
}

/// After a load that only holds: what is wrong with the stock of a product that had so many pieces on hand.
pub fn held(on_hand: i64, tally: &Tally, seen: SeenStock) -> Vec<String> {
    let mut problems = unknown(tally);
    if seen.on_hand != on_hand {
        problems.push(format!("{} pieces on hand and not {on_hand}", seen.on_hand));
    }
    let held = tally.of(Piece::Held);
    if problems.is_empty() && seen.reserved != held {
        problems.push(format!("{} pieces are held, callers were told of {held}", seen.reserved));
    }
    if tally.of(Piece::Refused) > 0 {
        problems.push("somebody was refused what was there".to_owned());
    }
    problems
}

/// After more were wanted than there are, and everybody bought who was given one: what is wrong with the stock.
pub fn sold_out(pieces: i64, tally: &Tally, seen: SeenStock) -> Vec<String> {
    let mut problems = unknown(tally);
    let sold = tally.of(Piece::Sold);
    if sold > pieces {
        problems.push(format!("oversold: {sold} of {pieces}"));
    }
    if problems.is_empty() && sold < pieces {
        problems.push(format!("{sold} were sold of {pieces}, and more wanted one"));
    }
    if problems.is_empty() && seen != (SeenStock { on_hand: 0, reserved: 0 }) {
        problems.push(format!(
            "{} on hand and {} held, when all are sold",
            seen.on_hand, seen.reserved
        ));
    }
    problems
}

fn unknown(tally: &Tally) -> Vec<String> {
    let unknown = tally.of(Piece::Unknown);
    if unknown > 0 {
        vec![format!("what became of {unknown} wishes is not known")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(pieces: &[(Piece, u64)]) -> Tally {
        Tally(pieces.iter().copied().collect())
    }

    fn stock(on_hand: i64, reserved: i64) -> SeenStock {
        SeenStock { on_hand, reserved }
    }

    #[test]
    fn what_is_held_is_what_callers_were_told() {
        let told = tally(&[(Piece::Held, 7)]);
        assert!(held(100, &told, stock(100, 7)).is_empty());
        assert_eq!(held(100, &told, stock(100, 8)).len(), 1, "a piece too many");
        assert_eq!(held(100, &told, stock(99, 7)).len(), 1, "a piece is gone");
        let refused = tally(&[(Piece::Held, 7), (Piece::Refused, 1)]);
        assert_eq!(held(100, &refused, stock(100, 7)).len(), 1);
        let unknown = tally(&[(Piece::Held, 7), (Piece::Unknown, 1)]);
        assert_eq!(held(100, &unknown, stock(100, 7)).len(), 1);
    }

    #[test]
    fn exactly_what_is_there_is_sold() {
        let told = |sold| tally(&[(Piece::Sold, sold), (Piece::Refused, 5)]);
        assert!(sold_out(5, &told(5), stock(0, 0)).is_empty());
        assert!(sold_out(5, &told(6), stock(0, 0))[0].starts_with("oversold"));
        assert_eq!(sold_out(5, &told(4), stock(1, 0)).len(), 1, "one was kept back");
        assert_eq!(sold_out(5, &told(5), stock(0, 1)).len(), 1);
    }
}
