//! The rows that name what may have to be published, and who is to delete them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::{Builder, Uuid};

use super::super::{Error, Kind, Prepared, Session};
use crate::clock::SharedClock;

/// The tables of the outbox, for a step of the service's migrations.
///
/// A marker that comes back to life because a node was away for longer than `gc_grace_seconds` is harmless: its slot is
/// not read again, and if it is, something is published once more.
pub const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {}.outbox_marker (
        shard int, slot bigint, marker_id uuid, names frozen<list<frozen<tuple<text, bigint>>>>,
        PRIMARY KEY ((shard, slot), marker_id)
    ) WITH gc_grace_seconds = 10800",
    "CREATE TABLE IF NOT EXISTS {}.outbox_swept (shard int PRIMARY KEY, slot bigint)",
];

/// How much time one partition of markers holds, milliseconds.
pub const SLOT_MS: i64 = 10_000;
/// Partitions of one slot. An aggregate's markers are all in one of them, in the order of their time.
pub(super) const SHARDS: i32 = 4;
/// How long the write of a marker may take, from the choice of its slot: far less than slots stay open, so that a
/// process that was frozen meanwhile never writes into one that nobody looks at any more.
const WRITE_LIMIT: Duration = Duration::from_secs(15);
/// Markers that may wait to be deleted; more are left to the sweeper.
const WAITING_DELETES: usize = 16_384;
/// Most markers deleted by one statement: ScyllaDB takes at most 100 keys in one IN.
const DELETED_AT_ONCE: usize = 96;
/// How long markers gather before they are deleted: nobody waits for that, and the sweeper looks at none so young. A
/// process that ends meanwhile leaves them to the sweeper.
const DELETED_EVERY: Duration = Duration::from_millis(250);
/// Markers that are taken together.
const MAX_GATHERED: usize = 4_096;

/// Which partition an aggregate's markers are in.
pub(super) fn shard_of(aggregate: &str) -> i32 {
    // FNV-1a: the same in every process and build.
    let hash = aggregate
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash % SHARDS.unsigned_abs()) as i32
}

/// The slot of a time.
pub(super) fn slot_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(SLOT_MS)
}

/// Names a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MarkerKey {
    pub shard: i32,
    pub slot: i64,
    pub marker_id: Uuid,
}

/// A row: which aggregates may have something to tell, each from a version on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub key: MarkerKey,
    pub names: Vec<(String, i64)>,
}

/// The table, and what of it is this process's.
pub(super) struct Markers {
    session: Session,
    clock: SharedClock,
    insert: Prepared,
    delete: Prepared,
    page: Prepared,
    save_swept: Prepared,
    find_swept: Prepared,
    /// Those whose changes this process has in hand.
    open: Mutex<HashSet<Uuid>>,
    deletes: mpsc::Sender<MarkerKey>,
}

impl Markers {
    pub async fn open(session: &Session, clock: SharedClock) -> Result<Arc<Markers>, Error> {
        let insert = "INSERT INTO {}.outbox_marker (shard, slot, marker_id, names)
            VALUES (?, ?, ?, ?)";
        let delete = "DELETE FROM {}.outbox_marker
            WHERE shard = ? AND slot = ? AND marker_id IN ?";
        let page = "SELECT marker_id, names FROM {}.outbox_marker
            WHERE shard = ? AND slot = ? AND marker_id > ? LIMIT ?";
        let save_swept = "INSERT INTO {}.outbox_swept (shard, slot) VALUES (?, ?)";
        let find_swept = "SELECT slot FROM {}.outbox_swept WHERE shard = ?";
        let (deletes, to_delete) = mpsc::channel(WAITING_DELETES);
        let markers = Arc::new(Markers {
            session: session.clone(),
            clock,
            insert: session.prepare(Kind::Write, insert).await?,
            delete: session.prepare(Kind::Write, delete).await?,
            page: session.prepare(Kind::Read, page).await?,
            save_swept: session.prepare(Kind::Write, save_swept).await?,
            find_swept: session.prepare(Kind::Read, find_swept).await?,
            open: Mutex::default(),
            deletes,
        });
        let deleter = Deleter { session: session.clone(), delete: markers.delete.clone() };
        tokio::spawn(deleter.run(to_delete));
        Ok(markers)
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Writes one row for all of `names`; `number` keeps the rows of one millisecond in order.
    pub async fn write(
        self: &Arc<Self>,
        shard: i32,
        number: u16,
        names: &[(String, i64)],
    ) -> Result<Arc<Group>, Error> {
        let began = Instant::now();
        let now_ms = self.now_ms();
        let marker_id = new_id(now_ms, number);
        let key = MarkerKey { shard, slot: slot_of(now_ms), marker_id };
        self.open.lock().insert(marker_id);
        let group = Arc::new(Group { key, markers: Arc::clone(self), is_left: false.into() });
        let written = self.put(key, names).await;
        if written.is_ok() && began.elapsed() < WRITE_LIMIT {
            return Ok(group);
        }
        group.is_left.store(true, Ordering::Relaxed);
        written?;
        Err(Error::Unavailable("the outbox's marker took too long".to_owned()))
    }

    /// Writes or replaces a row.
    pub async fn put(&self, key: MarkerKey, names: &[(String, i64)]) -> Result<(), Error> {
        let MarkerKey { shard, slot, marker_id } = key;
        self.session.write(&self.insert, (shard, slot, marker_id, names)).await
    }

    /// The next rows of a partition.
    pub async fn page(
        &self,
        shard: i32,
        slot: i64,
        after: Uuid,
        limit: i32,
    ) -> Result<Vec<Row>, Error> {
        type Columns = (Uuid, Vec<(String, i64)>);
        let rows: Vec<Columns> = self.session.rows(&self.page, (shard, slot, after, limit)).await?;
        let row = |(marker_id, names)| Row { key: MarkerKey { shard, slot, marker_id }, names };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Whether this process has the marker's changes in hand.
    pub fn is_open(&self, marker_id: Uuid) -> bool {
        self.open.lock().contains(&marker_id)
    }

    /// Deletes rows of one partition.
    pub async fn delete(&self, shard: i32, slot: i64, ids: Vec<Uuid>) -> Result<(), Error> {
        self.session.write(&self.delete, (shard, slot, ids)).await
    }

    /// From which slot on a shard must be looked at.
    pub async fn swept(&self, shard: i32) -> Result<Option<i64>, Error> {
        let row: Option<(i64,)> = self.session.row(&self.find_swept, (shard,)).await?;
        Ok(row.map(|(slot,)| slot))
    }

    /// Saves that for the next start. Processes that disagree only make the next one look once more.
    pub async fn save_swept(&self, shard: i32, slot: i64) -> Result<(), Error> {
        self.session.write(&self.save_swept, (shard, slot)).await
    }
}

/// A version 7 UUID: rows come back in the order of their time, then of their number.
fn new_id(now_ms: i64, number: u16) -> Uuid {
    let mut bytes: [u8; 10] = rand::random();
    bytes[..2].copy_from_slice(&(number & 0x0fff).to_be_bytes());
    Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &bytes).into_uuid()
}

/// When a marker was made, unix milliseconds.
pub(super) fn made_at_ms(marker_id: Uuid) -> i64 {
    marker_id.as_u64_pair().0.cast_signed() >> 16
}

/// A row that this process wrote, deleted when all who share it have settled.
pub(super) struct Group {
    key: MarkerKey,
    markers: Arc<Markers>,
    is_left: AtomicBool,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.markers.open.lock().remove(&self.key.marker_id);
        if !self.is_left.load(Ordering::Relaxed) {
            // Behind, as nobody waits for it. One that cannot be deleted is swept.
            let _ = self.markers.deletes.try_send(self.key);
        }
    }
}

/// One aggregate's part of a row. Dropped unsettled, it leaves the row to the sweeper.
pub(super) struct Share {
    group: Arc<Group>,
    is_settled: bool,
}

impl Share {
    pub fn of(group: &Arc<Group>) -> Share {
        Share { group: Arc::clone(group), is_settled: false }
    }

    /// Nothing is left to be published.
    pub fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.is_settled {
            self.group.is_left.store(true, Ordering::Relaxed);
        }
    }
}

/// Deletes behind, many at once; ends with the outbox.
struct Deleter {
    session: Session,
    delete: Prepared,
}

impl Deleter {
    async fn run(self, mut to_delete: mpsc::Receiver<MarkerKey>) {
        let mut keys = Vec::new();
        while to_delete.recv_many(&mut keys, MAX_GATHERED).await > 0 {
            tokio::time::sleep(DELETED_EVERY).await;
            while keys.len() < MAX_GATHERED
                && let Ok(key) = to_delete.try_recv()
            {
                keys.push(key);
            }
            keys.sort_unstable_by_key(|key| (key.shard, key.slot));
            let of_one_partition =
                |a: &MarkerKey, b: &MarkerKey| (a.shard, a.slot) == (b.shard, b.slot);
            let partitions = keys.chunk_by(of_one_partition);
            for partition in partitions.flat_map(|keys| keys.chunks(DELETED_AT_ONCE)) {
                let ids: Vec<Uuid> = partition.iter().map(|key| key.marker_id).collect();
                let MarkerKey { shard, slot, .. } = partition[0];
                if let Err(error) = self.session.write(&self.delete, (shard, slot, ids)).await {
                    tracing::debug!(%error, "markers are left to be swept again");
                }
            }
            keys.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_their_time_and_sort_by_it() {
        let ids = [
            new_id(1_800_000_000_000, 9),
            new_id(1_800_000_000_000, 10),
            new_id(1_800_000_000_001, 0),
        ];
        assert!(ids.is_sorted());
        assert_eq!(ids.map(made_at_ms), [1_800_000_000_000, 1_800_000_000_000, 1_800_000_000_001]);
        assert_eq!(ids[0].get_version_num(), 7);
    }

    #[test]
    fn an_aggregate_has_one_shard_for_ever() {
        assert_eq!(["", "a", "b", "order-1"].map(shard_of), [1, 0, 1, 1]);
    }
}
