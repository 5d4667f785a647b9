//! What an order costs, decided by the server alone: pure, checked, in minor units.

use std::collections::BTreeMap;

use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::domain::Line;

/// How many different products one order may hold.
pub const MAX_LINES: usize = 100;
/// How many of one product one order may hold.
pub const MAX_QUANTITY: u32 = 1_000;

/// What the customer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The product.
    pub product_id: Uuid,
    /// How many.
    pub quantity: u32,
}

/// What the catalog says of one product right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The shop's article number.
    pub sku: String,
    /// The product's name.
    pub name: String,
    /// URL path of its picture; may be empty.
    pub picture: String,
    /// The price of one.
    pub unit_price: Money,
    /// How many can be held right now.
    pub available: u64,
}

/// A priced order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// One line per product, ordered by product id: equal wishes are priced into equal orders.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Money,
}

/// Why a wish cannot be priced into an order; nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No lines at all.
    #[error("there is nothing in the cart")]
    CartEmpty,
    /// More than [`MAX_LINES`] products.
    #[error("an order holds at most {MAX_LINES} different products, not {0}")]
    TooManyLines(usize),
    /// A quantity of zero, or more than [`MAX_QUANTITY`] of one product over all its lines.
    #[error("the quantity of product {0} must be between 1 and {MAX_QUANTITY}")]
    Quantity(Uuid),
    /// Products that the catalog does not sell.
    #[error("not sold here: {}", join(.0))]
    ProductNotFound(Vec<Uuid>),
    /// A product is priced in another currency than the order's.
    #[error("product {product_id} is sold in {sold_in}, not in {asked}")]
    WrongCurrency {
        /// The product.
        product_id: Uuid,
        /// The currency that the catalog sells it in.
        sold_in: Currency,
        /// The currency that the order asks for.
        asked: Currency,
    },
    /// Fewer are left than asked for.
    #[error("sold out: {}", join(.0))]
    SoldOut(Vec<Uuid>),
    /// The total that the customer agreed to is not what it costs now.
    #[error("the total is now {total}, not {expected}")]
    PriceChanged {
        /// What it costs now.
        total: Money,
        /// What the customer expected.
        expected: Money,
    },
    /// The sum leaves the range of money.
    #[error("the total is too large")]
    TooLarge,
}

pub(crate) fn join(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

/// The lines of a wish as one quantity per product.
///
/// # Errors
/// [`Refusal::CartEmpty`], [`Refusal::TooManyLines`], [`Refusal::Quantity`].
pub fn merge(wanted: &[Wanted]) -> Result<Vec<Wanted>, Refusal> {
    let mut merged: BTreeMap<Uuid, u32> = BTreeMap::new();
    for line in wanted {
        let quantity = merged.entry(line.product_id).or_default();
        *quantity = quantity.saturating_add(line.quantity);
        if line.quantity == 0 || *quantity > MAX_QUANTITY {
            return Err(Refusal::Quantity(line.product_id));
        }
    }
    match merged.len() {
        0 => Err(Refusal::CartEmpty),
        1..=MAX_LINES => Ok(merged
            .into_iter()
            .map(|(product_id, quantity)| Wanted { product_id, quantity })
            .collect()),
        more => Err(Refusal::TooManyLines(more)),
    }
}

/// Prices `wanted` (as [`merge`] left it) by what the catalog offers.
///
/// `expected` is the total that the customer saw and agreed to, when they sent one. Refusals are
/// judged from the wish to the price: unknown products, then currency, then price, then stock.
///
/// # Errors
/// A [`Refusal`]; nothing is priced in part.
pub fn price(
    wanted: &[Wanted],
    offers: &BTreeMap<Uuid, Offer>,
    currency: Currency,
    expected: Option<Money>,
) -> Result<Priced, Refusal> {
    let unknown: Vec<Uuid> = wanted
        .iter()
        .map(|line| line.product_id)
        .filter(|product_id| !offers.contains_key(product_id))
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::ProductNotFound(unknown));
    }
    let mut total = Money::zero(currency);
    let mut lines = Vec::with_capacity(wanted.len());
    let mut sold_out = Vec::new();
    for Wanted { product_id, quantity } in wanted.iter().copied() {
        let offer = &offers[&product_id];
        if offer.unit_price.currency != currency {
            let sold_in = offer.unit_price.currency;
            return Err(Refusal::WrongCurrency { product_id, sold_in, asked: currency });
        }
        if offer.available < u64::from(quantity) {
            sold_out.push(product_id);
        }
        let unit_price = offer.unit_price;
        let subtotal = unit_price.checked_mul(quantity).map_err(|_| Refusal::TooLarge)?;
        total = total.checked_add(subtotal).map_err(|_| Refusal::TooLarge)?;
        lines.push(Line {
            product_id,
            sku: offer.sku.clone(),
            name: offer.name.clone(),
            picture: offer.picture.clone(),
            quantity,
            unit_price,
            subtotal,
        });
    }
    if let Some(expected) = expected.filter(|expected| *expected != total) {
        return Err(Refusal::PriceChanged { total, expected });
    }
    if !sold_out.is_empty() {
        return Err(Refusal::SoldOut(sold_out));
    }
    Ok(Priced { lines, total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u8) -> Uuid {
        Uuid::from_u128(u128::from(number))
    }

    fn wanted(number: u8, quantity: u32) -> Wanted {
        Wanted { product_id: id(number), quantity }
    }

    fn offers(prices: &[(u8, i64, Currency, u64)]) -> BTreeMap<Uuid, Offer> {
        let offer = |&(number, minor, currency, available): &(u8, i64, Currency, u64)| {
            let (sku, name, picture) = Default::default();
            let unit_price = Money::new(minor, currency);
            (id(number), Offer { sku, name, picture, unit_price, available })
        };
        prices.iter().map(offer).collect()
    }

    fn judged(wanted: &[Wanted], offers: &BTreeMap<Uuid, Offer>) -> Result<Priced, Refusal> {
        price(wanted, offers, Currency::EUR, None)
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_what_was_asked_for(
            lines in prop::collection::vec((0..20_u8, 1..20_u32), 1..40),
            prices in prop::collection::vec(0..1_000_000_i64, 20),
        ) {
            let wishes: Vec<Wanted> = lines.iter().map(|(n, quantity)| wanted(*n, *quantity)).collect();
            let offers: Vec<_> =
                (0..20_u8).zip(&prices).map(|(n, minor)| (n, *minor, Currency::EUR, 10_000)).collect();
            let priced = judged(&merge(&wishes).unwrap(), &self::offers(&offers)).unwrap();
            let sum: i64 = lines.iter().map(|(n, quantity)| prices[usize::from(*n)] * i64::from(*quantity)).sum();
            prop_assert_eq!(priced.total, Money::new(sum, Currency::EUR));
            let products = priced.lines.iter().map(|line| line.product_id);
            prop_assert!(products.is_sorted_by(|a, b| a < b), "one line per product, in order");
        }
    }

    #[test]
    fn quantities_are_bounded_also_over_several_lines() {
        assert_eq!(merge(&[]), Err(Refusal::CartEmpty));
        assert_eq!(merge(&[wanted(1, 0)]), Err(Refusal::Quantity(id(1))));
        assert_eq!(merge(&[wanted(1, MAX_QUANTITY), wanted(1, 1)]), Err(Refusal::Quantity(id(1))));
        assert_eq!(merge(&[wanted(1, u32::MAX), wanted(1, 1)]), Err(Refusal::Quantity(id(1))));
        let many: Vec<Wanted> = (0..=100).map(|number| wanted(number, 1)).collect();
        assert_eq!(merge(&many), Err(Refusal::TooManyLines(101)));
    }

    #[test]
    fn refusals_name_what_is_in_the_way() {
        let shelf = offers(&[(1, 250, Currency::EUR, 5), (2, 100, Currency::USD, 5)]);
        let unknown = judged(&[wanted(1, 1), wanted(8, 1), wanted(9, 1)], &shelf);
        assert_eq!(unknown, Err(Refusal::ProductNotFound(vec![id(8), id(9)])));
        let dollars = judged(&[wanted(2, 1)], &shelf);
        let (sold_in, asked) = (Currency::USD, Currency::EUR);
        assert_eq!(dollars, Err(Refusal::WrongCurrency { product_id: id(2), sold_in, asked }));
        assert_eq!(judged(&[wanted(1, 6)], &shelf), Err(Refusal::SoldOut(vec![id(1)])));
        let (total, expected) = (Money::new(500, Currency::EUR), Money::new(499, Currency::EUR));
        let changed = price(&[wanted(1, 2)], &shelf, Currency::EUR, Some(expected));
        assert_eq!(changed, Err(Refusal::PriceChanged { total, expected }));
    }

    #[test]
    fn a_sum_beyond_counting_is_refused() {
        let dear = offers(&[(1, i64::MAX, Currency::EUR, 9), (2, 1, Currency::EUR, 9)]);
        assert_eq!(judged(&[wanted(1, 2)], &dear), Err(Refusal::TooLarge));
        assert_eq!(judged(&[wanted(1, 1), wanted(2, 1)], &dear), Err(Refusal::TooLarge));
    }
}
