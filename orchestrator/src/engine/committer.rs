//! Group commit: every event that waits goes into one slot; the next slot forms while this one is written.

mod flight;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cell::RunCell;
use super::core::Core;
use super::drainer::DrainSlot;
use super::effects::Effects;
use super::ids::Slot;
use super::limits::{APPEND_RETRY_MS, EFFECTS_PER_TASK, MAX_WAITING_BYTES};
use super::log::Appended;
use super::slot::SlotWriter;
use super::tail::Chunk;

/// Consecutive events of one run, and what they let out once they are durable.
pub(crate) struct Commit {
    pub cell: Arc<RunCell>,
    pub first_sequence: u64,
    pub chunk: Chunk,
    pub effects: Effects,
    /// Another run's, in the same slot: both are durable, or neither is.
    pub and_then: Option<Box<Commit>>,
}

impl Commit {
    fn bytes(&self) -> usize {
        self.chain().map(|commit| commit.chunk.bytes.len()).sum()
    }

    fn chain(&self) -> impl Iterator<Item = &Commit> {
        std::iter::successors(Some(self), |commit| commit.and_then.as_deref())
    }
}

/// The queue in front of the log.
#[derive(Default)]
pub(crate) struct Committer {
    waiting: Mutex<Vec<Commit>>,
    wake: Notify,
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// How many commits were ever pushed.
    pushed: AtomicU64,
}

impl Committer {
    /// Called under the run's lock, so that a run's commits are in the order of its events.
    pub fn push(&self, commit: Commit) {
        self.bytes.fetch_add(commit.bytes(), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::AcqRel);
        self.pushed.fetch_add(1, Ordering::AcqRel);
        let is_first = {
            let mut waiting = self.waiting.lock();
            waiting.push(commit);
            waiting.len() == 1
        };
        // Who is writing comes back until nothing waits.
        if is_first {
            self.wake.notify_one();
        }
    }

    /// How many commits were ever pushed: all that are, once [`Committer::written`] says as many.
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    /// At least so many of them are durable, and known to the drainer.
    pub fn written(&self) -> u64 {
        // In this order: what is pushed in between makes it less.
        let pushed = self.pushed();
        pushed.saturating_sub(self.count.load(Ordering::Acquire) as u64)
    }

    /// Whether so much waits that new work must be refused.
    pub fn is_full(&self, max_commits: usize) -> bool {
        self.count.load(Ordering::Relaxed) >= max_commits
            || self.bytes.load(Ordering::Relaxed) >= MAX_WAITING_BYTES
    }

    /// Whether nothing waits and nothing is being written.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// Moves what waits into `batch`, which is empty, up to the size of a slot. A single commit may be larger than that.
    /// Says whether anything waits on.
    fn take(&self, batch: &mut Vec<Commit>, slot_bytes: usize) -> bool {
        let mut waiting = self.waiting.lock();
        let mut bytes = 0;
        let fitting = waiting.iter().take_while(|commit| {
            bytes += commit.bytes();
            bytes <= slot_bytes
        });
        let count = fitting.count().max(1).min(waiting.len());
        if count == waiting.len() {
            // Not `take`: what has grown once need not grow again, under the lock that everybody wants.
            std::mem::swap(&mut *waiting, batch);
        } else {
            batch.extend(waiting.drain(..count));
        }
        !waiting.is_empty()
    }
}

/// Writes batches until the engine stops or the log is lost.
pub(crate) async fn commit_all(core: Arc<Core>) {
    if core.log.slots_in_flight() > 1 {
        return flight::commit_all(core).await;
    }
    let slot_bytes = core.log.slot_bytes();
    let mut slot = Slot(0);
    let mut batch = 0;
    let mut commits = Vec::new();
    let mut memory = BytesMut::new();
    loop {
        core.committer.take(&mut commits, slot_bytes);
        if commits.is_empty() {
            tokio::select! {
                biased;
                () = core.committer.wake.notified() => continue,
                () = core.log_stop.cancelled() => return,
            }
        }
        batch += 1;
        let bytes;
        (bytes, memory) = encode(memory, &core.writer, batch, &commits);
        let size = bytes.len();
        if !append(&core, slot, bytes).await {
            core.fence();
            return;
        }
        acknowledge(&core, slot, size, &mut commits);
        slot = slot.next();
    }
}

fn encode(
    mut memory: BytesMut,
    writer: &[u8; 16],
    batch: u64,
    commits: &[Commit],
) -> (Bytes, BytesMut) {
    let chain = || commits.iter().flat_map(Commit::chain);
    memory.reserve(SlotWriter::bytes(chain().map(|commit| commit.chunk.bytes.len())));
    let mut slot = SlotWriter::new(memory, writer, batch);
    for commit in chain() {
        let Chunk { count, bytes } = &commit.chunk;
        slot.push(commit.cell.run_id, commit.first_sequence, *count, bytes);
    }
    slot.finish()
}

/// Whether the slot holds these bytes. An unknown outcome is resolved by the same bytes again.
async fn append(core: &Arc<Core>, slot: Slot, bytes: Bytes) -> bool {
    for tried in 1..=core.log.append_tries() {
        match core.log.append(core.log_id, slot, bytes.clone()).await {
            Appended::Applied => return true,
            Appended::Lost => {
                tracing::error!(log = core.log_id.0, slot = slot.0, "the log was taken over");
                return false;
            }
            Appended::Unknown(why) => {
                // The 1st, 2nd, 4th, 8th …: it may take long.
                if tried.is_power_of_two() {
                    let log = core.log_id.0;
                    tracing::warn!(
                        log,
                        slot = slot.0,
                        tried,
                        why,
                        "an append's outcome is unknown"
                    );
                }
                core.seams.clock.sleep(Duration::from_millis(APPEND_RETRY_MS)).await;
            }
        }
    }
    tracing::error!(log = core.log_id.0, slot = slot.0, "the log cannot be written; giving it up");
    false
}

/// The batch is durable: say so, hand it on to be drained, and let its effects out.
fn acknowledge(core: &Arc<Core>, slot: Slot, bytes: usize, commits: &mut Vec<Commit>) {
    let (at_ms, count) = (core.now_ms(), commits.len());
    metrics::counter!("souk_engine_commits_total").increment(1);
    metrics::histogram!("souk_engine_commit_events").record(count as f64);
    let events: usize = commits.iter().map(Commit::bytes).sum();
    let mut cells = Vec::new();
    for commit in commits.iter().flat_map(Commit::chain) {
        commit.cell.set_durable(commit.first_sequence + u64::from(commit.chunk.count));
        if commit.cell.is_news_to_drainer() {
            cells.push(commit.cell.clone());
        }
    }
    core.drainer.push(DrainSlot { slot, bytes: bytes as u64, cells, at_ms });
    let mut effects = Vec::with_capacity(EFFECTS_PER_TASK);
    for commit in commits.drain(..) {
        let mut next = Some(commit);
        while let Some(commit) = next {
            effects.push((commit.cell, commit.effects));
            next = commit.and_then.map(|commit| *commit);
        }
        if effects.len() >= EFFECTS_PER_TASK {
            let full = std::mem::replace(&mut effects, Vec::with_capacity(EFFECTS_PER_TASK));
            release(core, full);
        }
    }
    if !effects.is_empty() {
        release(core, effects);
    }
    core.committer.bytes.fetch_sub(events, Ordering::Relaxed);
    core.committer.count.fetch_sub(count, Ordering::Release);
}

/// Lets effects out, beside the committer, who goes on with the next slot.
fn release(core: &Arc<Core>, effects: Vec<(Arc<RunCell>, Effects)>) {
    let released = core.clone();
    let work = async move {
        for (cell, effects) in effects {
            effects.release(&released, &cell);
        }
    };
    core.seams.spawner.spawn("effects", Box::pin(work));
}
