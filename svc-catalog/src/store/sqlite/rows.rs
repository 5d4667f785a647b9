//! How domain values are written in columns.

use rusqlite::Row;
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::domain::{Category, Inventory, Line, Listed, Product, Reservation, State, Stock};
use crate::error::Error;
use crate::store::states;

/// A statement that reads what [`listed`] needs, of product `p` and stock `s`.
macro_rules! select_listed {
    ($rest:literal) => {
        concat!(
            "SELECT p.product_id, p.sku, p.name, p.description, p.category_id, p.price_minor,
                p.currency, p.picture, p.archived, p.version, p.created_at_ms, p.updated_at_ms,
                s.on_hand - s.reserved
             FROM product p JOIN stock s USING (product_id) ",
            $rest
        )
    };
}
pub(super) use select_listed;

/// A product and its available pieces, from `select_listed!`.
pub(super) fn listed(row: &Row<'_>) -> Result<Listed, Error> {
    let code: String = row.get(6)?;
    let currency = Currency::from_code(&code).map_err(|error| damaged(&error.to_string()))?;
    let product = Product {
        id: id(row, 0)?,
        sku: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        category_id: id(row, 4)?,
        price: Money::new(row.get(5)?, currency),
        picture: row.get(7)?,
        archived: row.get(8)?,
        version: row.get(9)?,
        created_at_ms: row.get(10)?,
        updated_at_ms: row.get(11)?,
    };
    Ok(Listed { product, available: row.get(12)? })
}

/// A category, from `category_id, slug, name, parent_id, created_at_ms`.
pub(super) fn category(row: &Row<'_>) -> Result<Category, Error> {
    let parent: Option<[u8; 16]> = row.get(3)?;
    Ok(Category {
        id: id(row, 0)?,
        slug: row.get(1)?,
        name: row.get(2)?,
        parent_id: parent.map(Uuid::from_bytes),
        created_at_ms: row.get(4)?,
    })
}

/// The stock of a product, from `on_hand, reserved, version, updated_at_ms`.
pub(super) fn inventory(row: &Row<'_>, product_id: Uuid) -> Result<Inventory, Error> {
    let (on_hand, reserved) = (row.get(0)?, row.get(1)?);
    let stock = Stock::new(on_hand, reserved).ok_or_else(|| {
        damaged(&format!("product {product_id}: {on_hand} on hand, {reserved} reserved"))
    })?;
    Ok(Inventory { product_id, stock, version: row.get(2)?, updated_at_ms: row.get(3)? })
}

/// A reservation, from `reservation_id, order_id, lines, state, until_ms, version`.
pub(super) fn reservation(row: &Row<'_>) -> Result<Reservation, Error> {
    Ok(Reservation {
        id: id(row, 0)?,
        order_id: id(row, 1)?,
        lines: lines(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?,
        state: state(row.get(3)?)?,
        until_ms: row.get(4)?,
        version: row.get(5)?,
    })
}

fn id(row: &Row<'_>, column: usize) -> Result<Uuid, Error> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(Uuid::from_bytes(bytes))
}

const LINE_BYTES: usize = 20;

/// Lines in the form of the column `lines`.
pub(super) fn line_bytes(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.len() * LINE_BYTES);
    for line in lines {
        bytes.extend_from_slice(line.product_id.as_bytes());
        bytes.extend_from_slice(&line.quantity.to_be_bytes());
    }
    bytes
}

fn lines(bytes: &[u8]) -> Result<Vec<Line>, Error> {
    let (whole, rest) = bytes.as_chunks::<LINE_BYTES>();
    if !rest.is_empty() {
        return Err(damaged("lines of a reservation"));
    }
    let line = |bytes: &[u8; LINE_BYTES]| {
        let (product_id, quantity) = bytes.split_at(16);
        Line {
            product_id: Uuid::from_slice(product_id).expect("16 bytes"),
            quantity: u32::from_be_bytes(quantity.try_into().expect("4 bytes")),
        }
    };
    Ok(whole.iter().map(line).collect())
}

fn state(number: i64) -> Result<State, Error> {
    states::of_number(number).ok_or_else(|| damaged(&format!("reservation state {number}")))
}

fn damaged(what: &str) -> Error {
    Error::Damaged(what.to_owned())
}
