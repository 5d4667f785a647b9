//! Answers that were given to request ids, kept as the messages that callers got.

use prost::Message;
use souk_proto::catalog::v1 as proto;

use crate::domain::{Category, Inventory, Listed};
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
