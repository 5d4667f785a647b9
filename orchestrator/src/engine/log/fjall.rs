//! The log on one machine: a keyspace of fjall, and a real sync before every acknowledgement.
//!
//! A slot is one record. fjall appends it to its journal, which the keyed tables share, and the sync that follows covers
//! everything that was written to them before. See docs/ENGINE-STORAGE.md for what a start checks.

mod acknowledged;
mod check;
mod database;
mod error;
mod journal;

use std::collections::HashMap;
use std::sync::Arc;

use ::fjall::PersistMode;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub(crate) use self::database::Keyspaces;
pub use self::database::Store;
pub use self::error::StorageError;

use self::acknowledged::Mark;
use super::{Appended, Error, Log, Written};
use crate::engine::ids::{LogId, Slot};

/// Slots are forgotten by whole buckets of this many, so that a trim is one batch for many slots.
const BUCKET_SLOTS: u64 = 64;
/// Bound on the slots that one batch of a trim removes.
const TRIM_BATCH_SLOTS: u64 = 64 * BUCKET_SLOTS;
/// A slot's key: log id and slot, big-endian, so that the order of keys is the order of slots.
const SLOT_KEY_BYTES: usize = 16;
/// Prefix in the `meta` keyspace of how far a log is trimmed; the log's id follows.
const TRIMMED_PREFIX: &[u8] = b"trimmed/";

/// The log form of a [`Store`].
pub struct FjallLog {
    store: Arc<Store>,
    /// What is known of each log that was used since the start. Held for the whole of an append: slots are written one by one.
    logs: Mutex<HashMap<LogId, Extent>>,
}

/// Where a log begins and ends.
#[derive(Clone, Copy)]
struct Extent {
    /// Slots before this one were trimmed.
    floor: Slot,
    /// The slot behind the newest.
    end: Slot,
}

impl FjallLog {
    /// The log of an open store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, logs: Mutex::default() }
    }

    /// `Ok` tells what became of the slot, durably; an error leaves it unknown.
    fn append_and_sync(
        &self,
        log: LogId,
        slot: Slot,
        bytes: &[u8],
    ) -> Result<Appended, StorageError> {
        let mut logs = self.logs.lock();
        let extent = self.extent(&mut logs, log)?;
        if slot < extent.floor {
            return Ok(Appended::Lost);
        }
        let keyspaces = &self.store.keyspaces;
        if slot < extent.end {
            let held =
                keyspaces.log.get(slot_key(log, slot)).map_err(|error| self.store.error(error))?;
            match held {
                Some(held) if *held != *bytes => return Ok(Appended::Lost),
                Some(_) => {
                    self.store.sync()?;
                    return Ok(Appended::Applied);
                }
                None => {}
            }
        }
        let mut batch = self.store.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&keyspaces.log, slot_key(log, slot), bytes);
        batch.commit().map_err(|error| self.store.error(error))?;
        logs.insert(log, Extent { end: extent.end.max(slot.next()), ..extent });
        self.acknowledge(log, slot);
        Ok(Appended::Applied)
    }

    /// Remembers that `slot` was acknowledged, if every earlier slot was.
    fn acknowledge(&self, log: LogId, slot: Slot) {
        let mut acknowledged = self.store.acknowledged.lock();
        let log_keyspace = self.store.keyspaces.log.id();
        let follows = acknowledged.newest().is_none_or(|mark| {
            (mark.log == log && mark.next == slot) || (mark.log < log && slot == Slot(0))
        });
        if !follows {
            return;
        }
        // The slot is durable whether this succeeds or not; a failure makes a later check for loss weaker, no more.
        if let Err(error) = acknowledged.remember(Mark { log, next: slot.next(), log_keyspace }) {
            tracing::warn!(%error, "could not write down how far the log was acknowledged");
        }
    }

    fn extent(
        &self,
        logs: &mut HashMap<LogId, Extent>,
        log: LogId,
    ) -> Result<Extent, StorageError> {
        if let Some(extent) = logs.get(&log) {
            return Ok(*extent);
        }
        let read = || -> ::fjall::Result<Extent> {
            Ok(Extent {
                floor: log_floor(&self.store.keyspaces, log)?,
                end: log_end(&self.store.keyspaces, log)?,
            })
        };
        let extent = read().map_err(|error| self.store.error(error))?;
        logs.insert(log, extent);
        Ok(extent)
    }

    /// Reads until the first gap; also returns the slot at which it stopped.
    fn read_slots(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<(Vec<Written>, Slot), StorageError> {
        let mut slots = Vec::new();
        let mut expected = from;
        let mut gathered = 0;
        let range = slot_key(log, from)..=slot_key(log, Slot(u64::MAX));
        for entry in self.store.keyspaces.log.range(range) {
            let (key, value) = entry.into_inner().map_err(|error| self.store.error(error))?;
            if *key != slot_key(log, expected) || (gathered >= limit_bytes && !slots.is_empty()) {
                break;
            }
            gathered += value.len();
            slots.push(Written { slot: expected, bytes: Bytes::copy_from_slice(&value) });
            expected = expected.next();
        }
        Ok((slots, expected))
    }

    fn trim_buckets(&self, log: LogId, before: Slot) -> Result<(), StorageError> {
        let mut logs = self.logs.lock();
        let mut extent = self.extent(&mut logs, log)?;
        let target = Slot(before.0.min(extent.end.0) / BUCKET_SLOTS * BUCKET_SLOTS);
        while extent.floor < target {
            let until = Slot(target.0.min(extent.floor.0 + TRIM_BATCH_SLOTS));
            let mut batch = self.store.database.batch();
            for slot in extent.floor.0..until.0 {
                batch.remove(&self.store.keyspaces.log, slot_key(log, Slot(slot)));
            }
            batch.insert(&self.store.keyspaces.meta, trimmed_key(log), until.0.to_be_bytes());
            batch.commit().map_err(|error| self.store.error(error))?;
            extent.floor = until;
            logs.insert(log, extent);
        }
        Ok(())
    }
}

#[async_trait]
impl Log for FjallLog {
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended {
        self.append_and_sync(log, slot, &bytes)
            .unwrap_or_else(|error| Appended::Unknown(error.to_string()))
    }

    async fn read(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<Vec<Written>, Error> {
        // Taken first: what is acknowledged while the read goes on need not be in it.
        let mark = self.store.acknowledged.lock().newest();
        let damaged = |slot, what: String| Error::Damaged { log, slot, what };
        let (slots, stopped_at) =
            self.read_slots(log, from, limit_bytes).map_err(|error| match error {
                StorageError::Damaged { .. } => damaged(from, error.to_string()),
                error => Error::Store(error.to_string()),
            })?;
        let floor = log_floor(&self.store.keyspaces, log)
            .map_err(|error| Error::Store(self.store.error(error).to_string()))?;
        let gathered: usize = slots.iter().map(|written| written.bytes.len()).sum();
        let stopped_early = gathered < limit_bytes || slots.is_empty();
        let acknowledged = mark.is_some_and(|mark| mark.log == log && stopped_at < mark.next);
        if stopped_early && acknowledged && from >= floor {
            let what =
                "it was acknowledged and is not there; restore the engine's folder from a backup";
            return Err(damaged(stopped_at, what.to_owned()));
        }
        Ok(slots)
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error> {
        self.trim_buckets(log, before).map_err(|error| Error::Store(error.to_string()))
    }
}

fn slot_key(log: LogId, slot: Slot) -> [u8; SLOT_KEY_BYTES] {
    let mut key = [0; SLOT_KEY_BYTES];
    key[..8].copy_from_slice(&log.0.to_be_bytes());
    key[8..].copy_from_slice(&slot.0.to_be_bytes());
    key
}

fn decode_slot_key(key: [u8; SLOT_KEY_BYTES]) -> (LogId, Slot) {
    let number = u128::from_be_bytes(key);
    let low = u64::try_from(number & u128::from(u64::MAX)).expect("masked to 64 bits");
    let high = u64::try_from(number >> 64).expect("shifted to 64 bits");
    (LogId(high), Slot(low))
}

fn trimmed_key(log: LogId) -> Vec<u8> {
    [TRIMMED_PREFIX, &log.0.to_be_bytes()].concat()
}

/// How far a log is trimmed.
fn log_floor(keyspaces: &Keyspaces, log: LogId) -> ::fjall::Result<Slot> {
    let value = keyspaces.meta.get(trimmed_key(log))?;
    let floor = value.and_then(|value| value.as_ref().try_into().ok().map(u64::from_be_bytes));
    Ok(Slot(floor.unwrap_or_default()))
}

/// The slot behind the newest one of a log, or behind those that were trimmed.
fn log_end(keyspaces: &Keyspaces, log: LogId) -> ::fjall::Result<Slot> {
    let range = slot_key(log, Slot(0))..=slot_key(log, Slot(u64::MAX));
    let newest = match keyspaces.log.range(range).next_back() {
        Some(entry) => decode_key(&entry.key()?).map(|(_, slot)| slot.next()),
        None => None,
    };
    Ok(newest.unwrap_or_default().max(log_floor(keyspaces, log)?))
}

/// The first slot from `from` on that a log does not hold.
fn first_gap(keyspaces: &Keyspaces, log: LogId, from: Slot) -> ::fjall::Result<Slot> {
    let mut expected = from;
    for entry in keyspaces.log.range(slot_key(log, from)..=slot_key(log, Slot(u64::MAX))) {
        if *entry.key()? != slot_key(log, expected) {
            break;
        }
        expected = expected.next();
    }
    Ok(expected)
}

/// The highest log id that holds a slot.
fn newest_log(keyspaces: &Keyspaces) -> ::fjall::Result<LogId> {
    let newest = match keyspaces.log.last_key_value() {
        Some(entry) => decode_key(&entry.key()?).map(|(log, _)| log),
        None => None,
    };
    Ok(newest.unwrap_or_default())
}

fn decode_key(key: &[u8]) -> Option<(LogId, Slot)> {
    key.try_into().ok().map(decode_slot_key)
}
