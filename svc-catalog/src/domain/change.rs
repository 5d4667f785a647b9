//! What callers and the sweeper wish of a reservation, and what each wish leads to.

use uuid::Uuid;

use super::reservation::{
    Illegal, Line, Reservation, State, Step, StockEffect, TOMBSTONE_MARGIN_MS, next,
};

/// A wish to hold stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Chosen by the client.
    pub reservation_id: Uuid,
    /// The order that it is for.
    pub order_id: Uuid,
    /// What to hold: merged ([`merge_lines`]).
    pub lines: Vec<Line>,
    /// For how long from now, in milliseconds.
    pub hold_ms: i64,
    /// After this moment (unix milliseconds) the wish must be refused; `None` for never.
    pub not_after_ms: Option<i64>,
}

impl Hold {
    /// What this makes of the reservation that is `known` under its id.
    pub fn on(self, known: Option<Reservation>, now_ms: i64) -> Result<Change, Illegal> {
        let (state, effect) = next(known.as_ref().map(|known| known.state), Step::Reserve)?;
        if let Some(known) = &known
            && (known.order_id != self.order_id || known.lines != self.lines)
        {
            return Err(Illegal::Reused);
        }
        if let (Some(known), StockEffect::None) = (&known, effect) {
            return Ok(Change::nothing(known.clone()));
        }
        on_time(self.not_after_ms, now_ms)?;
        let reservation = Reservation {
            id: self.reservation_id,
            order_id: self.order_id,
            lines: self.lines,
            state,
            until_ms: now_ms.saturating_add(self.hold_ms),
            version: known.map_or(1, |known| known.version + 1),
        };
        Ok(Change { reservation, effect, is_new: true })
    }
}

/// A wish to undo a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The reservation, known or not.
    pub reservation_id: Uuid,
    /// The order that it is for; nil if not told.
    pub order_id: Uuid,
    /// Why, for the event; may be empty.
    pub reason: String,
    /// The `not_after` of the reservation that this undoes; `None` if it has none or is not told.
    pub undoes_not_after_ms: Option<i64>,
}

impl Release {
    /// What this makes of the reservation that is `known` under its id; it is never refused.
    pub fn on(&self, known: Option<Reservation>, now_ms: i64) -> Result<Change, Illegal> {
        let (state, effect) = next(known.as_ref().map(|known| known.state), Step::Release)?;
        let tombstone_until_ms = self.tombstone_until_ms(now_ms);
        let Some(known) = known else {
            let reservation = Reservation {
                id: self.reservation_id,
                order_id: self.order_id,
                lines: Vec::new(),
                state,
                until_ms: tombstone_until_ms,
                version: 1,
            };
            return Ok(Change { reservation, effect, is_new: true });
        };
        // A tombstone lives as long as the longest of its undos asks.
        let until_ms = match state {
            State::Undone => known.until_ms.max(tombstone_until_ms),
            _ => known.until_ms,
        };
        Ok(known.moved(state, until_ms, effect))
    }

    /// A tombstone outlives the late do, as far as it is told when that dies; else it stays for ever.
    fn tombstone_until_ms(&self, now_ms: i64) -> i64 {
        let until = |not_after: i64| not_after.max(now_ms).saturating_add(TOMBSTONE_MARGIN_MS);
        self.undoes_not_after_ms.map_or(i64::MAX, until)
    }
}

impl Reservation {
    /// Holds it until `hold_ms` from now, if that is later than it is held already.
    pub fn extend(self, hold_ms: i64, now_ms: i64) -> Result<Change, Illegal> {
        let (state, effect) = next(Some(self.state), Step::Extend)?;
        let asked_ms = now_ms.saturating_add(hold_ms);
        let until_ms = match effect {
            StockEffect::None => self.until_ms.max(asked_ms),
            _ => asked_ms,
        };
        Ok(self.moved(state, until_ms, effect))
    }

    /// Sells it.
    pub fn commit(self, not_after_ms: Option<i64>, now_ms: i64) -> Result<Change, Illegal> {
        let (state, effect) = next(Some(self.state), Step::Commit)?;
        if effect != StockEffect::None {
            on_time(not_after_ms, now_ms)?;
        }
        let until_ms = self.until_ms;
        Ok(self.moved(state, until_ms, effect))
    }

    /// Ends its hold.
    pub fn expire(self) -> Result<Change, Illegal> {
        let (state, effect) = next(Some(self.state), Step::Expire)?;
        let until_ms = self.until_ms;
        Ok(self.moved(state, until_ms, effect))
    }

    fn moved(mut self, state: State, until_ms: i64, effect: StockEffect) -> Change {
        if (state, until_ms) == (self.state, self.until_ms) {
            return Change::nothing(self);
        }
        self.state = state;
        self.until_ms = until_ms;
        self.version += 1;
        Change { reservation: self, effect, is_new: true }
    }
}

/// What a step leads to: the reservation after it, and what must happen to stock with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The reservation after the step.
    pub reservation: Reservation,
    /// What the step does to the stock of each of its lines.
    pub effect: StockEffect,
    /// Whether anything is to be stored; not so when a step is repeated.
    pub is_new: bool,
}

impl Change {
    fn nothing(reservation: Reservation) -> Change {
        Change { reservation, effect: StockEffect::None, is_new: false }
    }
}

fn on_time(not_after_ms: Option<i64>, now_ms: i64) -> Result<(), Illegal> {
    match not_after_ms {
        Some(not_after_ms) if now_ms > not_after_ms => Err(Illegal::TooLate),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Line;

    fn hold() -> Hold {
        Hold {
            reservation_id: Uuid::from_u128(1),
            order_id: Uuid::from_u128(2),
            lines: vec![Line { product_id: Uuid::from_u128(3), quantity: 4 }],
            hold_ms: 1_000,
            not_after_ms: Some(5_000),
        }
    }

    fn release(undoes_not_after_ms: Option<i64>) -> Release {
        Release {
            reservation_id: Uuid::from_u128(1),
            order_id: Uuid::nil(),
            reason: String::new(),
            undoes_not_after_ms,
        }
    }

    #[test]
    fn a_do_is_refused_after_its_time_but_its_repeat_is_answered() {
        assert_eq!(hold().on(None, 5_001), Err(Illegal::TooLate));
        let held = hold().on(None, 5_000).unwrap().reservation;
        assert_eq!(hold().on(Some(held.clone()), 9_000).unwrap().reservation, held);
        let late = held.clone().commit(Some(8_000), 9_000);
        assert_eq!(late, Err(Illegal::TooLate));
        let sold = held.commit(Some(9_000), 9_000).unwrap().reservation;
        assert!(!sold.commit(Some(8_000), 9_000).unwrap().is_new);
    }

    #[test]
    fn the_same_id_for_something_else_is_refused() {
        let held = hold().on(None, 0).unwrap().reservation;
        let other_order = Hold { order_id: Uuid::from_u128(9), ..hold() };
        assert_eq!(other_order.on(Some(held.clone()), 0), Err(Illegal::Reused));
        let other_lines = Hold { lines: Vec::new(), ..hold() };
        assert_eq!(other_lines.on(Some(held), 0), Err(Illegal::Reused));
    }

    #[test]
    fn extending_never_shortens() {
        let held = hold().on(None, 0).unwrap().reservation;
        assert!(!held.clone().extend(10, 500).unwrap().is_new);
        assert_eq!(held.extend(1_000, 500).unwrap().reservation.until_ms, 1_500);
    }

    #[test]
    fn a_tombstone_outlives_the_late_do() {
        let stone = release(Some(5_000)).on(None, 0).unwrap().reservation;
        assert_eq!(stone.until_ms, 5_000 + TOMBSTONE_MARGIN_MS);
        assert_eq!(hold().on(Some(stone.clone()), 1), Err(Illegal::Undone));
        let forever = release(None).on(Some(stone), 1).unwrap().reservation;
        assert_eq!(forever.until_ms, i64::MAX);
        let still = release(Some(1)).on(Some(forever.clone()), 1).unwrap();
        assert_eq!((still.reservation, still.is_new), (forever, false));
    }

    #[test]
    fn every_stored_change_is_a_new_version() {
        let held = hold().on(None, 0).unwrap().reservation;
        let expired = held.expire().unwrap().reservation;
        let again = expired.extend(10, 2_000).unwrap();
        assert_eq!((again.effect, again.reservation.until_ms), (StockEffect::Hold, 2_010));
        let sold = again.reservation.commit(None, 2_000).unwrap();
        assert_eq!(sold.effect, StockEffect::Take);
        let back = release(None).on(Some(sold.reservation), 2_000).unwrap();
        assert_eq!((back.effect, back.reservation.version), (StockEffect::PutBack, 5));
    }
}
