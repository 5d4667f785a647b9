//! The log of a node: one contiguous sequence of slots, each written once.
//!
//! All runs of a node share one log. The engine puts every event that is waiting into one slot, appends it, and lets
//! nothing leave the process before the slot is durable.
//!
//! # The rules, which every implementation keeps
//!
//! 1. A slot is written at most once. The first bytes that reach it stay; they are never changed and never deleted
//!    except by [`Log::trim`]. An implementation does not look into the bytes.
//! 2. [`Appended::Applied`] means: the slot holds exactly these bytes, and they survive the loss of power. It is also
//!    the answer when the slot already held these same bytes: appending is idempotent.
//! 3. [`Appended::Lost`] means: the slot holds other bytes. Someone else owns this log now.
//! 4. [`Appended::Unknown`] means: the slot may or may not hold these bytes (a time-out, a failed sync). The caller
//!    appends the identical bytes to the same slot again until it knows.
//! 5. [`Log::read`] never passes a gap: what lies behind a missing slot is void.
//! 6. A log id is never used again after its log was sealed. SEAL is an ordinary slot to the implementation, and the
//!    engine never trims it away.
//! 7. Damage (a torn or flipped slot that the store itself can detect) is [`Error::Damaged`], never a shorter log.
//!    What was never acknowledged may be missing at the end.

pub mod fjall;
#[cfg(feature = "testing")]
pub mod sim;

use async_trait::async_trait;
use bytes::Bytes;

use super::ids::{LogId, Slot};
use super::limits::{MAX_APPEND_TRIES, MAX_SLOT_BYTES};

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The slot holds exactly these bytes, durably.
    Applied,
    /// The slot holds other bytes.
    Lost,
    /// Nobody knows yet; the text says why, for the operator's log.
    Unknown(String),
}

/// Why a log could not be read or trimmed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer, or answers with an error of its own.
    #[error("the log's store failed: {0}")]
    Store(String),
    /// A slot that was acknowledged cannot be read back as it was written.
    #[error("log {} is damaged at slot {}: {what}", log.0, slot.0)]
    Damaged {
        /// The log.
        log: LogId,
        /// The first slot that cannot be read.
        slot: Slot,
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// One slot as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its place.
    pub slot: Slot,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Where slots are kept. See the module for the rules.
///
/// The trait is asynchronous because a log on a cluster is; an embedded log does its work, sync included, within the
/// call. The engine calls [`Log::append`] from a thread of its own, so that such a call blocks nobody else.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Writes `bytes` to `slot` of `log` if it is empty, and waits until they are durable.
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended;

    /// The contiguous slots from `from` on, in order, stopping at the first gap, or once about `limit_bytes` are
    /// gathered (at least one slot, if there is one). An empty answer is the end of the log. To read what was trimmed
    /// is [`Error::Damaged`]: whoever still wants it has lost what it was trimmed for.
    async fn read(&self, log: LogId, from: Slot, limit_bytes: usize)
    -> Result<Vec<Written>, Error>;

    /// How many slots may be appended at once, each on its own: at least 1. More than one pays where an append is a
    /// journey over the network. The embedded log writes one behind the other.
    fn slots_in_flight(&self) -> usize {
        1
    }

    /// How many bytes of events a slot is to have at most, where more than one commit waits for it.
    fn slot_bytes(&self) -> usize {
        MAX_SLOT_BYTES
    }

    /// How often an append whose outcome stays unknown is tried before the node gives its log up. A disk of its own that
    /// fails for long is broken; a store that is a journey away may come back, and until then nothing is lost by waiting.
    fn append_tries(&self) -> u32 {
        MAX_APPEND_TRIES
    }

    /// Forgets the slots before `before`. Called only for slots whose content the tables hold durably.
    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error>;
}
