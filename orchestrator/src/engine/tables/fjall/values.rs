//! Values of the keyspaces: protobuf messages behind one byte that says how they are packed.

use prost::Message;

use crate::engine::row::{HistoryChunk, RunRow};

const PLAIN: u8 = 0;
/// An LZ4 block with its uncompressed size in front.
const LZ4: u8 = 1;
/// Shorter messages gain nothing from being compressed.
const COMPRESS_FROM_BYTES: usize = 256;
/// Bound on what a packed value may claim to unpack to: a damaged size must not exhaust memory.
const UNPACKED_LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// A closed run: its row, and its history when that is one chunk of moderate size.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ClosedRun {
    #[prost(message, required, tag = "1")]
    pub(super) row: RunRow,
    #[prost(message, optional, tag = "2")]
    pub(super) history: Option<HistoryChunk>,
}

/// Encodes a message, compressed if that makes it smaller.
pub(super) fn pack(message: &impl Message) -> Vec<u8> {
    let mut plain = Vec::with_capacity(1 + message.encoded_len());
    plain.push(PLAIN);
    message.encode_raw(&mut plain);
    let body = &plain[1..];
    if body.len() < COMPRESS_FROM_BYTES {
        return plain;
    }
    let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut packed = vec![0; 5 + lz4_flex::block::get_maximum_output_size(body.len())];
    packed[0] = LZ4;
    packed[1..5].copy_from_slice(&size.to_le_bytes());
    match lz4_flex::block::compress_into(body, &mut packed[5..]) {
        Ok(length) if 4 + length < body.len() && size < u32::MAX => {
            packed.truncate(5 + length);
            packed
        }
        _ => plain,
    }
}

/// Decodes what [`pack`] made; the error says what is wrong.
pub(super) fn unpack<M: Message + Default>(value: &[u8]) -> Result<M, String> {
    let decoded = match value.split_first() {
        Some((&PLAIN, body)) => M::decode(body),
        Some((&LZ4, packed)) => M::decode(decompress(packed)?.as_slice()),
        Some((packing, _)) => {
            return Err(format!("a value is packed in an unknown way ({packing})"));
        }
        None => return Err("a value is empty".to_owned()),
    };
    decoded.map_err(|error| error.to_string())
}

fn decompress(packed: &[u8]) -> Result<Vec<u8>, String> {
    let (size, block) = packed.split_first_chunk::<4>().ok_or("a compressed value is cut short")?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > UNPACKED_LIMIT_BYTES {
        return Err(format!("a compressed value claims {size} bytes"));
    }
    lz4_flex::block::decompress(block, size).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workflow_id: &str) -> RunRow {
        RunRow { workflow_id: workflow_id.to_owned(), ..RunRow::default() }
    }

    #[test]
    fn short_and_long_messages_come_back_and_long_ones_shrink() {
        for text in ["", "order/1", &"order/".repeat(1000)] {
            let packed = pack(&row(text));
            assert_eq!(unpack::<RunRow>(&packed).unwrap(), row(text));
        }
        assert!(pack(&row(&"order/".repeat(1000))).len() < 200);
    }

    #[test]
    fn a_damaged_value_is_an_error_and_claims_no_memory() {
        let mut packed = pack(&row(&"order/".repeat(1000)));
        packed[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack::<RunRow>(&packed).unwrap_err().contains("claims"));
        assert!(unpack::<RunRow>(&[]).is_err());
        assert!(unpack::<RunRow>(&[9, 1, 2]).is_err());
    }
}
