//! What new events of a run change in the tables. Pure: live draining and recovery share it.

use bytes::{Bytes, BytesMut};

use crate::engine::cell::{damaged, decode};
use crate::engine::error::Error;
use crate::engine::ids::RunId;
use crate::engine::projection;
use crate::engine::row::{HistoryChunk, OpenTimer, RunRow, TimerRow};
use crate::engine::tables::RunChange;

/// Chunks smaller than this are not worth packing.
const MIN_PACKED_BYTES: usize = 256;

/// The change that consecutive events bring, the first being the row's next.
///
/// # Errors
/// If they cannot follow.
pub(crate) fn change_of(
    row: Option<RunRow>,
    run_id: RunId,
    events: &[Bytes],
) -> Result<RunChange, Error> {
    let first_sequence = row.as_ref().map_or(0, |row| row.next_sequence);
    let is_new = row.is_none();
    let before = row.as_ref().map(|row| row.open_timers.clone()).unwrap_or_default();
    let mut row = row;
    for bytes in events {
        let event = decode(bytes)?;
        let applied = projection::apply(row.take(), run_id, &event, bytes.len());
        row = Some(applied.map_err(|illegal| damaged(run_id, &illegal.to_string()))?);
    }
    let row = row.ok_or_else(|| damaged(run_id, "no events and no row"))?;
    let timer =
        |open: &OpenTimer| TimerRow { fire_at_ms: open.fire_at_ms, run_id, command: open.command };
    let after = &row.open_timers;
    let timers_set = after.iter().filter(|open| !before.contains(open)).map(timer).collect();
    let timers_cleared = before.iter().filter(|open| !after.contains(open)).map(timer).collect();
    let chunk = (!events.is_empty()).then(|| pack(first_sequence, events));
    Ok(RunChange { row, is_new, chunk, timers_set, timers_cleared })
}

fn pack(first_sequence: u64, events: &[Bytes]) -> HistoryChunk {
    let bytes: usize = events.iter().map(Bytes::len).sum();
    let mut plain = BytesMut::with_capacity(bytes);
    for event in events {
        plain.extend_from_slice(event);
    }
    let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
    if bytes < MIN_PACKED_BYTES {
        return HistoryChunk { first_sequence, count, packing: 0, bytes: plain.freeze() };
    }
    let packed = lz4_flex::block::compress_prepend_size(&plain);
    HistoryChunk { first_sequence, count, packing: 1, bytes: packed.into() }
}

/// The events of a chunk, each with its length in front.
///
/// # Errors
/// If the chunk is not what was written.
pub(crate) fn unpack(run_id: RunId, chunk: &HistoryChunk) -> Result<Vec<Bytes>, Error> {
    let plain = match chunk.packing {
        0 => chunk.bytes.clone(),
        1 => lz4_flex::block::decompress_size_prepended(&chunk.bytes)
            .map_err(|error| damaged(run_id, &error.to_string()))?
            .into(),
        other => {
            return Err(damaged(run_id, &format!("a chunk is packed in an unknown way, {other}")));
        }
    };
    let events = crate::engine::slot::split_events(plain).map_err(|what| damaged(run_id, &what))?;
    if events.len() != chunk.count as usize {
        return Err(damaged(run_id, "a chunk has another number of events than it says"));
    }
    Ok(events)
}
