//! The raw limit: what the disk and the runtime leave to anybody who syncs before every acknowledgement.
//!
//! A plain file, to which one thread appends what has gathered, syncs it (fdatasync), and wakes those who wait: group
//! commit and nothing else. The clients are those of the engine's round, each with as many appends of as many bytes, one
//! after the other, as an order has commits.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::contender::{Contender, Round};
use super::load::Load;
use super::usage::Usage;
use super::workload::{COMMITS_PER_ORDER, EVENTS_PER_ORDER};

/// See the module.
pub struct RawLimit {
    /// Bytes of each append: those of an engine's commit.
    pub append_bytes: usize,
}

#[async_trait]
impl Contender for RawLimit {
    fn name(&self) -> String {
        "raw limit".to_owned()
    }

    async fn round(&self, load: &Load, folder: &Path) -> Result<Round> {
        let file = File::create(folder.join("raw")).context("the raw file cannot be made")?;
        let group = Arc::new(Group::default());
        let writer = {
            let group = group.clone();
            std::thread::spawn(move || group.write_all(file))
        };
        let before = Usage::now();
        let bytes: Arc<[u8]> = vec![0x5a; self.append_bytes].into();
        let appended = group.clone();
        let seen = load
            .run(move |_| {
                let (group, bytes) = (appended.clone(), bytes.clone());
                async move {
                    for _ in 0..COMMITS_PER_ORDER {
                        let durable = group.append(&bytes);
                        durable.await.map_err(|_| anyhow!("the raw file cannot be written"))?;
                    }
                    Ok(())
                }
            })
            .await;
        group.end();
        let written = writer.join().map_err(|_| anyhow!("the raw writer has panicked"))?;
        written.context("the raw file cannot be written")?;
        let seen = seen?;
        let used = Usage::now().since(before);
        let syncs = group.syncs.load(Ordering::Relaxed) as f64;
        Ok(Round {
            waits: seen.waits,
            measured: load.measured,
            cpu_per_order: used.cpu_per(seen.orders),
            written_per_order: used.written_per(seen.orders),
            syncs_per_second: Some(syncs / seen.lasted.as_secs_f64()),
            events_per_sync: Some((seen.orders * EVENTS_PER_ORDER) as f64 / syncs),
            lag: None,
        })
    }
}

/// What waits for the file.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    clients: Vec<oneshot::Sender<()>>,
    is_over: bool,
}

/// Group commit.
#[derive(Default)]
struct Group {
    waiting: Mutex<Waiting>,
    more: Condvar,
    syncs: AtomicU64,
}

impl Group {
    /// Resolves once the bytes are durable.
    fn append(&self, bytes: &[u8]) -> oneshot::Receiver<()> {
        let (client, durable) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes.extend_from_slice(bytes);
        waiting.clients.push(client);
        if waiting.clients.len() == 1 {
            self.more.notify_one();
        }
        durable
    }

    /// Nothing more is appended.
    fn end(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.more.notify_one();
    }

    /// Writes what comes until the end.
    fn write_all(&self, mut file: File) -> std::io::Result<()> {
        let mut spare = Waiting::default();
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            while waiting.clients.is_empty() {
                if waiting.is_over {
                    return Ok(());
                }
                waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut waiting.bytes, &mut spare.bytes);
            std::mem::swap(&mut waiting.clients, &mut spare.clients);
            drop(waiting);
            file.write_all(&spare.bytes)?;
            file.sync_data()?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            spare.bytes.clear();
            for client in spare.clients.drain(..) {
                // A client that is gone needs no answer.
                let _ = client.send(());
            }
        }
    }
}
