//! Which partitions this node serves, and who serves the others.
//!
//! A node that keeps everything to itself serves all, always, and asks nobody. A node of a cluster serves what it
//! [owns](super::membership) and has taken, and only as long as it can say that it is alive: a node that was silent for
//! too long does not answer from its memory, for another one may have gone on without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::error::Error;
use super::ids::LogId;
use super::membership::View;
use super::partition::{PARTITIONS, Partition, PartitionSet};
use super::seams::Clock;

/// A node that serves a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its log.
    pub log: LogId,
    /// Where other nodes reach it, as it told the record of nodes.
    pub address: String,
}

/// How this node stands to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// Others serve it, or nobody.
    Absent = 0,
    /// This node serves it.
    Serving = 1,
    /// This node owns it still, but begins nothing any more: it is being handed over.
    Moving = 2,
}

/// See the module.
pub(crate) enum Ownership {
    /// Everything is this node's.
    All,
    /// This node is one of many.
    Shared(Shared),
}

/// What a node of a cluster knows.
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    standings: Vec<AtomicU8>,
    /// Until when, in milliseconds of the steady clock, nobody can have taken this node for dead.
    certain_until_ms: AtomicU64,
    /// What was on record when it was last read.
    view: RwLock<Arc<View>>,
    /// It has ended: nothing is served any more.
    is_over: AtomicBool,
}

impl Ownership {
    /// Of a node that is one of many, and serves nothing yet.
    pub fn shared(clock: Arc<dyn Clock>) -> Ownership {
        let standings = (0..PARTITIONS).map(|_| AtomicU8::new(Standing::Absent as u8)).collect();
        Ownership::Shared(Shared {
            clock,
            standings,
            certain_until_ms: AtomicU64::new(0),
            view: RwLock::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// What a node of a cluster knows; `None` where everything is this node's.
    pub fn as_shared(&self) -> Option<&Shared> {
        match self {
            Ownership::All => None,
            Ownership::Shared(shared) => Some(shared),
        }
    }

    /// Whether this node may answer for a workflow id now.
    pub fn check(&self, workflow_id: &str) -> Result<(), Error> {
        match self {
            Ownership::All => Ok(()),
            Ownership::Shared(shared) => shared.check(Partition::of(workflow_id)),
        }
    }

    /// Who should be asked instead of this node.
    pub fn refusal(&self, workflow_id: &str) -> Error {
        let partition = Partition::of(workflow_id);
        let owner = self.as_shared().and_then(|shared| shared.owner(partition));
        Error::NotOwner { partition, owner }
    }

    /// The partitions that this node serves.
    pub fn serving(&self) -> PartitionSet {
        match self {
            Ownership::All => PartitionSet::all(),
            Ownership::Shared(shared) => shared.serving(),
        }
    }
}

impl Shared {
    fn check(&self, partition: Partition) -> Result<(), Error> {
        if self.standing(partition) == Standing::Serving && self.is_certain() {
            return Ok(());
        }
        Err(Error::NotOwner { partition, owner: self.owner(partition) })
    }

    /// Who owns a partition, if that is another node: this one does not serve it, or does not know.
    pub fn owner(&self, partition: Partition) -> Option<Owner> {
        if self.standing(partition) != Standing::Absent {
            return None;
        }
        let view = self.view.read().clone();
        let node = view.nodes.get(&view.leases.get(&partition)?.owner)?;
        Some(Owner { log: node.log, address: node.address.clone() })
    }

    /// Whether nobody can have taken this node for dead.
    pub fn is_certain(&self) -> bool {
        self.clock.steady_ms() < self.certain_until_ms.load(Ordering::SeqCst)
            && !self.is_over.load(Ordering::SeqCst)
    }

    /// Nobody takes this node for dead before then.
    pub fn certain_until(&self, steady_ms: u64) {
        self.certain_until_ms.fetch_max(steady_ms, Ordering::SeqCst);
    }

    /// Nothing is served any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub fn standing(&self, partition: Partition) -> Standing {
        match self.standings[usize::from(partition.number())].load(Ordering::SeqCst) {
            1 => Standing::Serving,
            2 => Standing::Moving,
            _ => Standing::Absent,
        }
    }

    pub fn set_standing(&self, partition: Partition, standing: Standing) {
        self.standings[usize::from(partition.number())].store(standing as u8, Ordering::SeqCst);
    }

    pub fn set_view(&self, view: View) {
        *self.view.write() = Arc::new(view);
    }

    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// The partitions that this node serves.
    pub fn serving(&self) -> PartitionSet {
        let all = PartitionSet::all();
        all.iter().filter(|one| self.standing(*one) == Standing::Serving).collect()
    }
}
