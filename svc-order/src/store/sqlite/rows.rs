//! Orders and timeline entries as rows, both ways.

use rusqlite::{Connection, OptionalExtension, Row, params};
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::Error;
use crate::domain::{Cancellation, Entry, Order, Parcel, Shipment, State};
use crate::store::details::Details;

/// The columns that [`read_order`] expects, in its order.
pub(super) const ORDER_COLUMNS: &str = "order_id, user_id, state, version, currency, total_minor, \
     email, cart_version, details, payment_id, carrier, tracking_number, shipped_at_ms, \
     delivered_at_ms, cancel_reason, cancel_note, created_at_ms, updated_at_ms";

/// Adds a new order.
pub(super) fn insert_order(connection: &Connection, order: &Order) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO orders (order_id, user_id, state, version, currency, total_minor, email,
             cart_version, details, created_at_ms, updated_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        order.id.as_bytes(),
        order.user_id.as_bytes(),
        order.state.number(),
        to_i64(order.version)?,
        order.total.currency.code(),
        order.total.minor,
        order.email,
        order.cart_version.map(to_i64).transpose()?,
        encode(&Details::of(order))?,
        order.created_at_ms,
        order.updated_at_ms,
    ])?;
    Ok(())
}

/// Writes what a change may have changed.
pub(super) fn update_order(connection: &Connection, order: &Order) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "UPDATE orders SET state = ?2, version = ?3, payment_id = ?4, carrier = ?5,
             tracking_number = ?6, shipped_at_ms = ?7, delivered_at_ms = ?8, cancel_reason = ?9,
             cancel_note = ?10, updated_at_ms = ?11
         WHERE order_id = ?1 AND version = ?3 - 1",
    )?;
    let parcel = order.parcel.as_ref();
    let cancellation = order.cancellation.as_ref();
    let changed = statement.execute(params![
        order.id.as_bytes(),
        order.state.number(),
        to_i64(order.version)?,
        order.payment_id.as_ref().map(Uuid::as_bytes),
        parcel.map(|parcel| &parcel.shipment.carrier),
        parcel.map(|parcel| &parcel.shipment.tracking_number),
        parcel.map(|parcel| parcel.shipped_at_ms),
        parcel.and_then(|parcel| parcel.delivered_at_ms),
        cancellation.map(|cancellation| &cancellation.reason),
        cancellation.map(|cancellation| &cancellation.note),
        order.updated_at_ms,
    ])?;
    if changed == 1 { Ok(()) } else { Err(Error::corrupt("order", "changed under its writer")) }
}

/// Adds a timeline entry.
pub(super) fn insert_entry(
    connection: &Connection,
    order_id: Uuid,
    entry: &Entry,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO order_entry (order_id, version, state, at_ms, reason, note, actor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        order_id.as_bytes(),
        to_i64(entry.version)?,
        entry.state.number(),
        entry.at_ms,
        entry.reason,
        entry.note,
        entry.actor,
    ])?;
    Ok(())
}

/// The order with this id.
pub(super) fn find_order(connection: &Connection, order_id: Uuid) -> Result<Order, Error> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {ORDER_COLUMNS} FROM orders WHERE order_id = ?1"))?;
    statement
        .query_row([order_id.as_bytes()], |row| Ok(read_order(row)))
        .optional()?
        .ok_or(Error::OrderNotFound(order_id))?
}

/// Timeline entries after a version, oldest first.
pub(super) fn find_entries(
    connection: &Connection,
    order_id: Uuid,
    after_version: u64,
) -> Result<Vec<Entry>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT version, state, at_ms, reason, note, actor FROM order_entry
         WHERE order_id = ?1 AND version > ?2 ORDER BY version",
    )?;
    // A version beyond i64 cannot exist: nothing comes after it.
    let after = i64::try_from(after_version).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![order_id.as_bytes(), after], |row| Ok(read_entry(row)))?
        .collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().collect()
}

/// An order from a row of [`ORDER_COLUMNS`].
pub(super) fn read_order(row: &Row<'_>) -> Result<Order, Error> {
    let currency = Currency::from_code(row.get_ref(4)?.as_str().map_err(column)?)
        .map_err(|problem| Error::corrupt("order currency", problem))?;
    let details: Details = serde_json::from_str(row.get_ref(8)?.as_str().map_err(column)?)
        .map_err(|problem| Error::corrupt("order details", problem))?;
    let (lines, address) = details.into_parts(currency);
    let cancellation = match (row.get(14)?, row.get(15)?) {
        (Some(reason), Some(note)) => Some(Cancellation { reason, note }),
        _ => None,
    };
    Ok(Order {
        id: Uuid::from_bytes(row.get(0)?),
        user_id: Uuid::from_bytes(row.get(1)?),
        state: read_state(row, 2)?,
        version: to_u64(row.get(3)?)?,
        lines,
        total: Money::new(row.get(5)?, currency),
        address,
        email: row.get(6)?,
        cart_version: row.get::<_, Option<i64>>(7)?.map(to_u64).transpose()?,
        payment_id: row.get::<_, Option<[u8; 16]>>(9)?.map(Uuid::from_bytes),
        parcel: read_parcel(row)?,
        cancellation,
        created_at_ms: row.get(16)?,
        updated_at_ms: row.get(17)?,
    })
}

fn read_parcel(row: &Row<'_>) -> Result<Option<Parcel>, Error> {
    let columns = (row.get(10)?, row.get(11)?, row.get(12)?);
    let (Some(carrier), Some(tracking_number), Some(shipped_at_ms)) = columns else {
        return Ok(None);
    };
    let shipment = Shipment { carrier, tracking_number };
    Ok(Some(Parcel { shipment, shipped_at_ms, delivered_at_ms: row.get(13)? }))
}

fn read_entry(row: &Row<'_>) -> Result<Entry, Error> {
    Ok(Entry {
        version: to_u64(row.get(0)?)?,
        state: read_state(row, 1)?,
        at_ms: row.get(2)?,
        reason: row.get(3)?,
        note: row.get(4)?,
        actor: row.get(5)?,
    })
}

fn encode(details: &Details) -> Result<String, Error> {
    serde_json::to_string(details).map_err(|problem| Error::corrupt("order details", problem))
}

fn read_state(row: &Row<'_>, column: usize) -> Result<State, Error> {
    let number = row.get(column)?;
    State::from_number(number).ok_or_else(|| Error::corrupt("order state", number))
}

fn column(problem: impl std::fmt::Display) -> Error {
    Error::corrupt("order row", problem)
}

fn to_i64(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|problem| Error::corrupt("order version", problem))
}

fn to_u64(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|problem| Error::corrupt("order version", problem))
}
