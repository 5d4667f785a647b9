//! How a batch of events becomes the bytes of a slot, and back.
//!
//! ```text
//! "SOUK" | format u16 | kind u16 | writer 16 | batch u64 | entries u32 | entry … | crc32 u32 of all before it
//! entry: run id 16 | first sequence u64 | events u32 | bytes u32 | length-delimited events …
//! ```
//! Integers are little-endian. The writer's id and the batch's number make the bytes of a slot unique to one attempt at
//! it, so that comparing bytes tells whose they are.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::ids::RunId;

const MAGIC: &[u8; 4] = b"SOUK";
const FORMAT: u16 = 1;
const KIND_EVENTS: u16 = 0;
const KIND_SEAL: u16 = 1;
const HEADER_BYTES: usize = 4 + 2 + 2 + 16 + 8 + 4;
const ENTRY_BYTES: usize = 16 + 8 + 4 + 4;
const CRC_BYTES: usize = 4;

/// Consecutive events of one run within a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose they are.
    pub run_id: RunId,
    /// The place of the first in its history.
    pub first_sequence: u64,
    /// Each with its length in front.
    pub events: Vec<Bytes>,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Events.
    Events(Vec<Entry>),
    /// The end of the log.
    Seal,
}

/// A slot under construction.
pub struct SlotWriter {
    buffer: BytesMut,
    entries: u32,
}

impl SlotWriter {
    /// An empty batch of a writer, in memory of which nothing is used.
    pub fn new(mut buffer: BytesMut, writer: &[u8; 16], batch: u64) -> SlotWriter {
        put_header(&mut buffer, KIND_EVENTS, writer, batch);
        SlotWriter { buffer, entries: 0 }
    }

    /// How many bytes a slot has whose entries' events have so many each.
    pub fn bytes(entries: impl Iterator<Item = usize>) -> usize {
        HEADER_BYTES + CRC_BYTES + entries.map(|bytes| ENTRY_BYTES + bytes).sum::<usize>()
    }

    /// Adds `count` consecutive events of a run, each with its length in front.
    pub fn push(&mut self, run_id: RunId, first_sequence: u64, count: u32, events: &[u8]) {
        self.buffer.reserve(ENTRY_BYTES + events.len() + CRC_BYTES);
        self.buffer.put_slice(run_id.as_bytes());
        self.buffer.put_u64_le(first_sequence);
        self.buffer.put_u32_le(count);
        self.buffer.put_u32_le(events.len() as u32);
        self.buffer.put_slice(events);
        self.entries += 1;
    }

    /// The bytes of the slot, and what is left of the memory: it may be used again once nobody has the slot any more.
    pub fn finish(mut self) -> (Bytes, BytesMut) {
        let count_at = HEADER_BYTES - 4;
        self.buffer[count_at..HEADER_BYTES].copy_from_slice(&self.entries.to_le_bytes());
        put_sum(&mut self.buffer);
        (self.buffer.split().freeze(), self.buffer)
    }
}

/// The bytes of a SEAL.
pub fn seal(writer: &[u8; 16]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(HEADER_BYTES + CRC_BYTES);
    put_header(&mut buffer, KIND_SEAL, writer, 0);
    put_sum(&mut buffer);
    buffer.freeze()
}

fn put_header(buffer: &mut BytesMut, kind: u16, writer: &[u8; 16], batch: u64) {
    buffer.put_slice(MAGIC);
    buffer.put_u16_le(FORMAT);
    buffer.put_u16_le(kind);
    buffer.put_slice(writer);
    buffer.put_u64_le(batch);
    buffer.put_u32_le(0);
}

fn put_sum(buffer: &mut BytesMut) {
    let crc = crc32fast::hash(buffer);
    buffer.put_u32_le(crc);
}

/// Reads a slot.
///
/// # Errors
/// What is wrong with it: another format, a checksum that does not match, lengths that do not add up.
pub fn read(bytes: &Bytes) -> Result<Content, String> {
    if bytes.len() < HEADER_BYTES + CRC_BYTES {
        return Err(format!("{} bytes are too few for a slot", bytes.len()));
    }
    let mut rest = bytes.slice(..bytes.len() - CRC_BYTES);
    let crc = (&bytes[bytes.len() - CRC_BYTES..]).get_u32_le();
    if crc32fast::hash(&rest) != crc {
        return Err("its checksum does not match".into());
    }
    if rest.split_to(4).as_ref() != MAGIC {
        return Err("it is not a slot of this engine".into());
    }
    let format = rest.get_u16_le();
    if format != FORMAT {
        return Err(format!("its format is {format}; this build reads {FORMAT}"));
    }
    let kind = rest.get_u16_le();
    rest.advance(16 + 8);
    let entries = rest.get_u32_le();
    match kind {
        KIND_SEAL => Ok(Content::Seal),
        KIND_EVENTS => (0..entries)
            .map(|_| read_entry(&mut rest))
            .collect::<Result<_, _>>()
            .map(Content::Events),
        other => Err(format!("its kind is {other}, which this build does not know")),
    }
}

fn read_entry(rest: &mut Bytes) -> Result<Entry, String> {
    if rest.len() < ENTRY_BYTES {
        return Err("an entry is cut off".into());
    }
    let id = rest.split_to(16);
    let run_id = RunId::from_slice(&id).ok_or("a run id is not one")?;
    let first_sequence = rest.get_u64_le();
    let count = rest.get_u32_le();
    let bytes = rest.get_u32_le() as usize;
    if rest.len() < bytes {
        return Err("an entry's events are cut off".into());
    }
    let events = split_events(rest.split_to(bytes))?;
    if events.len() != count as usize {
        return Err(format!("an entry has {} events instead of {count}", events.len()));
    }
    Ok(Entry { run_id, first_sequence, events })
}

/// Cuts a row of length-delimited events into one each, their lengths still in front.
///
/// # Errors
/// If a length leads beyond the end.
pub fn split_events(mut bytes: Bytes) -> Result<Vec<Bytes>, String> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let mut probe = &bytes[..];
        let length =
            prost::decode_length_delimiter(&mut probe).map_err(|error| error.to_string())?;
        let end = (bytes.len() - probe.len())
            .checked_add(length)
            .filter(|end| *end <= bytes.len())
            .ok_or("an event is cut off")?;
        events.push(bytes.split_to(end));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{Body, Event, Resumed};
    use prost::Message;

    fn event(time_ms: i64) -> Bytes {
        Event { time_ms, body: Some(Body::Resumed(Resumed {})) }
            .encode_length_delimited_to_vec()
            .into()
    }

    fn slot() -> (Vec<Entry>, Bytes) {
        let entries = vec![
            Entry {
                run_id: RunId(uuid::Uuid::from_u128(1)),
                first_sequence: 0,
                events: vec![event(1), event(2)],
            },
            Entry {
                run_id: RunId(uuid::Uuid::from_u128(2)),
                first_sequence: 7,
                events: vec![event(3)],
            },
        ];
        let mut writer = SlotWriter::new(BytesMut::new(), &[7; 16], 3);
        for entry in &entries {
            let count = entry.events.len() as u32;
            writer.push(entry.run_id, entry.first_sequence, count, &entry.events.concat());
        }
        (entries, writer.finish().0)
    }

    #[test]
    fn a_slot_is_read_as_it_was_written() {
        let (entries, bytes) = slot();
        assert_eq!(read(&bytes), Ok(Content::Events(entries)));
        assert_eq!(read(&seal(&[1; 16])), Ok(Content::Seal));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let (_, bytes) = slot();
        for index in 0..bytes.len() {
            let mut broken = bytes.to_vec();
            broken[index] ^= 1;
            assert!(read(&broken.into()).is_err(), "flip at {index}");
            assert!(read(&bytes.slice(..index)).is_err(), "cut at {index}");
        }
    }
}
