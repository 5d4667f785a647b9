//! Histories in chunks, and chunks in pieces that a server takes.
//!
//! Chunks are found by the sequence numbers that they cover. They may overlap, where two nodes have drained the same
//! events, but every one of them holds what happened.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use souk_mesh::cql;

use super::{CqlTables, damaged, decode, failed, key};
use crate::engine::ids::RunId;
use crate::engine::row::HistoryChunk;
use crate::engine::tables::Error;
use crate::engine::unpack_from;
use crate::store::cql::{signed, unsigned};

/// A history up to this size is kept within the row of its closed run: one write, one read.
pub(super) const INLINE_BYTES: usize = 64 * 1024;
/// Bytes of a piece of a chunk.
const PIECE_BYTES: usize = 512 * 1024;
/// Pieces that are read at once.
const PIECES_PER_READ: i32 = 16;
/// Chunks that are looked at to find the one that holds an event: as many as may overlap there.
const MAX_OVERLAPPING: i32 = 64;

/// What writes a chunk.
pub(super) fn write<'a>(
    tables: &'a CqlTables,
    run_id: RunId,
    chunk: &'a HistoryChunk,
    at: i64,
) -> Vec<BoxFuture<'a, Result<(), cql::Error>>> {
    let parts = chunk.bytes.len().div_ceil(PIECE_BYTES).max(1);
    let write = move |part: usize| {
        let from = part * PIECE_BYTES;
        let bytes = chunk.bytes.slice(from..chunk.bytes.len().min(from + PIECE_BYTES));
        let count = i64::from(chunk.count) as i32;
        let packing = i64::from(chunk.packing) as i32;
        let first = signed(chunk.first_sequence);
        let values = (key(run_id), first, part as i32, parts as i32, count, packing, bytes, at);
        tables.session.write(&tables.statements.set_piece, values).boxed()
    };
    (0..parts).map(write).collect()
}

/// See [`Tables::history`](crate::engine::tables::Tables::history). Never beyond what the run's row knows.
pub(super) async fn read(
    tables: &CqlTables,
    run_id: RunId,
    from_sequence: u64,
    limit_bytes: usize,
) -> Result<Vec<HistoryChunk>, Error> {
    let row: Option<(i64, Option<Bytes>)> = tables
        .session
        .row(&tables.statements.inline_history, (key(run_id),))
        .await
        .map_err(failed)?;
    let Some((next_sequence, inline)) = row else { return Ok(Vec::new()) };
    let end = unsigned(next_sequence);
    let mut reader = Reader { tables, run_id, ahead: Vec::new() };
    let mut next = from_sequence;
    let mut chunks = Vec::new();
    let mut gathered = 0;
    if let Some(bytes) = inline {
        let chunk: HistoryChunk = decode("run", run_id, &bytes)?;
        if range(&chunk).contains(&next) {
            next = range(&chunk).end;
            gathered += chunk.bytes.len();
            chunks.push(cut(run_id, chunk, end)?);
        }
    }
    while next < end && (chunks.is_empty() || gathered < limit_bytes) {
        let Some(chunk) = reader.holding(next).await? else { break };
        next = range(&chunk).end;
        gathered += chunk.bytes.len();
        chunks.push(cut(run_id, chunk, end)?);
    }
    Ok(chunks)
}

fn range(chunk: &HistoryChunk) -> Range<u64> {
    chunk.first_sequence..chunk.first_sequence + u64::from(chunk.count)
}

/// The chunk without the events that are not before `end`: its row is not written yet, or never will be.
fn cut(run_id: RunId, chunk: HistoryChunk, end: u64) -> Result<HistoryChunk, Error> {
    if range(&chunk).end <= end {
        return Ok(chunk);
    }
    let events = unpack_from(run_id, &chunk, chunk.first_sequence)
        .map_err(|error| damaged(&format!("history/{run_id}"), &error.to_string()))?;
    let count = u32::try_from(end - chunk.first_sequence).unwrap_or(u32::MAX);
    let bytes = events.take(count as usize).collect::<Vec<_>>().concat().into();
    Ok(HistoryChunk { count, packing: 0, bytes, ..chunk })
}

/// A piece of a chunk, as it is read.
type Piece = (i64, i32, i32, i32, i32, Bytes);

/// Reads chunks, some ahead of where it is.
struct Reader<'a> {
    tables: &'a CqlTables,
    run_id: RunId,
    ahead: Vec<HistoryChunk>,
}

impl Reader<'_> {
    /// A chunk that holds this event.
    async fn holding(&mut self, sequence: u64) -> Result<Option<HistoryChunk>, Error> {
        let holds = |chunk: &HistoryChunk| range(chunk).contains(&sequence);
        if let Some(at) = self.ahead.iter().position(holds) {
            let chunk = self.ahead.remove(at);
            self.ahead.retain(|other| range(other).end > range(&chunk).end);
            return Ok(Some(chunk));
        }
        let Some(first) = self.first_of_holding(sequence).await? else { return Ok(None) };
        self.ahead = self.read_from(first).await?;
        let found = self.ahead.iter().position(holds);
        Ok(found.map(|at| self.ahead.remove(at)))
    }

    /// Where the last chunk begins that holds this event.
    async fn first_of_holding(&self, sequence: u64) -> Result<Option<u64>, Error> {
        let values = (key(self.run_id), signed(sequence), MAX_OVERLAPPING);
        let found: Vec<(i64, i32)> = self
            .tables
            .session
            .rows(&self.tables.statements.chunks_until, values)
            .await
            .map_err(failed)?;
        let mut found = found.into_iter().map(|(first, count)| {
            let first = unsigned(first);
            first..first + u64::from(count.unsigned_abs())
        });
        Ok(found.find(|range| range.contains(&sequence)).map(|range| range.start))
    }

    /// Whole chunks from the one on that begins there: at least that one.
    async fn read_from(&self, first: u64) -> Result<Vec<HistoryChunk>, Error> {
        let statements = &self.tables.statements;
        let session = &self.tables.session;
        let values = (key(self.run_id), signed(first), PIECES_PER_READ);
        let pieces: Vec<Piece> =
            session.rows(&statements.pieces_from, values).await.map_err(failed)?;
        let chunks = whole_chunks(&pieces);
        if !chunks.is_empty() {
            return Ok(chunks);
        }
        let values = (key(self.run_id), signed(first));
        let pieces: Vec<Piece> =
            session.rows(&statements.pieces_of, values).await.map_err(failed)?;
        Ok(whole_chunks(&pieces))
    }
}

/// The chunks whose pieces are all there. Pieces that an earlier, shorter form of a chunk has left behind have another
/// count.
fn whole_chunks(pieces: &[Piece]) -> Vec<HistoryChunk> {
    let of_a_chunk = pieces.chunk_by(|one, other| one.0 == other.0);
    of_a_chunk
        .filter_map(|pieces| {
            let (first, _, parts, count, packing, _) =
                pieces.first().filter(|first| first.1 == 0)?;
            let own = pieces.iter().filter(|piece| piece.3 == *count && piece.2 == *parts);
            let own: Vec<&Bytes> = own.map(|piece| &piece.5).collect();
            let bytes = match own[..] {
                [only] if *parts == 1 => only.clone(),
                _ if own.len() != parts.unsigned_abs() as usize => return None,
                _ => own
                    .iter()
                    .fold(BytesMut::new(), |mut bytes, piece| {
                        bytes.extend_from_slice(piece);
                        bytes
                    })
                    .freeze(),
            };
            Some(HistoryChunk {
                first_sequence: unsigned(*first),
                count: count.unsigned_abs(),
                packing: packing.unsigned_abs(),
                bytes,
            })
        })
        .collect()
}
