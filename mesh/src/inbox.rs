//! What consumers of events have seen, so that an event delivered twice, or late, acts once.
//!
//! Both checks belong into the same write as what the event causes: then they are as durable as
//! that is. What was seen is kept for [`KEPT_S`] and forgotten little by little afterwards, by
//! the writes themselves; an event that comes again after that (only a dead letter replayed very
//! late can) counts as new.

use rusqlite::{Connection, OptionalExtension, params};

/// How long what was seen is kept, in seconds: 30 days.
pub const KEPT_S: i64 = 30 * 24 * 60 * 60;
/// One write in so many forgets.
const PRUNE_EVERY: i64 = 64;
/// Most rows that one pruning looks at; more than [`PRUNE_EVERY`], so that it keeps up.
const PRUNE_STEP: i64 = 128;

/// Whether this consumer sees the event for the first time; remembers it.
///
/// # Errors
/// Those of SQLite.
pub fn first_time(
    connection: &Connection,
    consumer: &str,
    event_id: &str,
) -> rusqlite::Result<bool> {
    let rows = connection
        .prepare_cached(
            "INSERT INTO inbox_event (consumer, event_id, seen_at_s)
             VALUES (?1, ?2, unixepoch()) ON CONFLICT DO NOTHING",
        )?
        .execute([consumer, event_id])?;
    if rows == 1 && connection.last_insert_rowid() % PRUNE_EVERY == 0 {
        prune(connection)?;
    }
    Ok(rows == 1)
}

/// Whether `version` is newer than what this consumer has seen of the aggregate; remembers it if
/// so. Versions may have gaps; an equal one is not newer.
///
/// # Errors
/// Those of SQLite.
pub fn is_newer(
    connection: &Connection,
    consumer: &str,
    aggregate_id: &str,
    version: i64,
) -> rusqlite::Result<bool> {
    let known: Option<i64> = connection
        .prepare_cached(
            "SELECT version FROM inbox_version WHERE consumer = ?1 AND aggregate_id = ?2",
        )?
        .query_row([consumer, aggregate_id], |row| row.get(0))
        .optional()?;
    if known.is_some_and(|known| known >= version) {
        return Ok(false);
    }
    // REPLACE gives the row a new rowid: rowids stay in the order of the last sight.
    connection
        .prepare_cached(
            "REPLACE INTO inbox_version (consumer, aggregate_id, version, seen_at_s)
             VALUES (?1, ?2, ?3, unixepoch())",
        )?
        .execute(params![consumer, aggregate_id, version])?;
    if connection.last_insert_rowid() % PRUNE_EVERY == 0 {
        prune(connection)?;
    }
    Ok(true)
}

/// Forgets some of what has been kept for long enough; returns how many rows. Called by the
/// checks themselves; wall-clock time, as no decision of the shop hangs on it.
///
/// # Errors
/// Those of SQLite.
pub fn prune(connection: &Connection) -> rusqlite::Result<usize> {
    let events = connection
        .prepare_cached(
            "DELETE FROM inbox_event WHERE rowid IN (
                SELECT rowid FROM (
                    SELECT rowid, seen_at_s FROM inbox_event ORDER BY rowid LIMIT ?1
                ) WHERE seen_at_s < unixepoch() - ?2
            )",
        )?
        .execute([PRUNE_STEP, KEPT_S])?;
    let versions = connection
        .prepare_cached(
            "DELETE FROM inbox_version WHERE rowid IN (
                SELECT rowid FROM (
                    SELECT rowid, seen_at_s FROM inbox_version ORDER BY rowid LIMIT ?1
                ) WHERE seen_at_s < unixepoch() - ?2
            )",
        )?
        .execute([PRUNE_STEP, KEPT_S])?;
    Ok(events + versions)
}
