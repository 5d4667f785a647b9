//! The statements on the embedded bus's tables. Each function is part of one write or read.

use std::collections::BTreeSet;

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, params};
use souk_proto::event::v1::Event;

use crate::bus::{
    DeadLetter, DeadLetterQuery, Error, REQUEST_LIFE_MS, Replay, Topics, aggregate_of,
};
use crate::idempotency::{self, Remembered};

/// The log is trimmed whenever a cursor has passed so many events …
const TRIM_EVERY: i64 = 256;
/// … and at most so many are deleted then; more than [`TRIM_EVERY`], so that it catches up.
const TRIM_STEP: i64 = 1024;
/// Most log entries that one fetch looks at, matching or not.
const SCANNED_EVENTS: usize = 1024;
/// Dead letters listed at once, at most.
const LISTED_DEAD_LETTERS: usize = 500;
/// Dead letters replayed at once, at most.
const REPLAYED_DEAD_LETTERS: usize = 10_000;

/// Adds events to the log.
pub(super) fn append(
    connection: &Connection,
    events: &[Event],
    most_behind: i64,
) -> Result<(), Error> {
    let mut insert =
        connection.prepare_cached("INSERT INTO event (topic, event) VALUES (?1, ?2)")?;
    for event in events {
        insert.execute(params![event.r#type, event.encode_to_vec()])?;
    }
    let head = connection.last_insert_rowid();
    let slowest: Option<(String, i64)> = connection
        .prepare_cached("SELECT name, cursor FROM queue ORDER BY cursor LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match slowest {
        Some((queue, cursor)) if head - cursor > most_behind => {
            Err(Error::Full { queue, behind: head - cursor })
        }
        _ => Ok(()),
    }
}

/// Makes a queue that is not there; it begins with the oldest event that is kept.
pub(super) fn make_queue(connection: &Connection, queue: &str) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO queue (name, cursor) VALUES (
            ?1, coalesce((SELECT min(position) - 1 FROM event),
                         (SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)
         ) ON CONFLICT DO NOTHING",
        [queue],
    )?;
    Ok(())
}

/// How far a queue has come.
pub(super) fn cursor(connection: &Connection, queue: &str) -> Result<i64, Error> {
    Ok(connection
        .prepare_cached("SELECT cursor FROM queue WHERE name = ?1")?
        .query_row([queue], |row| row.get(0))?)
}

/// A stored event on its way to a consumer.
pub(super) struct Found {
    pub position: i64,
    pub failed_attempts: u32,
    pub event: Event,
    /// Read from the log, not from the redeliveries.
    pub from_log: bool,
    /// An earlier event of its aggregate is still to be redelivered.
    pub is_behind: bool,
}

/// What one look at the tables has found.
pub(super) struct Page {
    pub found: Vec<Found>,
    /// Everything up to here was looked at.
    pub scanned_to: i64,
    /// The newest position of the log.
    pub head: i64,
}

/// Redeliveries that are due, not `in_flight`, and whose aggregate has no earlier one that is not
/// due; in order.
pub(super) fn due(
    connection: &Connection,
    queue: &str,
    now_ms: i64,
    in_flight: &BTreeSet<i64>,
    limit: usize,
) -> Result<Vec<Found>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT position, failed_attempts, event FROM redelivery AS this
         WHERE queue = ?1 AND not_before_ms <= ?2 AND NOT EXISTS (
            SELECT 1 FROM redelivery AS earlier
            WHERE earlier.queue = this.queue AND earlier.aggregate = this.aggregate
              AND earlier.position < this.position AND earlier.not_before_ms > ?2
         ) ORDER BY position LIMIT ?3",
    )?;
    let most = limit + in_flight.len();
    let mut rows = statement.query(params![queue, now_ms, most as i64])?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let position = row.get(0)?;
        if in_flight.contains(&position) {
            continue;
        }
        let event = decode(row, 2, position)?;
        let failed_attempts = row.get(1)?;
        found.push(Found { position, failed_attempts, event, from_log: false, is_behind: false });
    }
    Ok(found)
}

/// The next events of the log that match.
pub(super) fn next(
    connection: &Connection,
    queue: &str,
    topics: &Topics,
    after: i64,
    limit: usize,
) -> Result<Page, Error> {
    let head = connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM event")?
        .query_row([], |row| row.get(0))?;
    let mut page = Page { found: Vec::new(), scanned_to: after, head };
    let mut statement = connection.prepare_cached(
        "SELECT position, topic, event FROM event WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, SCANNED_EVENTS as i64])?;
    while page.found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let position = row.get(0)?;
        let topic = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if topics.matches(topic) {
            let event = decode(row, 2, position)?;
            let is_behind = is_behind(connection, queue, aggregate_of(&event))?;
            page.found.push(Found {
                position,
                failed_attempts: 0,
                event,
                from_log: true,
                is_behind,
            });
        }
        page.scanned_to = position;
    }
    Ok(page)
}

fn is_behind(connection: &Connection, queue: &str, aggregate: &str) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM redelivery WHERE queue = ?1 AND aggregate = ?2 LIMIT 1")?
        .exists([queue, aggregate])?)
}

fn decode(row: &Row<'_>, column: usize, position: i64) -> Result<Event, Error> {
    let bytes = row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?;
    Event::decode(bytes).map_err(|source| Error::Decode { position, source })
}

/// Saves how far a queue has come, and now and then trims the log.
pub(super) fn advance(
    connection: &Connection,
    queue: &str,
    from: i64,
    to: i64,
    kept_events: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE queue SET cursor = ?2 WHERE name = ?1")?
        .execute(params![queue, to])?;
    if from / TRIM_EVERY != to / TRIM_EVERY {
        connection
            .prepare_cached(
                "DELETE FROM event
                 WHERE position <= (SELECT min(cursor) FROM queue) - ?1
                   AND position < (SELECT min(position) FROM event) + ?2",
            )?
            .execute([kept_events, TRIM_STEP])?;
    }
    Ok(())
}

/// A redelivered event was acted on.
pub(super) fn done(
    connection: &Connection,
    queue: &str,
    aggregate: &str,
    position: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM redelivery WHERE queue = ?1 AND aggregate = ?2 AND position = ?3",
        )?
        .execute(params![queue, aggregate, position])?;
    Ok(())
}

/// When, and after how many failures, an event comes again.
pub(super) struct Again<'a> {
    pub aggregate: &'a str,
    pub position: i64,
    pub failed_attempts: u32,
    pub not_before_ms: i64,
    pub reason: &'a str,
}

/// Puts an event among the redeliveries, or moves it there.
pub(super) fn again(connection: &Connection, queue: &str, again: &Again<'_>) -> Result<(), Error> {
    let row = params![
        queue,
        again.aggregate,
        again.position,
        again.failed_attempts,
        again.not_before_ms,
        again.reason
    ];
    let moved = connection
        .prepare_cached(
            "UPDATE redelivery SET failed_attempts = ?4, not_before_ms = ?5, reason = ?6
             WHERE queue = ?1 AND aggregate = ?2 AND position = ?3",
        )?
        .execute(row)?;
    if moved == 0 {
        connection
            .prepare_cached(
                "INSERT INTO redelivery SELECT ?1, ?2, ?3, ?4, ?5, ?6, event
                 FROM event WHERE position = ?3",
            )?
            .execute(row)?;
    }
    Ok(())
}

/// Puts an event behind a failed one of its aggregate; what is there already stays as it is.
pub(super) fn behind(
    connection: &Connection,
    queue: &str,
    aggregate: &str,
    position: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO redelivery SELECT ?1, ?2, ?3, 0, 0, '', event
             FROM event WHERE position = ?3 ON CONFLICT DO NOTHING",
        )?
        .execute(params![queue, aggregate, position])?;
    Ok(())
}

/// Gives an event up; its [`Again::not_before_ms`] is the time of it.
pub(super) fn bury(connection: &Connection, queue: &str, last: &Again<'_>) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letter
                (queue, aggregate, position, attempts, dead_at_ms, reason, event)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, event FROM (
                SELECT event FROM redelivery
                WHERE queue = ?1 AND aggregate = ?2 AND position = ?3
                UNION ALL SELECT event FROM event WHERE position = ?3
             ) WHERE true LIMIT 1
             ON CONFLICT DO UPDATE SET attempts = excluded.attempts,
                dead_at_ms = excluded.dead_at_ms, reason = excluded.reason",
        )?
        .execute(params![
            queue,
            last.aggregate,
            last.position,
            last.failed_attempts,
            last.not_before_ms,
            last.reason
        ])?;
    done(connection, queue, last.aggregate, last.position)
}

/// Lists dead letters, newest first.
pub(super) fn dead_letters(
    connection: &Connection,
    which: &DeadLetterQuery,
) -> Result<Vec<DeadLetter>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, queue, attempts, dead_at_ms, reason, position, event FROM dead_letter
         WHERE (?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR id < ?2)
         ORDER BY id DESC LIMIT ?3",
    )?;
    let limit = which.limit.min(LISTED_DEAD_LETTERS) as i64;
    let mut rows = statement.query(params![which.queue, which.before_id, limit])?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        letters.push(DeadLetter {
            id: row.get(0)?,
            queue: row.get(1)?,
            attempts: row.get(2)?,
            dead_at_ms: row.get(3)?,
            reason: row.get(4)?,
            event: decode(row, 6, row.get(5)?)?,
        });
    }
    Ok(letters)
}

/// Puts dead letters back among the redeliveries, once for a request.
pub(super) fn replay(connection: &Connection, which: &Replay, now_ms: i64) -> Result<usize, Error> {
    let Some(request) = &which.request else { return replay_oldest(connection, which) };
    idempotency::prune(connection, now_ms - REQUEST_LIFE_MS)?;
    match request.check(connection)? {
        Remembered::Same(answer) => {
            let answer = answer.try_into().map_or(0, u64::from_be_bytes);
            Ok(usize::try_from(answer).unwrap_or(usize::MAX))
        }
        Remembered::Conflict => Err(Error::RequestReused),
        Remembered::New => {
            let replayed = replay_oldest(connection, which)?;
            request.remember(connection, &(replayed as u64).to_be_bytes(), now_ms)?;
            Ok(replayed)
        }
    }
}

fn replay_oldest(connection: &Connection, which: &Replay) -> Result<usize, Error> {
    let limit = which.limit.min(REPLAYED_DEAD_LETTERS);
    if !which.ids.is_empty() {
        let ids = BTreeSet::from_iter(&which.ids);
        let mut replayed = 0;
        for id in ids {
            if replayed == limit {
                break;
            }
            replayed += raise(connection, "id = ?1 AND (?2 IS NULL OR queue = ?2)", id, which)?;
        }
        return Ok(replayed);
    }
    raise(
        connection,
        "id IN (SELECT id FROM dead_letter WHERE ?2 IS NULL OR queue = ?2 ORDER BY id LIMIT ?1)",
        &(limit as i64),
        which,
    )
}

fn raise(
    connection: &Connection,
    condition: &str,
    argument: &i64,
    which: &Replay,
) -> Result<usize, Error> {
    let insert = format!(
        "INSERT INTO redelivery SELECT queue, aggregate, position, 0, 0, reason, event
         FROM dead_letter WHERE {condition} ON CONFLICT DO NOTHING"
    );
    connection.prepare_cached(&insert)?.execute(params![argument, which.queue])?;
    let delete = format!("DELETE FROM dead_letter WHERE {condition}");
    Ok(connection.prepare_cached(&delete)?.execute(params![argument, which.queue])?)
}
