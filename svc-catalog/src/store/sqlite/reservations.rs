//! The reservation table. What may happen is decided in the domain; this reads, applies and writes.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{Write, inventory, rows};
use crate::domain::{Change, Hold, Inventory, Release, Reservation, StockEffect};
use crate::error::Error;
use crate::events;
use crate::store::{refusals, states};

/// The reason in the event of a hold that the sweeper ended.
const EXPIRED: &str = "expired";

const DUE_HOLDS: &str = "SELECT reservation_id, order_id, lines, state, until_ms, version
    FROM reservation WHERE state = 1 AND until_ms <= ?1 ORDER BY until_ms LIMIT ?2";
const FORGET_TOMBSTONES: &str = "DELETE FROM reservation WHERE rowid IN
    (SELECT rowid FROM reservation WHERE state = 5 AND until_ms <= ?1 LIMIT ?2)";

pub(super) fn reserve(write: &Write<'_>, hold: Hold) -> Result<Reservation, Error> {
    let id = hold.reservation_id;
    let known = find(write.connection, id)?;
    let change = hold.on(known, write.now_ms).map_err(|illegal| refusals::of_step(illegal, id))?;
    apply(write, change, "")
}

pub(super) fn extend(write: &Write<'_>, id: Uuid, hold_ms: i64) -> Result<Reservation, Error> {
    let known = find(write.connection, id)?.ok_or(Error::ReservationNotFound(id))?;
    let change =
        known.extend(hold_ms, write.now_ms).map_err(|illegal| refusals::of_step(illegal, id))?;
    apply(write, change, "").map_err(|error| refusals::not_had_again(error, id))
}

pub(super) fn commit(
    write: &Write<'_>,
    id: Uuid,
    not_after_ms: Option<i64>,
) -> Result<Reservation, Error> {
    let known = find(write.connection, id)?.ok_or(Error::ReservationNotFound(id))?;
    let change = known.commit(not_after_ms, write.now_ms);
    let change = change.map_err(|illegal| refusals::of_step(illegal, id))?;
    apply(write, change, "").map_err(|error| refusals::not_had_again(error, id))
}

pub(super) fn release(write: &Write<'_>, release: &Release) -> Result<Reservation, Error> {
    let id = release.reservation_id;
    let known = find(write.connection, id)?;
    let change =
        release.on(known, write.now_ms).map_err(|illegal| refusals::of_step(illegal, id))?;
    apply(write, change, &release.reason)
}

/// Ends holds whose time is over, oldest first.
pub(super) fn expire_holds(write: &Write<'_>, limit: usize) -> Result<usize, Error> {
    let due = due(write, limit)?;
    let count = due.len();
    for reservation in due {
        let id = reservation.id;
        let change = reservation.expire().map_err(|illegal| refusals::of_step(illegal, id))?;
        apply(write, change, EXPIRED)?;
    }
    Ok(count)
}

pub(super) fn forget_tombstones(write: &Write<'_>, limit: usize) -> Result<usize, Error> {
    let forgotten = write
        .connection
        .prepare_cached(FORGET_TOMBSTONES)?
        .execute(params![write.now_ms, limit as i64])?;
    Ok(forgotten)
}

fn find(connection: &Connection, id: Uuid) -> Result<Option<Reservation>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT reservation_id, order_id, lines, state, until_ms, version
         FROM reservation WHERE reservation_id = ?1",
    )?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(rows::reservation).transpose()
}

fn due(write: &Write<'_>, limit: usize) -> Result<Vec<Reservation>, Error> {
    let mut statement = write.connection.prepare_cached(DUE_HOLDS)?;
    statement.query_and_then(params![write.now_ms, limit as i64], rows::reservation)?.collect()
}

/// Moves the stock of every line, writes the reservation and tells of it. An error undoes all of it.
fn apply(write: &Write<'_>, change: Change, reason: &str) -> Result<Reservation, Error> {
    let Change { reservation, effect, is_new } = change;
    if !is_new {
        return Ok(reservation);
    }
    if effect != StockEffect::None {
        let inventories = move_stock(write, &reservation, effect)?;
        let event =
            events::inventory_changed(&reservation, effect, &inventories, reason, write.now_ms);
        event.map_or(Ok(()), |event| write.emit(event))?;
    }
    put(write, &reservation)?;
    Ok(reservation)
}

fn move_stock(
    write: &Write<'_>,
    reservation: &Reservation,
    effect: StockEffect,
) -> Result<Vec<Inventory>, Error> {
    let moved = reservation.lines.iter().map(|line| {
        let arithmetic = |stock| effect.apply(stock, line.quantity);
        inventory::change(write, line.product_id, arithmetic)
            .map_err(|error| error.into_error(line.product_id, line.quantity))
    });
    moved.collect()
}

fn put(write: &Write<'_>, reservation: &Reservation) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO reservation (reservation_id, order_id, lines, state, until_ms, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (reservation_id) DO UPDATE SET
                state = excluded.state, until_ms = excluded.until_ms, version = excluded.version",
        )?
        .execute(params![
            reservation.id.as_bytes(),
            reservation.order_id.as_bytes(),
            rows::line_bytes(&reservation.lines),
            states::number(reservation.state),
            reservation.until_ms,
            reservation.version,
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan of all reservations, every second, on the one writer, would stop the shop.
    #[test]
    fn the_sweeper_walks_indexes() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        for (sql, index) in
            [(DUE_HOLDS, "reservation_held"), (FORGET_TOMBSTONES, "reservation_undone")]
        {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan = explain.query_map(params![0, 0], |row| row.get::<_, String>(3)).unwrap();
            let plan = plan.map(Result::unwrap).collect::<Vec<_>>().join("; ");
            assert!(plan.contains(&format!("INDEX {index} (until_ms<?)")), "{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE FOR ORDER"), "{plan}");
        }
    }
}
