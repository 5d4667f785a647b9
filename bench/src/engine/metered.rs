//! A log that counts what is appended to it.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use souk_orchestrator::engine::ids::{LogId, Slot};
use souk_orchestrator::engine::log::{Appended, Error, Log, Written};

/// A log, and what went into it.
pub struct Metered<L> {
    log: L,
    slots: AtomicU64,
    bytes: AtomicU64,
}

impl<L> Metered<L> {
    /// Counts from now on.
    pub fn new(log: L) -> Metered<L> {
        Metered { log, slots: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Slots that were appended.
    pub fn slots(&self) -> u64 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Bytes in them.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl<L: Log> Log for Metered<L> {
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended {
        self.slots.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.log.append(log, slot, bytes).await
    }

    async fn read(&self, log: LogId, from: Slot, limit: usize) -> Result<Vec<Written>, Error> {
        self.log.read(log, from, limit).await
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error> {
        self.log.trim(log, before).await
    }
}
