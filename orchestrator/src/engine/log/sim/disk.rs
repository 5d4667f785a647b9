//! One simulated disk, shared by a log and its tables.
//!
//! Writes reach it in one order, as they reach fjall's journal: a sync covers every write before it, and a crash keeps what
//! was synced and, of the rest, nothing, everything or the first few writes. The same seed and the same calls give the same disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::engine::ids::{LogId, Slot};
use crate::engine::log::{Appended, Written};
use crate::engine::seams::Clock;
use crate::engine::tables::DrainStep;
use crate::engine::tables::sim::TableContent;

/// What can be counted and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// An append to the log, its sync included.
    Append,
    /// A trim of the log.
    Trim,
    /// A step applied to the tables.
    Apply,
    /// A sync of the tables.
    Sync,
}

/// What happens to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before anything is written.
    CrashBefore,
    /// The process dies when the write was made but not synced: it may or may not survive.
    CrashDuring,
    /// The process dies when the operation is done, before anyone learns of it.
    CrashAfter,
    /// Appends only: answers [`Appended::Unknown`], and the slot was written.
    UnknownApplied,
    /// Appends only: answers [`Appended::Unknown`], and the slot was not written.
    UnknownNotApplied,
    /// Appends only: somebody else has just written these bytes to the slot.
    Fenced(Bytes),
    /// Takes this long.
    Slow(Duration),
    /// The disk is full from here on: every write fails, until [`Disk::make_room`].
    DiskFull,
}

/// What a crash does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// They are gone: the power failed.
    Lost,
    /// The first few are kept, how many is up to the seed: the power failed while they were on their way.
    SeededPrefix,
    /// They are kept: only the process died.
    Kept,
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
#[error("no space left on the simulated disk")]
pub(crate) struct Refusal;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    crashed: Arc<watch::Sender<bool>>,
}

struct State {
    /// What the process sees.
    visible: Content,
    /// What was synced.
    durable: Content,
    /// The writes between the two, in order.
    unsynced: Vec<Write>,
    /// How many writes were ever synced.
    synced_count: usize,
    random: StdRng,
    counts: HashMap<Operation, u64>,
    faults: BTreeMap<(Operation, u64), Fault>,
    sync_latency: Duration,
    is_full: bool,
}

/// One write.
#[derive(Clone)]
pub(crate) enum Write {
    Slot { log: LogId, slot: Slot, bytes: Bytes },
    Trim { log: LogId, before: Slot },
    Step(DrainStep),
}

/// Everything on a disk.
#[derive(Clone, Default)]
pub(crate) struct Content {
    slots: BTreeMap<(LogId, Slot), Bytes>,
    trimmed: BTreeMap<LogId, Slot>,
    pub(crate) tables: TableContent,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self::with(Content::default(), seed, clock)
    }

    fn with(content: Content, seed: u64, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            visible: content.clone(),
            durable: content,
            unsynced: Vec::new(),
            synced_count: 0,
            random: StdRng::seed_from_u64(seed),
            counts: HashMap::new(),
            faults: BTreeMap::new(),
            sync_latency: Duration::ZERO,
            is_full: false,
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
            crashed: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Makes every sync take this long, so that events gather for the next slot as they do on a real disk.
    pub fn set_sync_latency(&self, latency: Duration) {
        self.state.lock().sync_latency = latency;
    }

    /// Makes the `nth` operation of a kind, counted from 0 on this disk, fail.
    pub fn inject(&self, operation: Operation, nth: u64, fault: Fault) {
        self.state.lock().faults.insert((operation, nth), fault);
    }

    /// How many operations of a kind have begun on this disk.
    pub fn count(&self, operation: Operation) -> u64 {
        self.state.lock().counts.get(&operation).copied().unwrap_or_default()
    }

    /// Ends [`Fault::DiskFull`].
    pub fn make_room(&self) {
        self.state.lock().is_full = false;
    }

    /// Resolves once the process that uses the disk has died, by a fault or by [`Disk::crash`].
    pub async fn crashed(&self) {
        let mut crashed = self.crashed.subscribe();
        // The sender is in `self`, so it cannot go away while this waits.
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }

    /// Kills the process that uses the disk, and returns the disk that the next process finds. Nothing that is still under way on
    /// the old one ever answers.
    pub fn crash(&self, unsynced: Unsynced) -> Disk {
        self.crashed.send_replace(true);
        let mut state = self.state.lock();
        let count = state.unsynced.len();
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::SeededPrefix => state.random.random_range(0..=count),
            Unsynced::Kept => count,
        };
        let mut content = state.durable.clone();
        for write in state.unsynced.iter().take(kept) {
            content.apply(write);
        }
        let seed = state.random.random();
        let next = Disk::with(content, seed, self.clock.clone());
        next.set_sync_latency(state.sync_latency);
        next
    }

    /// Waits for ever if the process is dead.
    pub(crate) async fn alive(&self) {
        if *self.crashed.borrow() {
            std::future::pending::<()>().await;
        }
    }

    /// Counts an operation and returns what is to happen to it.
    pub(crate) async fn begin(&self, operation: Operation) -> Option<Fault> {
        self.alive().await;
        let fault = {
            let mut state = self.state.lock();
            let count = state.counts.entry(operation).or_default();
            let nth = *count;
            *count += 1;
            state.faults.remove(&(operation, nth))
        };
        match &fault {
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::Slow(duration)) => self.clock.sleep(*duration).await,
            Some(Fault::DiskFull) => self.state.lock().is_full = true,
            _ => {}
        }
        fault
    }

    /// Makes a write, unsynced.
    pub(crate) async fn write(&self, write: Write, fault: Option<&Fault>) -> Result<(), Refusal> {
        self.alive().await;
        {
            let mut state = self.state.lock();
            if state.is_full {
                return Err(Refusal);
            }
            state.visible.apply(&write);
            state.unsynced.push(write);
        }
        if fault == Some(&Fault::CrashDuring) {
            self.die().await;
        }
        Ok(())
    }

    /// Makes all writes so far durable.
    pub(crate) async fn sync(&self, fault: Option<&Fault>) -> Result<(), Refusal> {
        let (covered, latency) = {
            let state = self.state.lock();
            (state.synced_count + state.unsynced.len(), state.sync_latency)
        };
        if latency.is_zero() {
            tokio::task::yield_now().await;
        } else {
            self.clock.sleep(latency).await;
        }
        self.alive().await;
        {
            let mut state = self.state.lock();
            if state.is_full {
                return Err(Refusal);
            }
            // Another sync may have covered some of them meanwhile.
            let left = covered.saturating_sub(state.synced_count);
            let writes: Vec<Write> = state.unsynced.drain(..left).collect();
            for write in &writes {
                state.durable.apply(write);
            }
            state.synced_count += left;
        }
        if fault == Some(&Fault::CrashAfter) {
            self.die().await;
        }
        Ok(())
    }

    /// Reads what the process sees.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Content) -> T) -> T {
        read(&self.state.lock().visible)
    }

    pub(crate) async fn die(&self) {
        self.crashed.send_replace(true);
        std::future::pending().await
    }
}

impl Content {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::Slot { log, slot, bytes } => {
                self.slots.entry((*log, *slot)).or_insert_with(|| bytes.clone());
            }
            Write::Trim { log, before } => {
                self.slots.retain(|(of, slot), _| of != log || slot >= before);
                let trimmed = self.trimmed.entry(*log).or_default();
                *trimmed = (*trimmed).max(*before);
            }
            Write::Step(step) => self.tables.apply(step),
        }
    }

    /// What an append of `bytes` answers without writing anything; `None` if the slot is empty, or holds these bytes
    /// and only the sync is missing.
    pub(crate) fn held(&self, log: LogId, slot: Slot, bytes: &Bytes) -> Option<Appended> {
        let is_trimmed = self.trimmed.get(&log).is_some_and(|before| slot < *before);
        let holds_other = self.slots.get(&(log, slot)).is_some_and(|held| held != bytes);
        (is_trimmed || holds_other).then_some(Appended::Lost)
    }

    pub(crate) fn read(&self, log: LogId, from: Slot, limit_bytes: usize) -> Vec<Written> {
        let mut slots = Vec::new();
        let mut gathered = 0;
        let mut expected = from;
        for ((_, slot), bytes) in self.slots.range((log, from)..=(log, Slot(u64::MAX))) {
            if *slot != expected || (gathered >= limit_bytes && !slots.is_empty()) {
                break;
            }
            gathered += bytes.len();
            slots.push(Written { slot: *slot, bytes: bytes.clone() });
            expected = expected.next();
        }
        slots
    }
}
