//! Keys of the keyspaces: the order of their bytes is the order in which they are read.

use crate::engine::ids::{LogId, RunId, Slot};
use crate::engine::row::{Cursor, RunRow, TimerRow};

/// Ends a text in a key: no UTF-8 text contains this byte, so no text is a prefix of another key's.
const TEXT_END: u8 = 0xFF;
const RUN_ID_BYTES: usize = 16;
const TIMER_KEY_BYTES: usize = 8 + RUN_ID_BYTES + 8;
const CURSOR_BYTES: usize = 16;

/// The only key of the `cursor` keyspace.
pub(super) const CURSOR: &[u8] = b"cursor";

/// `history`: the chunks of a run, by their first event.
pub(super) fn history(run_id: RunId, first_sequence: u64) -> [u8; RUN_ID_BYTES + 8] {
    let mut key = [0; RUN_ID_BYTES + 8];
    key[..RUN_ID_BYTES].copy_from_slice(run_id.as_bytes());
    key[RUN_ID_BYTES..].copy_from_slice(&first_sequence.to_be_bytes());
    key
}

/// Not after any run that was started at `ms` or later: run ids begin with their time.
pub(super) fn first_run_of(ms: i64) -> [u8; RUN_ID_BYTES] {
    let mut key = [0; RUN_ID_BYTES];
    key[..6].copy_from_slice(&ms.max(0).to_be_bytes()[2..]);
    key
}

/// `listing`: what all runs of a type have in front.
pub(super) fn listing_type(workflow_type: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(workflow_type.len() + 2 + RUN_ID_BYTES);
    key.extend_from_slice(workflow_type.as_bytes());
    key.push(TEXT_END);
    key
}

/// `listing`: what all runs of a type in a state have in front.
pub(super) fn listing_state(workflow_type: &str, state: i32) -> Vec<u8> {
    let mut key = listing_type(workflow_type);
    // States are small numbers that never change their meaning.
    key.push(u8::try_from(state).unwrap_or(u8::MAX));
    key
}

/// `listing`: a run.
pub(super) fn listing(row: &RunRow) -> Vec<u8> {
    let mut key = listing_state(&row.workflow_type, row.state);
    key.extend_from_slice(row.id().as_bytes());
    key
}

/// The type in a key of `listing`.
pub(super) fn type_of_listing(key: &[u8]) -> Option<&str> {
    let end = key.iter().position(|byte| *byte == TEXT_END)?;
    std::str::from_utf8(&key[..end]).ok()
}

/// The run id at the end of a key of `listing`.
pub(super) fn run_of_listing(key: &[u8]) -> Option<RunId> {
    RunId::from_slice(key.get(key.len().checked_sub(RUN_ID_BYTES)?..)?)
}

/// `timers`: by time, run and command.
pub(super) fn timer(timer: &TimerRow) -> [u8; TIMER_KEY_BYTES] {
    timer_parts(timer.fire_at_ms, *timer.run_id.as_bytes(), timer.command)
}

/// `timers`: not before any timer that is due at `until_ms`.
pub(super) fn last_timer(until_ms: i64) -> [u8; TIMER_KEY_BYTES] {
    timer_parts(until_ms, [u8::MAX; RUN_ID_BYTES], u64::MAX)
}

fn timer_parts(fire_at_ms: i64, run_id: [u8; RUN_ID_BYTES], command: u64) -> [u8; TIMER_KEY_BYTES] {
    let mut key = [0; TIMER_KEY_BYTES];
    // With the sign flipped, times before 1970 sort before the others.
    key[..8].copy_from_slice(&(fire_at_ms ^ i64::MIN).to_be_bytes());
    key[8..8 + RUN_ID_BYTES].copy_from_slice(&run_id);
    key[8 + RUN_ID_BYTES..].copy_from_slice(&command.to_be_bytes());
    key
}

/// Reads a key of `timers`.
pub(super) fn decode_timer(key: &[u8]) -> Option<TimerRow> {
    if key.len() != TIMER_KEY_BYTES {
        return None;
    }
    Some(TimerRow {
        fire_at_ms: i64::from_be_bytes(key[..8].try_into().ok()?) ^ i64::MIN,
        run_id: RunId::from_slice(&key[8..8 + RUN_ID_BYTES])?,
        command: u64::from_be_bytes(key[8 + RUN_ID_BYTES..].try_into().ok()?),
    })
}

/// The value under [`CURSOR`].
pub(super) fn encode_cursor(cursor: Cursor) -> [u8; CURSOR_BYTES] {
    let mut value = [0; CURSOR_BYTES];
    value[..8].copy_from_slice(&cursor.log.0.to_be_bytes());
    value[8..].copy_from_slice(&cursor.slot.0.to_be_bytes());
    value
}

/// Reads the value under [`CURSOR`].
pub(super) fn decode_cursor(value: &[u8]) -> Option<Cursor> {
    let (log, slot) = value.split_at_checked(8)?;
    Some(Cursor {
        log: LogId(u64::from_be_bytes(log.try_into().ok()?)),
        slot: Slot(u64::from_be_bytes(slot.try_into().ok()?)),
    })
}
