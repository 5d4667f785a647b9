//! Which runs are in memory, by workflow id.
//!
//! A run that was started, or that something happened to, stays here until its events are in the tables. Whoever finds
//! nothing here looks into the tables, and comes back with what they say; [`Directory::insert`] refuses if a run has
//! left meanwhile, for then the tables must be asked again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::cell::{Held, RunCell};
use super::error::Error;
use super::idle::Idle;
use super::ownership::Ownership;
use super::partition::PartitionSet;

/// Locks over which the runs are spread.
const SHARDS: usize = 64;
/// A shard gives room back when it uses less than one in so many places …
const SHRINK_BELOW: usize = 8;
/// … but keeps room for so many runs.
const LEAST_PLACES: usize = 64;

#[derive(Default)]
struct Shard {
    cells: HashMap<Arc<str>, Arc<RunCell>>,
    /// How often a cell has left.
    departures: u64,
}

impl Shard {
    /// Gives back what a burst has left, well after it, so that no place is given back and taken in turn.
    fn shrink(&mut self) {
        let cells = self.cells.len().max(LEAST_PLACES);
        if self.cells.capacity() / SHRINK_BELOW >= cells {
            self.cells.shrink_to(2 * cells);
        }
    }
}

/// See the module.
pub(crate) struct Directory {
    shards: Vec<Mutex<Shard>>,
    count: AtomicUsize,
    idle: Arc<Idle>,
    ownership: Arc<Ownership>,
}

/// What a look into the directory found.
pub(crate) enum Found {
    /// The run is here.
    Here(Held),
    /// It is not. The number is for [`Directory::insert`].
    Absent(u64),
}

impl Directory {
    pub fn new(idle: Arc<Idle>, ownership: Arc<Ownership>) -> Directory {
        Directory {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            count: AtomicUsize::new(0),
            idle,
            ownership,
        }
    }

    fn shard(&self, workflow_id: &str) -> &Mutex<Shard> {
        let mut hasher = DefaultHasher::new();
        workflow_id.hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }

    /// How many runs are here.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// All that are here, one shard after the other.
    pub fn cells(&self) -> Vec<Arc<RunCell>> {
        let all = |shard: &Mutex<Shard>| shard.lock().cells.values().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(all).collect()
    }

    /// Looks for the newest run under a workflow id.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if this node does not serve it.
    pub fn find(&self, workflow_id: &str) -> Result<Found, Error> {
        let shard = self.shard(workflow_id).lock();
        self.ownership.check(workflow_id)?;
        Ok(match shard.cells.get(workflow_id) {
            Some(cell) => Found::Here(self.hold(cell)),
            None => Found::Absent(shard.departures),
        })
    }

    /// Adds a cell, unless one is here already (which is returned then), or one has left since `departures` was read, or
    /// the run is no longer this node's.
    pub fn insert(&self, cell: Arc<RunCell>, departures: u64) -> Option<Held> {
        let mut shard = self.shard(&cell.workflow_id).lock();
        // Under the lock: who hands a partition over takes out what is here after it has said so.
        if shard.departures != departures || self.ownership.check(&cell.workflow_id).is_err() {
            return None;
        }
        let held = match shard.cells.entry(cell.workflow_id.clone()) {
            Entry::Occupied(entry) => self.hold(entry.get()),
            Entry::Vacant(entry) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                self.hold(entry.insert(cell))
            }
        };
        Some(held)
    }

    /// The runs of some partitions. What was read of any of them before is void: it cannot be inserted any more.
    pub fn depart(&self, partitions: &PartitionSet) -> Vec<Arc<RunCell>> {
        let mut cells = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.departures += 1;
            cells.extend(
                shard.cells.values().filter(|one| partitions.holds(&one.workflow_id)).cloned(),
            );
        }
        cells
    }

    /// Puts the next turn of a run in the place of the one that has ended.
    pub fn replace(&self, next: &Arc<RunCell>) {
        let mut shard = self.shard(&next.workflow_id).lock();
        if shard.cells.insert(next.workflow_id.clone(), next.clone()).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a run in the place of another, if that is here still.
    pub fn replace_if(&self, old: &Arc<RunCell>, new: &Arc<RunCell>) -> bool {
        let mut shard = self.shard(&new.workflow_id).lock();
        match shard.cells.get_mut(&new.workflow_id) {
            Some(here) if Arc::ptr_eq(here, old) => {
                *here = new.clone();
                true
            }
            _ => false,
        }
    }

    /// Removes a cell whose run has ended and is in the tables.
    pub fn remove(&self, cell: &Arc<RunCell>) {
        let mut shard = self.shard(&cell.workflow_id).lock();
        self.remove_from(&mut shard, cell);
    }

    /// Removes a cell if nobody uses it and `may_leave` says so, under the directory's lock.
    pub fn remove_if(&self, cell: &Arc<RunCell>, may_leave: impl FnOnce() -> bool) -> bool {
        let mut shard = self.shard(&cell.workflow_id).lock();
        !cell.is_pinned() && may_leave() && self.remove_from(&mut shard, cell)
    }

    fn remove_from(&self, shard: &mut Shard, cell: &Arc<RunCell>) -> bool {
        let is_it = shard.cells.get(&cell.workflow_id).is_some_and(|here| Arc::ptr_eq(here, cell));
        if is_it {
            shard.cells.remove(&cell.workflow_id);
            shard.shrink();
            shard.departures += 1;
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        is_it
    }

    /// Keeps a cell in memory while it is used.
    pub fn hold(&self, cell: &Arc<RunCell>) -> Held {
        cell.pin();
        Held::of_pinned(cell.clone(), self.idle.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::RunId;
    use crate::engine::seams::SystemClock;

    const MANY: usize = 20_000;

    fn places(directory: &Directory) -> usize {
        directory.shards.iter().map(|shard| shard.lock().cells.capacity()).sum()
    }

    #[test]
    fn the_room_that_a_burst_took_is_given_back_behind_it() {
        let idle = Arc::new(Idle::new(Arc::new(SystemClock), MANY));
        let directory = Directory::new(idle, Arc::new(Ownership::All));
        let cells: Vec<_> = (0..MANY)
            .map(|number| {
                let run_id = RunId(uuid::Uuid::from_u128(number as u128));
                let workflow_id = number.to_string().into();
                Arc::new(RunCell::new(run_id, workflow_id, "t".into(), bytes::Bytes::new()))
            })
            .collect();
        for cell in &cells {
            drop(directory.insert(cell.clone(), 0));
        }
        let most = places(&directory);
        assert!(most >= MANY, "{most}");
        for cell in &cells[..MANY / 2] {
            directory.remove(cell);
        }
        assert!(places(&directory) > most / 2, "half of it may be needed again at once");
        for cell in &cells[MANY / 2..] {
            directory.remove(cell);
        }
        assert!(
            places(&directory) <= SHARDS * LEAST_PLACES * SHRINK_BELOW,
            "{}",
            places(&directory)
        );
        assert_eq!(directory.len(), 0);
    }
}
