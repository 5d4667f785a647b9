//! One node: an engine in a process of its own, whose log can kill it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use souk_orchestrator::engine::Engine;
use souk_orchestrator::engine::ids::{LogId, Slot};
use souk_orchestrator::engine::log::{Appended, Error as LogError, Log, Written};

use super::gate::Gate;

/// When a process dies, counted in appends of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Before the append.
    Before(u64),
    /// When it is written, before anyone learns of it.
    After(u64),
}

/// The log as one node writes it.
pub struct NodeLog {
    inner: Arc<dyn Log>,
    gate: Arc<Gate>,
    appends: AtomicU64,
    death: Mutex<Option<Death>>,
}

impl NodeLog {
    pub fn new(inner: Arc<dyn Log>, gate: Arc<Gate>) -> NodeLog {
        NodeLog { inner, gate, appends: AtomicU64::new(0), death: Mutex::new(None) }
    }

    /// Dies so many appends from now.
    pub fn die(&self, death: Death) {
        let now = self.appends.load(Ordering::SeqCst);
        *self.death.lock() = Some(match death {
            Death::Before(count) => Death::Before(now + count),
            Death::After(count) => Death::After(now + count),
        });
    }

    async fn end(&self) {
        self.gate.kill();
        std::future::pending().await
    }
}

#[async_trait]
impl Log for NodeLog {
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended {
        let count = self.appends.fetch_add(1, Ordering::SeqCst);
        let death = *self.death.lock();
        if death == Some(Death::Before(count)) {
            self.end().await;
        }
        let appended = self.inner.append(log, slot, bytes).await;
        if death == Some(Death::After(count)) {
            self.end().await;
        }
        appended
    }

    fn slots_in_flight(&self) -> usize {
        self.inner.slots_in_flight()
    }

    fn slot_bytes(&self) -> usize {
        self.inner.slot_bytes()
    }

    fn append_tries(&self) -> u32 {
        self.inner.append_tries()
    }

    async fn read(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<Vec<Written>, LogError> {
        self.inner.read(log, from, limit_bytes).await
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), LogError> {
        self.inner.trim(log, before).await
    }
}

/// See the module.
#[derive(Clone)]
pub struct Node {
    pub address: String,
    pub engine: Engine,
    pub gate: Arc<Gate>,
    pub log: Arc<NodeLog>,
}
