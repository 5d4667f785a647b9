//! Answers that were given to request ids, kept as the messages that callers got.

use prost::Message;
use souk_mesh::idempotency::Remembered;
use souk_proto::catalog::v1 as proto;

use super::Write;
use crate::domain::{Category, Inventory, Listed};
use crate::error::Error;
use crate::store::RequestKey;
use crate::wire;

/// An answer that can be kept.
pub(super) trait Answer: Sized {
    /// For keeping.
    fn to_bytes(&self) -> Vec<u8>;
    /// What was kept; `None` when it is damaged.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Answer for Category {
    fn to_bytes(&self) -> Vec<u8> {
        wire::category(self).encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        wire::category_from(proto::Category::decode(bytes).ok()?)
    }
}

impl Answer for Listed {
    fn to_bytes(&self) -> Vec<u8> {
        wire::listed(self).encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        wire::listed_from(proto::Product::decode(bytes).ok()?)
    }
}

impl Answer for Inventory {
    fn to_bytes(&self) -> Vec<u8> {
        wire::inventory(self).encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        wire::inventory_from(&proto::Inventory::decode(bytes).ok()?)
    }
}

/// Does the work, or gives the answer that the same request got before.
pub(super) fn once<T: Answer>(
    write: &Write<'_>,
    request: Option<&RequestKey>,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(request) = request else {
        return work();
    };
    match request.check(write.connection)? {
        Remembered::Conflict => Err(Error::RequestIdReused),
        Remembered::Same(bytes) => T::from_bytes(&bytes)
            .ok_or_else(|| Error::Damaged(format!("answer to request {}", request.request_id))),
        Remembered::New => {
            let answer = work()?;
            request.remember(write.connection, &answer.to_bytes(), write.now_ms)?;
            Ok(answer)
        }
    }
}
