//! One simulated disk, with a log and tables on it.
//!
//! The writes to the log reach it in one order, and those to the tables in another. A sync of one covers the earlier writes to
//! that one only. A crash keeps what was synced and, of the rest of each, nothing, everything or the first few writes. The same
//! seed and the same calls give the same disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use super::content::{LogContent, LogWrite};
use crate::engine::seams::Clock;
use crate::engine::tables::sim::{TableContent, TableWrite};

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
    /// A deletion of old runs.
    Expire,
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
    /// Appends only: answers [`Appended::Unknown`](super::Appended::Unknown), and the slot was written.
    UnknownApplied,
    /// Appends only: answers [`Appended::Unknown`](super::Appended::Unknown), and the slot was not written.
    UnknownNotApplied,
    /// Writes to the tables only: nothing is written, and the answer is an error.
    Refused,
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
#[error("the simulated disk refuses the write")]
pub(crate) struct Refusal;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    crashed: Arc<watch::Sender<bool>>,
}

/// What is on the disk, and what is to go wrong.
pub(crate) struct State {
    pub(crate) log: Volume<LogContent>,
    pub(crate) tables: Volume<TableContent>,
    random: StdRng,
    counts: HashMap<Operation, u64>,
    faults: BTreeMap<(Operation, u64), Fault>,
    sync_latency: Duration,
    slots_in_flight: usize,
    is_full: bool,
}

/// Something that is changed by writes.
pub(crate) trait Content: Clone + Default {
    /// One change.
    type Write;
    /// Makes it.
    fn apply(&mut self, write: &Self::Write);
}

impl Content for TableContent {
    type Write = TableWrite;

    fn apply(&mut self, write: &TableWrite) {
        TableContent::apply(self, write);
    }
}

/// Content as the process sees it, and as it would be after a power failure.
pub(crate) struct Volume<C: Content> {
    pub(crate) visible: C,
    durable: C,
    /// The writes between the two, in order.
    unsynced: Vec<C::Write>,
    /// How many writes were ever synced.
    synced_count: usize,
}

impl<C: Content> Volume<C> {
    fn holding(content: C) -> Self {
        Self { visible: content.clone(), durable: content, unsynced: Vec::new(), synced_count: 0 }
    }

    fn write(&mut self, write: C::Write) {
        self.visible.apply(&write);
        self.unsynced.push(write);
    }

    /// How many writes were ever made.
    fn written_count(&self) -> usize {
        self.synced_count + self.unsynced.len()
    }

    /// Makes the first `count` writes durable. Another sync may have covered some of them meanwhile.
    fn sync_until(&mut self, count: usize) {
        let left = count.saturating_sub(self.synced_count);
        for write in self.unsynced.drain(..left) {
            self.durable.apply(&write);
        }
        self.synced_count += left;
    }

    fn after_crash(&self, unsynced: Unsynced, random: &mut StdRng) -> C {
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::SeededPrefix => random.random_range(0..=self.unsynced.len()),
            Unsynced::Kept => self.unsynced.len(),
        };
        let mut content = self.durable.clone();
        for write in self.unsynced.iter().take(kept) {
            content.apply(write);
        }
        content
    }
}

/// Which of the two volumes an operation is about.
pub(crate) type Side<C> = fn(&mut State) -> &mut Volume<C>;

/// The log's volume.
pub(crate) const LOG: Side<LogContent> = |state| &mut state.log;
/// The tables' volume.
pub(crate) const TABLES: Side<TableContent> = |state| &mut state.tables;

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self::with(LogContent::default(), TableContent::default(), seed, clock)
    }

    fn with(log: LogContent, tables: TableContent, seed: u64, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            log: Volume::holding(log),
            tables: Volume::holding(tables),
            random: StdRng::seed_from_u64(seed),
            counts: HashMap::new(),
            faults: BTreeMap::new(),
            sync_latency: Duration::ZERO,
            slots_in_flight: 1,
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

    /// Lets engines that open the disk from now on write so many slots at once.
    pub fn set_slots_in_flight(&self, count: usize) {
        self.state.lock().slots_in_flight = count;
    }

    pub(crate) fn slots_in_flight(&self) -> usize {
        self.state.lock().slots_in_flight
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

    /// Kills the process that uses the disk, and returns the disk that the next process finds. Nothing that is still
    /// under way on the old one ever answers.
    pub fn crash(&self, unsynced: Unsynced) -> Disk {
        self.crashed.send_replace(true);
        let state = &mut *self.state.lock();
        let log = state.log.after_crash(unsynced, &mut state.random);
        let tables = state.tables.after_crash(unsynced, &mut state.random);
        let next = Disk::with(log, tables, state.random.random(), self.clock.clone());
        next.set_sync_latency(state.sync_latency);
        next.set_slots_in_flight(state.slots_in_flight);
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
    pub(crate) async fn write<C: Content>(
        &self,
        side: Side<C>,
        write: C::Write,
        fault: Option<&Fault>,
    ) -> Result<(), Refusal> {
        self.alive().await;
        {
            let mut state = self.state.lock();
            if state.is_full || fault == Some(&Fault::Refused) {
                return Err(Refusal);
            }
            side(&mut state).write(write);
        }
        if fault == Some(&Fault::CrashDuring) {
            self.die().await;
        }
        Ok(())
    }

    /// Makes all writes so far to one side durable.
    pub(crate) async fn sync<C: Content>(
        &self,
        side: Side<C>,
        fault: Option<&Fault>,
    ) -> Result<(), Refusal> {
        let (covered, latency) = {
            let mut state = self.state.lock();
            (side(&mut state).written_count(), state.sync_latency)
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
            side(&mut state).sync_until(covered);
        }
        if fault == Some(&Fault::CrashAfter) {
            self.die().await;
        }
        Ok(())
    }

    /// Reads what the process sees.
    pub(crate) fn look<C: Content, T>(&self, side: Side<C>, read: impl FnOnce(&C) -> T) -> T {
        read(&side(&mut self.state.lock()).visible)
    }

    pub(crate) async fn die(&self) {
        self.crashed.send_replace(true);
        std::future::pending().await
    }
}

impl Content for LogContent {
    type Write = LogWrite;

    fn apply(&mut self, write: &LogWrite) {
        LogContent::apply(self, write);
    }
}
