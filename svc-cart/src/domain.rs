//! What a cart is and how it changes; knows neither gRPC nor SQL nor prices.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Products that one cart may hold.
pub const MAX_ITEMS: usize = 100;
/// Pieces of one product that a cart may hold.
pub const MAX_QUANTITY: i32 = 1_000;

/// One product in a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Made when the product came into the cart.
    pub id: Uuid,
    /// The product; once per cart.
    pub product_id: Uuid,
    /// Pieces, 1 to [`MAX_QUANTITY`].
    pub quantity: i32,
    /// The cart's version in which the product came in: what was ordered before never takes it out.
    pub since_version: i64,
}

/// A customer's cart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cart {
    /// Grows with each change, never used twice; 0 for a cart that never was.
    pub version: i64,
    /// Oldest first.
    pub items: Vec<Item>,
    /// When it dies, in unix milliseconds.
    pub expires_at_ms: i64,
}

/// Pieces of a product that were ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The product.
    pub product_id: Uuid,
    /// Pieces.
    pub quantity: i32,
}

/// A change of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// More pieces of a product, whether or not it is in the cart.
    Add {
        /// The product.
        product_id: Uuid,
        /// The item's id, should the product be new to the cart.
        item_id: Uuid,
        /// Pieces to add.
        quantity: i32,
    },
    /// Other pieces of an item; 0 takes it out.
    Set {
        /// The item.
        item_id: Uuid,
        /// Pieces from now on.
        quantity: i32,
    },
    /// Takes an item out; one that is not there is no error.
    Remove {
        /// The item.
        item_id: Uuid,
    },
    /// Takes out what was ordered from a version of the cart, and nothing that came later.
    Clear {
        /// The version that was ordered; `None` for the present one.
        version: Option<i64>,
        /// What was ordered; empty for everything that was in that version.
        lines: Vec<Ordered>,
    },
}

/// Why a change cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// There are [`MAX_ITEMS`] products in the cart already.
    #[error("a cart holds at most {MAX_ITEMS} products")]
    TooManyItems,
    /// There would be more than [`MAX_QUANTITY`] pieces of the product.
    #[error("a cart holds at most {MAX_QUANTITY} pieces of a product")]
    TooManyPieces,
    /// The cart has no such item.
    #[error("the cart has no such item")]
    NoSuchItem,
}

impl Cart {
    /// The cart at `now_ms`: an expired one is empty, though its version still counts.
    pub fn at(mut self, now_ms: i64) -> Self {
        if self.expires_at_ms <= now_ms {
            self.items.clear();
        }
        self
    }

    /// The cart after `change`, which also prolongs its life to `now_ms + lifetime_ms`.
    ///
    /// The version is at least the time, so that a cart that was forgotten entirely does not begin
    /// again with versions that an old order may name.
    pub fn apply(mut self, change: Change, now_ms: i64, lifetime_ms: i64) -> Result<Self, Illegal> {
        let version = (self.version + 1).max(now_ms);
        match change {
            Change::Add { product_id, item_id, quantity } => {
                self.add(product_id, item_id, quantity, version)?;
            }
            Change::Set { item_id, quantity: 0 } | Change::Remove { item_id } => {
                self.items.retain(|item| item.id != item_id);
            }
            Change::Set { item_id, quantity } => {
                let item = self.items.iter_mut().find(|item| item.id == item_id);
                item.ok_or(Illegal::NoSuchItem)?.quantity = within_bounds(quantity)?;
            }
            Change::Clear { version, lines } => self.clear(version.unwrap_or(i64::MAX), &lines),
        }
        self.version = version;
        self.expires_at_ms = now_ms.saturating_add(lifetime_ms);
        Ok(self)
    }

    fn add(
        &mut self,
        product_id: Uuid,
        item_id: Uuid,
        quantity: i32,
        version: i64,
    ) -> Result<(), Illegal> {
        if let Some(item) = self.items.iter_mut().find(|item| item.product_id == product_id) {
            item.quantity = within_bounds(item.quantity.saturating_add(quantity))?;
            return Ok(());
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(Illegal::TooManyItems);
        }
        let quantity = within_bounds(quantity)?;
        self.items.push(Item { id: item_id, product_id, quantity, since_version: version });
        Ok(())
    }

    fn clear(&mut self, version: i64, lines: &[Ordered]) {
        self.items.retain_mut(|item| {
            if item.since_version > version {
                return true;
            }
            let ordered = lines.iter().find(|line| line.product_id == item.product_id);
            match ordered {
                Some(line) => item.quantity -= line.quantity.min(item.quantity),
                None if lines.is_empty() => item.quantity = 0,
                None => {}
            }
            item.quantity > 0
        });
    }
}

fn within_bounds(quantity: i32) -> Result<i32, Illegal> {
    if quantity > MAX_QUANTITY { Err(Illegal::TooManyPieces) } else { Ok(quantity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn add(cart: Cart, product: u128, quantity: i32, now_ms: i64) -> Cart {
        let change = Change::Add { product_id: id(product), item_id: id(product + 100), quantity };
        cart.apply(change, now_ms, WEEK_MS).expect("within bounds")
    }

    fn clear(cart: Cart, version: i64, lines: &[(u128, i32)], now_ms: i64) -> Cart {
        let lines = lines
            .iter()
            .map(|&(product, quantity)| Ordered { product_id: id(product), quantity })
            .collect();
        cart.apply(Change::Clear { version: Some(version), lines }, now_ms, WEEK_MS).expect("legal")
    }

    fn pieces(cart: &Cart) -> Vec<(u128, i32)> {
        cart.items.iter().map(|item| (item.product_id.as_u128(), item.quantity)).collect()
    }

    #[test]
    fn an_order_takes_out_what_it_bought_and_leaves_what_came_later() {
        let ordered = add(add(Cart::default(), 1, 2, 10), 2, 1, 11);
        let version = ordered.version;
        let later = add(add(ordered, 1, 3, 12), 3, 1, 13);
        assert_eq!(pieces(&clear(later, version, &[(1, 2), (2, 1)], 14)), [(1, 3), (3, 1)]);
    }

    #[test]
    fn a_product_that_was_taken_out_and_put_back_is_not_what_was_ordered() {
        let ordered = add(Cart::default(), 1, 2, 10);
        let version = ordered.version;
        let emptied =
            ordered.apply(Change::Remove { item_id: id(101) }, 11, WEEK_MS).expect("legal");
        let again = add(emptied, 1, 2, 12);
        assert_eq!(pieces(&clear(again, version, &[(1, 2)], 13)), [(1, 2)]);
    }

    #[test]
    fn clearing_twice_is_clearing_once() {
        let ordered = add(Cart::default(), 1, 2, 10);
        let version = ordered.version;
        let once = clear(ordered, version, &[(1, 2)], 11);
        assert!(pieces(&once).is_empty());
        assert!(pieces(&clear(once, version, &[(1, 2)], 12)).is_empty());
    }

    #[test]
    fn a_cart_dies_a_week_after_its_last_change_and_never_reuses_a_version() {
        let cart = add(Cart::default(), 1, 1, 1_000);
        let version = cart.version;
        assert_eq!(pieces(&cart.clone().at(1_000 + WEEK_MS - 1)), [(1, 1)]);
        let dead = cart.at(1_000 + WEEK_MS);
        assert!(dead.items.is_empty());
        assert!(add(dead, 1, 1, 2_000).version > version);
        assert!(add(Cart::default(), 1, 1, 2_000).version > version, "even when all was forgotten");
    }

    #[test]
    fn bounds_hold() {
        let full = (0..MAX_ITEMS as u128).fold(Cart::default(), |cart, n| add(cart, n, 1, 1));
        let one_more = Change::Add { product_id: id(5_000), item_id: id(1), quantity: 1 };
        assert_eq!(full.clone().apply(one_more, 1, 1), Err(Illegal::TooManyItems));
        let too_many = Change::Add { product_id: id(0), item_id: id(1), quantity: MAX_QUANTITY };
        assert_eq!(full.clone().apply(too_many, 1, 1), Err(Illegal::TooManyPieces));
        let unknown = Change::Set { item_id: id(9_999), quantity: 1 };
        assert_eq!(full.apply(unknown, 1, 1), Err(Illegal::NoSuchItem));
    }
}
