//! What the sweeper looks at, in order of time: holds that run out and tombstones that may go. Plain writes, and a
//! backstop only: an entry says that a reservation is to be looked at, and decides nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use scylla::DeserializeRow;
use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use uuid::Uuid;

use super::partition::{lines_of, map_of};
use crate::domain::Line;
use crate::error::Error;

/// The time that one partition of `due` covers: short, as it fills with what was deleted.
const BUCKET_MS: i64 = 10_000;
/// The time that one partition of `due_bucket` covers.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A bucket is looked at as a whole once more, and dropped, when it has been over for so long: by then entries of
/// processes whose clocks are behind have arrived.
const DROP_AFTER_MS: i64 = 60_000;
/// Entries that come later than the sweep by up to this are found by the next one; later ones with the last look.
const LATE_MS: i64 = 5_000;
/// How far back a process that has just started looks; a shop that was down for longer has had its holds looked after
/// by the workflows that made them.
const MAX_BEHIND_MS: i64 = 40 * DAY_MS;
/// Buckets that are listed at once.
const MAX_BUCKETS: i32 = 64;
/// Entries that are read at once.
const MAX_PAGE: usize = 256;
/// Turns the order of signed numbers into that of their bytes.
const SIGN: u64 = 1 << 63;
/// Buckets that a process remembers to have entered in the list; it enters them again otherwise.
const MAX_KNOWN: usize = 16_384;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Matter {
    /// A hold that runs out.
    Hold,
    /// A tombstone that may go.
    Tombstone,
}

impl Matter {
    fn number(self) -> i8 {
        match self {
            Matter::Hold => 1,
            Matter::Tombstone => 2,
        }
    }
}

/// A reservation that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Since when, in unix milliseconds.
    pub(super) at_ms: i64,
    /// Which one.
    pub(super) id: Uuid,
    /// Its lines; none of a tombstone.
    pub(super) lines: Vec<Line>,
}

/// How far this process has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Buckets before this one are dropped; `None` before the first look.
    from_bucket: Option<i64>,
    /// All entries up to then have been looked at.
    swept_to_ms: i64,
}

#[derive(DeserializeRow)]
struct Row {
    position: Vec<u8>,
    lines: Option<BTreeMap<Uuid, i32>>,
}

/// The statements of the tables `due` and `due_bucket`.
pub(super) struct Due {
    session: Session,
    put: Prepared,
    put_bucket: Prepared,
    buckets: Prepared,
    entries: Prepared,
    delete: Prepared,
    drop_bucket: Prepared,
    known: Mutex<HashSet<(Matter, i64)>>,
    holds: Mutex<Progress>,
    tombstones: Mutex<Progress>,
}

impl Due {
    pub(super) async fn prepare(session: &Session) -> Result<Due, CqlError> {
        let put = "INSERT INTO {}.due (kind, bucket, position, lines) VALUES (?, ?, ?, ?)";
        let put_bucket = "INSERT INTO {}.due_bucket (kind, day, bucket) VALUES (?, ?, ?)";
        let buckets = format!(
            "SELECT bucket FROM {{}}.due_bucket
             WHERE kind = ? AND day = ? AND bucket >= ? AND bucket <= ? LIMIT {MAX_BUCKETS}"
        );
        let entries = "SELECT position, lines FROM {}.due
            WHERE kind = ? AND bucket = ? AND position >= ? AND position < ? LIMIT ?";
        let delete = "DELETE FROM {}.due WHERE kind = ? AND bucket = ? AND position = ?";
        let drop_bucket = "DELETE FROM {}.due_bucket WHERE kind = ? AND day = ? AND bucket = ?";
        Ok(Due {
            put: session.prepare(Kind::Write, put).await?,
            put_bucket: session.prepare(Kind::Write, put_bucket).await?,
            buckets: session.prepare(Kind::Read, &buckets).await?,
            entries: session.prepare(Kind::Read, entries).await?,
            delete: session.prepare(Kind::Write, delete).await?,
            drop_bucket: session.prepare(Kind::Write, drop_bucket).await?,
            session: session.clone(),
            known: Mutex::default(),
            holds: Mutex::default(),
            tombstones: Mutex::default(),
        })
    }

    /// Has a reservation looked at from `entry.at_ms` on.
    pub(super) async fn put(&self, matter: Matter, entry: &Entry) -> Result<(), CqlError> {
        let bucket = bucket_of(entry.at_ms);
        if !lock(&self.known).contains(&(matter, bucket)) {
            let values = (matter.number(), day_of(bucket), bucket);
            self.session.write(&self.put_bucket, values).await?;
            let mut known = lock(&self.known);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert((matter, bucket));
        }
        let lines = (!entry.lines.is_empty()).then(|| map_of(&entry.lines));
        let values = (matter.number(), bucket, position(entry.at_ms, entry.id), lines);
        self.session.write(&self.put, values).await
    }

    /// At most `limit` entries whose time was over at `now_ms`, oldest first.
    pub(super) async fn page(
        &self,
        matter: Matter,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        let mut lowest = None;
        let last = bucket_of(now_ms);
        let oldest = bucket_of(now_ms.saturating_sub(MAX_BEHIND_MS));
        let mut from = self.progress(matter).from_bucket.map_or(oldest, |from| from.max(oldest));
        while from <= last && found.len() < limit {
            let buckets = self.buckets(matter, from, last).await?;
            for bucket in &buckets {
                let room = limit - found.len();
                let entries = self.entries(matter, *bucket, now_ms, room).await?;
                if entries.is_empty() && is_over(*bucket, now_ms) {
                    let values = (matter.number(), day_of(*bucket), *bucket);
                    self.session.write(&self.drop_bucket, values).await?;
                } else {
                    lowest.get_or_insert(*bucket);
                }
                found.extend(entries);
                if found.len() >= limit {
                    break;
                }
            }
            from = match buckets.last() {
                Some(bucket) if buckets.len() == MAX_BUCKETS as usize => bucket + 1,
                _ => (day_of(from) + 1) * (DAY_MS / BUCKET_MS),
            };
        }
        let clear = bucket_of(now_ms.saturating_sub(DROP_AFTER_MS)) - 1;
        if let Some(from) = lowest.or((found.len() < limit).then_some(clear)) {
            self.progress(matter).from_bucket = Some(from);
        }
        Ok(found)
    }

    /// All entries up to `now_ms` have been looked at.
    pub(super) fn swept(&self, matter: Matter, now_ms: i64) {
        self.progress(matter).swept_to_ms = now_ms;
    }

    /// An entry has been looked at.
    pub(super) async fn done(&self, matter: Matter, entry: &Entry) -> Result<(), CqlError> {
        let Entry { at_ms, id, .. } = *entry;
        let values = (matter.number(), bucket_of(at_ms), position(at_ms, id));
        self.session.write(&self.delete, values).await
    }

    async fn buckets(&self, matter: Matter, from: i64, last: i64) -> Result<Vec<i64>, CqlError> {
        let values = (matter.number(), day_of(from), from, last);
        let rows: Vec<(i64,)> = self.session.rows(&self.buckets, values).await?;
        Ok(rows.into_iter().map(|(bucket,)| bucket).collect())
    }

    async fn entries(
        &self,
        matter: Matter,
        bucket: i64,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        // What lies behind the last sweep is full of what was deleted, and read again only before it is dropped.
        let from_ms = match is_over(bucket, now_ms) {
            true => i64::MIN,
            false => self.progress(matter).swept_to_ms.saturating_sub(LATE_MS),
        };
        let (from, end) =
            (position(from_ms, Uuid::nil()), position(now_ms.saturating_add(1), Uuid::nil()));
        let values = (matter.number(), bucket, from, end, limit.min(MAX_PAGE) as i32);
        let rows: Vec<Row> = self.session.rows(&self.entries, values).await?;
        rows.into_iter().map(Row::entry).collect()
    }

    fn progress(&self, matter: Matter) -> MutexGuard<'_, Progress> {
        match matter {
            Matter::Hold => lock(&self.holds),
            Matter::Tombstone => lock(&self.tombstones),
        }
    }
}

impl Row {
    fn entry(self) -> Result<Entry, Error> {
        let damaged = || Error::Damaged(format!("due at {:02x?}", self.position));
        let (at_ms, id) = self.position.split_at_checked(8).ok_or_else(damaged)?;
        let at_ms = u64::from_be_bytes(at_ms.try_into().map_err(|_| damaged())?);
        let id = Uuid::from_slice(id).map_err(|_| damaged())?;
        let lines = self.lines.map_or_else(Vec::new, lines_of);
        Ok(Entry { at_ms: (at_ms ^ SIGN) as i64, id, lines })
    }
}

/// Where an entry stands in its bucket: in order of time, also before 1970.
fn position(at_ms: i64, id: Uuid) -> Vec<u8> {
    [(at_ms as u64 ^ SIGN).to_be_bytes().as_slice(), id.as_bytes()].concat()
}

fn bucket_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(BUCKET_MS)
}

fn day_of(bucket: i64) -> i64 {
    bucket.div_euclid(DAY_MS / BUCKET_MS)
}

fn is_over(bucket: i64, now_ms: i64) -> bool {
    let end_ms = (bucket + 1).saturating_mul(BUCKET_MS);
    end_ms.saturating_add(DROP_AFTER_MS) < now_ms
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
