//! Values of the keyspaces: protobuf messages. Histories come compressed; see [`HistoryChunk`].

use prost::Message;

use crate::engine::row::{HistoryChunk, RunRow};

/// A closed run: its row, and its history when that is one chunk of moderate size.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ClosedRun {
    #[prost(message, required, tag = "1")]
    pub(super) row: RunRow,
    #[prost(message, optional, tag = "2")]
    pub(super) history: Option<HistoryChunk>,
}

/// Writes a [`ClosedRun`], of which the row is shared.
pub(super) fn encode_closed(
    row: &RunRow,
    history: Option<&HistoryChunk>,
    value: &mut impl bytes::BufMut,
) {
    prost::encoding::message::encode(1, row, value);
    if let Some(chunk) = history {
        prost::encoding::message::encode(2, chunk, value);
    }
}

/// Reads a value; the error says what is wrong.
pub(super) fn decode<M: Message + Default>(value: &[u8]) -> Result<M, String> {
    M::decode(value).map_err(|error| error.to_string())
}
