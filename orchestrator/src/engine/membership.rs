//! Which nodes there are, and which of them owns which partition.
//!
//! One small record that all nodes share: a row for every node, found under its log, and a row for every partition that
//! says who owns it. It decides nothing by itself. That a node which was declared dead can do no harm rests on the SEAL in
//! its [log](super::log), that no two nodes own a partition rests on changes that are conditional on what they change.
//! Clocks are compared with nobody: a node is dead to an observer when its beat has not changed for long enough by the
//! observer's own clock.
//!
//! # The rules, which every implementation keeps
//!
//! 1. [`Membership::view`] sees every change that was answered before it began, and settles those of unknown outcome: what
//!    it does not show will not happen any more.
//! 2. [`Membership::join`] never answers a log id twice.
//! 3. [`Membership::move_leases`] makes all moves or none, and none unless every partition is as the caller believes.
//! 4. [`Membership::beat`] and [`Membership::set_state`] never bring back a node that was forgotten.

mod assignment;
#[cfg(feature = "testing")]
pub mod sim;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::ids::LogId;
use super::partition::Partition;
pub use assignment::assign;

/// Why the record of nodes could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer. Nothing was changed.
    #[error("the record of the nodes cannot be reached: {0}")]
    Unavailable(String),
    /// Whether the change was made is unknown; the next [`Membership::view`] shows it.
    #[error("it is unknown whether the record of the nodes was changed: {0}")]
    Unknown(String),
    /// What was read is not what was written.
    #[error("the record of the nodes is damaged: {0}")]
    Damaged(String),
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NodeState {
    /// It takes partitions.
    Live,
    /// It hands its partitions over and will end.
    Leaving,
    /// Its log is sealed, and everything in it is in the tables. What it owns is free. It never comes back.
    Sealed,
}

/// A node: one life of a process, with a log of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its log, by which it is known.
    pub log: LogId,
    /// Where other nodes reach it, as it was given.
    pub address: String,
    /// Where it stands.
    pub state: NodeState,
    /// What it said last; it changes as long as the node is alive.
    pub beat: Beat,
}

/// What a node says as long as it is alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beat {
    /// Another number each time; 0 before the first.
    pub count: u64,
    /// The tables have everything that the node made durable before this time, in unix milliseconds.
    pub as_of_ms: i64,
}

/// Who owns a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The log of the owner.
    pub owner: LogId,
    /// How often the partition was moved, from 1.
    pub epoch: u64,
}

/// All that is on record at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// The nodes, by their logs.
    pub nodes: BTreeMap<LogId, Node>,
    /// The leases; a partition that nobody has ever owned has none.
    pub leases: BTreeMap<Partition, Lease>,
}

impl View {
    /// Whether a partition may be claimed: nobody has ever owned it, or its owner's log is sealed and drained.
    pub fn is_free(&self, partition: Partition) -> bool {
        let Some(lease) = self.leases.get(&partition) else { return true };
        // A node is forgotten only long after it was sealed.
        self.nodes.get(&lease.owner).is_none_or(|node| node.state == NodeState::Sealed)
    }

    /// The nodes that partitions are assigned to.
    pub fn live(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.state == NodeState::Live)
    }

    /// The partitions that a node owns.
    pub fn owned_by(&self, log: LogId) -> impl Iterator<Item = Partition> {
        self.leases.iter().filter(move |(_, lease)| lease.owner == log).map(|(one, _)| *one)
    }
}

/// A partition on its way from one owner to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which one.
    pub partition: Partition,
    /// What the caller believes of it; `None`: nobody has ever owned it.
    pub from: Option<Lease>,
    /// Who is to own it.
    pub to: LogId,
}

impl Move {
    /// The lease that it makes.
    pub fn lease(&self) -> Lease {
        Lease { owner: self.to, epoch: self.from.map_or(0, |from| from.epoch) + 1 }
    }
}

/// Where the record is kept. See the module for the rules.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// Adds a live node, and answers the log that it is to write: one that was never used.
    async fn join(&self, address: &str) -> Result<LogId, Error>;

    /// All that is on record.
    async fn view(&self) -> Result<View, Error>;

    /// Says that a node is alive. A plain write, which costs little.
    async fn beat(&self, log: LogId, beat: Beat) -> Result<(), Error>;

    /// Changes where a node stands, unless it is sealed: that is for ever. Returns whether it stands there now.
    async fn set_state(&self, log: LogId, state: NodeState) -> Result<bool, Error>;

    /// Makes all these moves, or none. Returns whether they were made. At most
    /// [`MAX_MOVES_AT_ONCE`](super::limits::MAX_MOVES_AT_ONCE).
    async fn move_leases(&self, moves: &[Move]) -> Result<bool, Error>;

    /// Deletes the row of a sealed node that owns nothing.
    async fn forget(&self, log: LogId) -> Result<(), Error>;
}
