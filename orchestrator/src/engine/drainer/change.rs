//! What new events of a run change in the tables. Pure: live draining and recovery share it.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::cell::damaged;
use crate::engine::error::Error;
use crate::engine::ids::RunId;
use crate::engine::row::{HistoryChunk, OpenTimer, RunRow, TimerRow};
use crate::engine::tables::RunChange;
use crate::engine::tail::{Undrained, project};

/// Chunks smaller than this are not worth packing.
const MIN_PACKED_BYTES: usize = 256;

/// The change that consecutive events bring, the first being the row's next.
///
/// # Errors
/// If they cannot follow.
pub(crate) fn change_of(
    before: Option<RunRow>,
    run_id: RunId,
    events: &[Bytes],
) -> Result<RunChange, Error> {
    let mut after = before.clone();
    for bytes in events {
        after = Some(project(after, run_id, bytes)?);
    }
    let after = after.ok_or_else(|| damaged(run_id, "no events and no row"))?.into();
    let before = before.map(Arc::new);
    let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
    Ok(change_to(&Undrained { before, after, count }, &events.concat()))
}

/// The change from one row to another; `plain` are the events between them.
pub(crate) fn change_to(undrained: &Undrained, plain: &[u8]) -> RunChange {
    let Undrained { before, after: row, count } = undrained;
    let run_id = row.id();
    let timer =
        |open: &OpenTimer| TimerRow { fire_at_ms: open.fire_at_ms, run_id, command: open.command };
    let before_timers = before.as_ref().map_or(&[][..], |before| &before.open_timers);
    let after_timers = &row.open_timers[..];
    let missing_in =
        |those: &[OpenTimer], open: &OpenTimer| those.iter().all(|other| other != open);
    let timers_set =
        after_timers.iter().filter(|open| missing_in(before_timers, open)).map(timer).collect();
    let timers_cleared =
        before_timers.iter().filter(|open| missing_in(after_timers, open)).map(timer).collect();
    let first_sequence = before.as_ref().map_or(0, |before| before.next_sequence);
    let chunk = (*count > 0).then(|| pack(first_sequence, *count, plain));
    RunChange { row: row.clone(), is_new: before.is_none(), chunk, timers_set, timers_cleared }
}

fn pack(first_sequence: u64, count: u32, plain: &[u8]) -> HistoryChunk {
    if plain.len() < MIN_PACKED_BYTES {
        let bytes = Bytes::copy_from_slice(plain);
        return HistoryChunk { first_sequence, count, packing: 0, bytes };
    }
    let packed = lz4_flex::block::compress_prepend_size(plain);
    HistoryChunk { first_sequence, count, packing: 1, bytes: packed.into() }
}

/// The events of a chunk from this one on, each with its length in front. Chunks may overlap where two nodes have drained
/// the same events: what a reader has already, it skips.
///
/// # Errors
/// If the chunk is not what was written, or begins behind that event.
pub(crate) fn unpack_from(
    run_id: RunId,
    chunk: &HistoryChunk,
    from: u64,
) -> Result<impl Iterator<Item = Bytes> + use<>, Error> {
    let Some(skip) = from.checked_sub(chunk.first_sequence) else {
        return Err(damaged(run_id, &format!("event {from} is missing")));
    };
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    Ok(unpack(run_id, chunk)?.into_iter().skip(skip))
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
