//! The arithmetic of one product's stock: what lies on the shelf, and how much of it is promised.

/// The most units of one product that a correction may lead to; keeps every sum far from overflow.
pub const MAX_ON_HAND: i64 = 1_000_000_000;

/// How much of one product there is. Always `0 ≤ reserved ≤ on_hand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    on_hand: i64,
    reserved: i64,
}

/// The stock of one product as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inventory {
    /// Whose it is.
    pub product_id: uuid::Uuid,
    /// How much there is.
    pub stock: Stock,
    /// Rises by one with each change of the stock, from 1.
    pub version: i64,
    /// When it last changed, in unix milliseconds.
    pub updated_at_ms: i64,
}

/// Why a change of stock was refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fewer units are free than were asked for.
    #[error("only {available} available")]
    SoldOut {
        /// Units that could have been had.
        available: i64,
    },
    /// A correction would leave less on the shelf than is promised to open reservations.
    #[error("{reserved} of {on_hand} on hand are reserved")]
    BelowReserved {
        /// Units on the shelf now.
        on_hand: i64,
        /// Units promised now.
        reserved: i64,
    },
    /// The shelf would hold more than [`MAX_ON_HAND`].
    #[error("more than {MAX_ON_HAND} units of one product")]
    TooMany,
    /// More would be given back or taken than is promised: the books do not add up.
    #[error("{reserved} reserved, {quantity} to be taken off")]
    NotReserved {
        /// Units promised now.
        reserved: i64,
        /// Units that were to be taken off.
        quantity: i64,
    },
}

impl Stock {
    /// A stock as it was stored. `None` if the numbers break the invariant.
    pub fn new(on_hand: i64, reserved: i64) -> Option<Stock> {
        (0 <= reserved && reserved <= on_hand).then_some(Stock { on_hand, reserved })
    }

    /// Units on the shelf, promised ones included.
    pub fn on_hand(self) -> i64 {
        self.on_hand
    }

    /// Units promised to reservations that are held.
    pub fn reserved(self) -> i64 {
        self.reserved
    }

    /// Units that a new reservation could have.
    pub fn available(self) -> i64 {
        self.on_hand - self.reserved
    }

    /// Promises `quantity` units.
    pub fn hold(self, quantity: u32) -> Result<Stock, Refusal> {
        if self.available() < i64::from(quantity) {
            return Err(Refusal::SoldOut { available: self.available() });
        }
        Ok(Stock { reserved: self.reserved + i64::from(quantity), ..self })
    }

    /// Gives up a promise of `quantity` units: they are available again.
    pub fn free(self, quantity: u32) -> Result<Stock, Refusal> {
        Ok(Stock { reserved: self.less_reserved(quantity)?, ..self })
    }

    /// Keeps a promise: `quantity` units leave the shelf.
    pub fn take(self, quantity: u32) -> Result<Stock, Refusal> {
        let reserved = self.less_reserved(quantity)?;
        Ok(Stock { on_hand: self.on_hand - i64::from(quantity), reserved })
    }

    /// Puts `quantity` sold units back onto the shelf. An undo must not fail, so this does not stop
    /// at [`MAX_ON_HAND`].
    pub fn put_back(self, quantity: u32) -> Result<Stock, Refusal> {
        let on_hand = self.on_hand.checked_add(i64::from(quantity)).ok_or(Refusal::TooMany)?;
        Ok(Stock { on_hand, ..self })
    }

    /// Corrects what is on the shelf by `delta` units, never below what is promised.
    pub fn adjust(self, delta: i64) -> Result<Stock, Refusal> {
        let on_hand = self.on_hand.checked_add(delta).ok_or(Refusal::TooMany)?;
        if on_hand > MAX_ON_HAND {
            return Err(Refusal::TooMany);
        }
        if on_hand < self.reserved {
            return Err(Refusal::BelowReserved { on_hand: self.on_hand, reserved: self.reserved });
        }
        Ok(Stock { on_hand, ..self })
    }

    fn less_reserved(self, quantity: u32) -> Result<i64, Refusal> {
        let quantity = i64::from(quantity);
        if quantity > self.reserved {
            return Err(Refusal::NotReserved { reserved: self.reserved, quantity });
        }
        Ok(self.reserved - quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(on_hand: i64, reserved: i64) -> Stock {
        Stock::new(on_hand, reserved).unwrap()
    }

    #[test]
    fn holds_until_nothing_is_left() {
        let held = stock(5, 0).hold(3).unwrap();
        assert_eq!(held.available(), 2);
        assert_eq!(held.hold(3), Err(Refusal::SoldOut { available: 2 }));
        assert_eq!(held.hold(2).unwrap().available(), 0);
    }

    #[test]
    fn free_and_take_need_a_promise() {
        let held = stock(5, 2);
        assert_eq!(held.free(2).unwrap(), stock(5, 0));
        assert_eq!(held.take(2).unwrap(), stock(3, 0));
        assert_eq!(held.take(3), Err(Refusal::NotReserved { reserved: 2, quantity: 3 }));
        assert_eq!(held.free(3), Err(Refusal::NotReserved { reserved: 2, quantity: 3 }));
    }

    #[test]
    fn correction_stops_at_what_is_promised_and_at_the_maximum() {
        let held = stock(5, 2);
        assert_eq!(held.adjust(-3).unwrap(), stock(2, 2));
        assert_eq!(held.adjust(-4), Err(Refusal::BelowReserved { on_hand: 5, reserved: 2 }));
        assert_eq!(held.adjust(MAX_ON_HAND), Err(Refusal::TooMany));
        assert_eq!(held.adjust(i64::MAX), Err(Refusal::TooMany));
        assert_eq!(held.adjust(i64::MIN), Err(Refusal::BelowReserved { on_hand: 5, reserved: 2 }));
    }

    #[test]
    fn broken_numbers_are_not_a_stock() {
        assert_eq!(Stock::new(1, 2), None);
        assert_eq!(Stock::new(-1, -1), None);
    }
}
