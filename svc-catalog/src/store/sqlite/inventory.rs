//! The stock table.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{Write, products, rows};
use crate::domain::{Inventory, Refusal, Stock};
use crate::error::Error;
use crate::store::refusals;

/// The stock of one product.
pub(super) fn read(connection: &Connection, product_id: Uuid) -> Result<Inventory, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT on_hand, reserved, version, updated_at_ms FROM stock WHERE product_id = ?1",
    )?;
    let mut found = statement.query([product_id.as_bytes()])?;
    let row = found.next()?.ok_or_else(|| Error::ProductNotFound(vec![product_id]))?;
    rows::inventory(row, product_id)
}

/// Adds the stock of a new product.
pub(super) fn create(write: &Write<'_>, product_id: Uuid, on_hand: i64) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO stock (product_id, on_hand, reserved, version, updated_at_ms)
             VALUES (?1, ?2, 0, 1, ?3)",
        )?
        .execute(params![product_id.as_bytes(), on_hand, write.now_ms])?;
    Ok(())
}

/// Corrects what is on hand.
pub(super) fn adjust(write: &Write<'_>, product_id: Uuid, delta: i64) -> Result<Inventory, Error> {
    change(write, product_id, |stock| stock.adjust(delta))
        .map_err(|error| error.into_error(product_id, 0))
}

/// Why a stock was not changed.
pub(super) enum NotChanged {
    /// Its arithmetic refused.
    Refused(Refusal),
    /// Something else.
    Failed(Error),
}

impl From<Error> for NotChanged {
    fn from(error: Error) -> Self {
        NotChanged::Failed(error)
    }
}

impl From<rusqlite::Error> for NotChanged {
    fn from(error: rusqlite::Error) -> Self {
        NotChanged::Failed(error.into())
    }
}

impl NotChanged {
    /// For the caller who wanted `requested` pieces of `product_id`.
    pub(super) fn into_error(self, product_id: Uuid, requested: u32) -> Error {
        match self {
            NotChanged::Failed(error) => error,
            NotChanged::Refused(refusal) => refusals::of_stock(refusal, product_id, requested),
        }
    }
}

/// Reads a stock, changes it by the domain's arithmetic and writes it; tells the world when the last
/// piece went or the first one came back.
pub(super) fn change(
    write: &Write<'_>,
    product_id: Uuid,
    arithmetic: impl FnOnce(Stock) -> Result<Stock, Refusal>,
) -> Result<Inventory, NotChanged> {
    let before = read(write.connection, product_id)?;
    let stock = arithmetic(before.stock).map_err(NotChanged::Refused)?;
    write
        .connection
        .prepare_cached(
            "UPDATE stock SET on_hand = ?2, reserved = ?3, version = version + 1,
                updated_at_ms = ?4
             WHERE product_id = ?1",
        )?
        .execute(params![product_id.as_bytes(), stock.on_hand(), stock.reserved(), write.now_ms])?;
    if (before.stock.available() > 0) != (stock.available() > 0) {
        products::announce(write, product_id)?;
    }
    let version = before.version + 1;
    Ok(Inventory { product_id, stock, version, updated_at_ms: write.now_ms })
}
