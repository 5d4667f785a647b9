//! The log on CQL: a slot is one conditional insert.
//!
//! Slots are in partitions of `(log, bucket, lane)`: conditional writes of one partition hinder each other, so slots that
//! are in flight together are in different lanes; and a log is trimmed by whole buckets, which leaves a tombstone per
//! lane and not one per slot. The bucket of the newest slot is never among them, so a SEAL is never deleted.
//!
//! A slot larger than [`MAX_INLINE_BYTES`] is written in parts before, by plain writes, and holds their digest: what
//! every replica must agree on stays small.
//!
//! Reads settle what is under way: after a slot was read as empty, an append that was sent before and not decided yet
//! never becomes the slot's content unless it is sent again.

mod parts;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use souk_mesh::cql::{self, Kind, Prepared, Session};

use self::parts::Parts;
use super::{signed, unsigned};
use crate::engine::ids::{LogId, Slot};
use crate::engine::limits::MAX_DISTANT_APPEND_TRIES;
use crate::engine::log::{Appended, Error, Log, Written};

/// Slots that may be appended at once.
pub const SLOTS_IN_FLIGHT: usize = 8;
/// Partitions over which the slots of a bucket are spread: two slots in flight are never in the same.
const LANES: u64 = 8;
const _: () = assert!(LANES as usize >= SLOTS_IN_FLIGHT);
/// Slots of a bucket, over all lanes.
const SLOTS_PER_BUCKET: u64 = 1024;
/// Bytes of a slot that the committer fills, about: conditional writes become slow beyond.
pub const SLOT_BYTES: usize = 128 * 1024;
/// Bytes of a slot that are within its row. A larger one is a single commit of unusual size.
pub const MAX_INLINE_BYTES: usize = 256 * 1024;
/// Slots that are read at once, all lanes together.
const SLOTS_PER_READ: u64 = 4 * LANES;

/// The log form of a keyspace.
pub struct CqlLog {
    session: Session,
    statements: Statements,
    parts: Parts,
    /// How far logs are known to be trimmed.
    trimmed: Mutex<BTreeMap<LogId, Slot>>,
}

struct Statements {
    append: Prepared,
    settled: Prepared,
    window: Prepared,
    large: Prepared,
    empty_lane: Prepared,
    trim: Prepared,
    set_trimmed: Prepared,
    set_emptied: Prepared,
}

impl Statements {
    async fn prepare(session: &Session) -> Result<Statements, cql::Error> {
        let place = "log_id = ? AND bucket = ? AND lane = ?";
        let append = "INSERT INTO {}.log_slot (log_id, bucket, lane, slot, parts, bytes)
            VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        let settled = format!("SELECT parts, bytes FROM {{}}.log_slot WHERE {place} AND slot = ?");
        let window = format!(
            "SELECT slot, parts, bytes FROM {{}}.log_slot
            WHERE {place} AND slot >= ? AND slot < ?"
        );
        let large = format!("SELECT slot, parts FROM {{}}.log_slot WHERE {place}");
        let empty_lane = format!("DELETE FROM {{}}.log_slot WHERE {place}");
        let trim = "SELECT trimmed, emptied FROM {}.log_trim WHERE log_id = ?";
        // What is trimmed only grows: the timestamp is the slot.
        let set_trimmed = "UPDATE {}.log_trim USING TIMESTAMP ? SET trimmed = ? WHERE log_id = ?";
        let set_emptied = "UPDATE {}.log_trim USING TIMESTAMP ? SET emptied = ? WHERE log_id = ?";
        Ok(Statements {
            append: session.prepare(Kind::Conditional, append).await?,
            settled: session.prepare(Kind::SettledRead, &settled).await?,
            window: session.prepare(Kind::SettledRead, &window).await?,
            large: session.prepare(Kind::Read, &large).await?,
            empty_lane: session.prepare(Kind::Write, &empty_lane).await?,
            trim: session.prepare(Kind::Read, trim).await?,
            set_trimmed: session.prepare(Kind::Write, set_trimmed).await?,
            set_emptied: session.prepare(Kind::Write, set_emptied).await?,
        })
    }
}

/// A partition of the log.
fn partition_of(log: LogId, slot: Slot) -> (i64, i64, i8) {
    let lane = (slot.0 % LANES) as i8;
    (signed(log.0), signed(slot.0 / SLOTS_PER_BUCKET), lane)
}

/// What a slot's row holds: the bytes themselves, or how many parts there are and their digest.
type Content = (i32, Bytes);

impl CqlLog {
    /// The log in an open keyspace.
    ///
    /// # Errors
    /// Those of [`Session::prepare`].
    pub async fn open(session: &Session) -> Result<CqlLog, cql::Error> {
        let trimmed = Mutex::default();
        let statements = Statements::prepare(session).await?;
        let parts = Parts::prepare(session).await?;
        Ok(CqlLog { session: session.clone(), statements, parts, trimmed })
    }

    async fn try_append(
        &self,
        log: LogId,
        slot: Slot,
        bytes: Bytes,
    ) -> Result<Appended, cql::Error> {
        if slot < self.known_trim(log).await? {
            return Ok(Appended::Lost);
        }
        let content = if bytes.len() <= MAX_INLINE_BYTES {
            (0, bytes)
        } else {
            self.parts.write(log, slot, &bytes).await?
        };
        let (log_id, bucket, lane) = partition_of(log, slot);
        let number = signed(slot.0);
        let values = (log_id, bucket, lane, number, content.0, &content.1);
        if self.session.conditional(&self.statements.append, values).await? {
            return Ok(Appended::Applied);
        }
        let place = (log_id, bucket, lane, number);
        let found: Option<Content> = self.session.row(&self.statements.settled, place).await?;
        Ok(match found {
            Some(found) if found == content => Appended::Applied,
            Some(_) => Appended::Lost,
            None => Appended::Unknown("the slot is taken, and there is nothing in it".into()),
        })
    }

    /// How far a log is trimmed, and how far its buckets are deleted.
    async fn trim_of(&self, log: LogId) -> Result<(Slot, Slot), cql::Error> {
        let row: Option<(Option<i64>, Option<i64>)> =
            self.session.row(&self.statements.trim, (signed(log.0),)).await?;
        let slot = |number: Option<i64>| Slot(number.map_or(0, unsigned));
        let (trimmed, emptied) = row.unwrap_or_default();
        self.note_trim(log, slot(trimmed));
        Ok((slot(trimmed), slot(emptied)))
    }

    /// How far a log was trimmed when this process first met it, or by itself since. Nobody else trims a log that is
    /// written; of one that was sealed, all slots before the SEAL were appended already, and nothing is appended to them
    /// but the same bytes again.
    async fn known_trim(&self, log: LogId) -> Result<Slot, cql::Error> {
        let known = self.trimmed.lock().get(&log).copied();
        match known {
            Some(trimmed) => Ok(trimmed),
            None => Ok(self.trim_of(log).await?.0),
        }
    }

    fn note_trim(&self, log: LogId, trimmed: Slot) {
        let mut known = self.trimmed.lock();
        let entry = known.entry(log).or_insert(trimmed);
        *entry = trimmed.max(*entry);
    }

    /// The contiguous slots of a part of a bucket.
    async fn read_window(
        &self,
        log: LogId,
        from: Slot,
        end: Slot,
    ) -> Result<Vec<(Slot, Content)>, cql::Error> {
        let lanes = (from.0..end.0).take(LANES as usize).map(|first| async move {
            let (log_id, bucket, lane) = partition_of(log, Slot(first));
            let values = (log_id, bucket, lane, signed(from.0), signed(end.0));
            self.session.rows::<(i64, i32, Bytes)>(&self.statements.window, values).await
        });
        let rows: Vec<Vec<(i64, i32, Bytes)>> =
            stream::iter(lanes).buffered(LANES as usize).try_collect().await?;
        let mut found: BTreeMap<u64, Content> = rows
            .into_iter()
            .flatten()
            .map(|(slot, parts, bytes)| (unsigned(slot), (parts, bytes)))
            .collect();
        Ok((from.0..end.0).map_while(|slot| Some((Slot(slot), found.remove(&slot)?))).collect())
    }

    async fn empty_bucket(&self, log: LogId, bucket: u64) -> Result<(), cql::Error> {
        let lanes = (0..LANES).map(|lane| async move {
            let place = partition_of(log, Slot(bucket * SLOTS_PER_BUCKET + lane));
            let slots: Vec<(i64, i32)> = self.session.rows(&self.statements.large, place).await?;
            for (slot, _) in slots.into_iter().filter(|(_, parts)| *parts > 0) {
                let of = (place.0, place.1, place.2, slot);
                let content: Option<Content> =
                    self.session.row(&self.statements.settled, of).await?;
                if let Some((_, digest)) = content {
                    self.parts.delete(log, Slot(unsigned(slot)), &digest).await?;
                }
            }
            self.session.write(&self.statements.empty_lane, place).await
        });
        stream::iter(lanes).buffer_unordered(LANES as usize).try_collect::<()>().await
    }
}

#[async_trait]
impl Log for CqlLog {
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended {
        let appended = self.try_append(log, slot, bytes).await;
        appended.unwrap_or_else(|error| Appended::Unknown(error.to_string()))
    }

    fn slots_in_flight(&self) -> usize {
        SLOTS_IN_FLIGHT
    }

    fn slot_bytes(&self) -> usize {
        SLOT_BYTES
    }

    fn append_tries(&self) -> u32 {
        MAX_DISTANT_APPEND_TRIES
    }

    async fn read(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<Vec<Written>, Error> {
        let trimmed = self.trim_of(log).await.map_err(failed)?.0;
        if from < trimmed {
            let what = format!("it was trimmed up to slot {}", trimmed.0);
            return Err(Error::Damaged { log, slot: from, what });
        }
        let mut read = Vec::new();
        let mut gathered = 0;
        let mut next = from;
        loop {
            let bucket_end = (next.0 / SLOTS_PER_BUCKET + 1) * SLOTS_PER_BUCKET;
            let end = Slot((next.0 + SLOTS_PER_READ).min(bucket_end));
            for (slot, (parts, bytes)) in self.read_window(log, next, end).await.map_err(failed)? {
                let bytes = match parts {
                    0 => bytes,
                    _ => self.parts.read(log, slot, parts, bytes).await?,
                };
                gathered += bytes.len();
                read.push(Written { slot, bytes });
                next = slot.next();
                if gathered >= limit_bytes {
                    return Ok(read);
                }
            }
            if next < end {
                return Ok(read);
            }
        }
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error> {
        let (trimmed, emptied) = self.trim_of(log).await.map_err(failed)?;
        let before = before.max(trimmed);
        let number = signed(before.0);
        let values = (number, number, signed(log.0));
        self.session.write(&self.statements.set_trimmed, values).await.map_err(failed)?;
        self.note_trim(log, before);
        for bucket in emptied.0 / SLOTS_PER_BUCKET..before.0 / SLOTS_PER_BUCKET {
            self.empty_bucket(log, bucket).await.map_err(failed)?;
            let end = signed((bucket + 1) * SLOTS_PER_BUCKET);
            let values = (end, end, signed(log.0));
            self.session.write(&self.statements.set_emptied, values).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(error: cql::Error) -> Error {
    Error::Store(error.to_string())
}
