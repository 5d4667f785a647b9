//! The log on one machine: a keyspace of fjall, and a real sync before every acknowledgement.
//!
//! A slot is one record, in a database that holds nothing else; see docs/ENGINE-STORAGE.md for why, and for what a
//! start checks.

mod acknowledged;
mod check;
mod copy;
mod database;
mod error;
mod journal;

use std::collections::HashMap;
use std::sync::Arc;

use ::fjall::PersistMode;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub use self::database::Store;
pub(crate) use self::database::TablesDatabase;
pub use self::error::StorageError;

use self::acknowledged::Mark;
use self::database::LogDatabase;
use super::{Appended, Error, Log, Written};
use crate::engine::ids::{LogId, Slot};

/// Bound on the slots that one batch of a trim removes.
const TRIM_BATCH_SLOTS: u64 = 4096;
/// A slot's key: log id and slot, big-endian, so that the order of keys is the order of slots.
const SLOT_KEY_BYTES: usize = 16;

const ACKNOWLEDGED_AND_MISSING: &str =
    "it was acknowledged and is not there; restore the engine's folder from a backup";
const TRIMMED_AND_WANTED: &str = "it was trimmed because the tables held it, and now they do not: their newest \
    changes are lost; restore the engine's folder from a backup";

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
        let LogDatabase { database, slots, .. } = &self.store.log;
        let failed = |error| self.store.error(error);
        let held = if slot < extent.end { slots.get(slot_key(log, slot)) } else { Ok(None) };
        match held.map_err(failed)? {
            Some(held) if *held != *bytes => return Ok(Appended::Lost),
            // Written by an append whose outcome was unknown; whether it was synced is, too.
            Some(_) => database.persist(PersistMode::SyncData).map_err(failed)?,
            None => {
                let mut batch = database.batch().durability(Some(PersistMode::SyncData));
                batch.insert(slots, slot_key(log, slot), bytes);
                batch.commit().map_err(failed)?;
            }
        }
        logs.insert(log, Extent { end: extent.end.max(slot.next()), ..extent });
        self.acknowledge(log, slot);
        Ok(Appended::Applied)
    }

    /// Remembers that `slot` was acknowledged, if every earlier slot was.
    fn acknowledge(&self, log: LogId, slot: Slot) {
        let mut acknowledged = self.store.acknowledged.lock();
        let slots_keyspace = self.store.log.slots.id();
        let follows = acknowledged.newest().is_none_or(|mark| {
            (mark.log == log && mark.next == slot) || (mark.log < log && slot == Slot(0))
        });
        if !follows {
            return;
        }
        // The slot is durable whether this succeeds or not; a failure makes a later check for loss weaker, no more.
        if let Err(error) = acknowledged.remember(Mark { log, next: slot.next(), slots_keyspace }) {
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
                floor: log_floor(&self.store.log, log)?,
                end: log_end(&self.store.log, log)?,
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
        for entry in self.store.log.slots.range(range) {
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

    fn trim_slots(&self, log: LogId, before: Slot) -> Result<(), StorageError> {
        let mut logs = self.logs.lock();
        let mut extent = self.extent(&mut logs, log)?;
        let target = before.min(extent.end);
        let LogDatabase { database, slots, trimmed } = &self.store.log;
        while extent.floor < target {
            let until = Slot(target.0.min(extent.floor.0 + TRIM_BATCH_SLOTS));
            let mut batch = database.batch();
            for slot in extent.floor.0..until.0 {
                batch.remove(slots, slot_key(log, Slot(slot)));
            }
            batch.insert(trimmed, log.0.to_be_bytes(), until.0.to_be_bytes());
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
        let damaged = |slot, what: &str| Error::Damaged { log, slot, what: what.to_owned() };
        let floor = log_floor(&self.store.log, log)
            .map_err(|error| Error::Store(self.store.error(error).to_string()))?;
        if from < floor {
            return Err(damaged(from, TRIMMED_AND_WANTED));
        }
        let (slots, stopped_at) =
            self.read_slots(log, from, limit_bytes).map_err(|error| match error {
                StorageError::Damaged { .. } => damaged(from, &error.to_string()),
                error => Error::Store(error.to_string()),
            })?;
        let gathered: usize = slots.iter().map(|written| written.bytes.len()).sum();
        let stopped_early = gathered < limit_bytes || slots.is_empty();
        let was_acknowledged = mark.is_some_and(|mark| mark.log == log && stopped_at < mark.next);
        if stopped_early && was_acknowledged {
            return Err(damaged(stopped_at, ACKNOWLEDGED_AND_MISSING));
        }
        Ok(slots)
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error> {
        self.trim_slots(log, before).map_err(|error| Error::Store(error.to_string()))
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

/// How far a log is trimmed.
fn log_floor(database: &LogDatabase, log: LogId) -> ::fjall::Result<Slot> {
    let value = database.trimmed.get(log.0.to_be_bytes())?;
    let floor = value.and_then(|value| value.as_ref().try_into().ok().map(u64::from_be_bytes));
    Ok(Slot(floor.unwrap_or_default()))
}

/// The slot behind the newest one of a log, or behind those that were trimmed.
fn log_end(database: &LogDatabase, log: LogId) -> ::fjall::Result<Slot> {
    let range = slot_key(log, Slot(0))..=slot_key(log, Slot(u64::MAX));
    let newest = match database.slots.range(range).next_back() {
        Some(entry) => decode_key(&entry.key()?).map(|(_, slot)| slot.next()),
        None => None,
    };
    Ok(newest.unwrap_or_default().max(log_floor(database, log)?))
}

/// The first slot from `from` on that a log does not hold.
fn first_gap(database: &LogDatabase, log: LogId, from: Slot) -> ::fjall::Result<Slot> {
    let mut expected = from;
    for entry in database.slots.range(slot_key(log, from)..=slot_key(log, Slot(u64::MAX))) {
        if *entry.key()? != slot_key(log, expected) {
            break;
        }
        expected = expected.next();
    }
    Ok(expected)
}

/// The highest log id that holds a slot.
fn newest_log(database: &LogDatabase) -> ::fjall::Result<LogId> {
    let newest = match database.slots.last_key_value() {
        Some(entry) => decode_key(&entry.key()?).map(|(log, _)| log),
        None => None,
    };
    Ok(newest.unwrap_or_default())
}

fn decode_key(key: &[u8]) -> Option<(LogId, Slot)> {
    key.try_into().ok().map(decode_slot_key)
}
