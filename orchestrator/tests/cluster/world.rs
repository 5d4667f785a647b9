//! A world for one test: one store, one record of nodes, a bank, and nodes that come and go.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use souk_orchestrator::engine::cluster::Cluster;
use souk_orchestrator::engine::event::Body;
use souk_orchestrator::engine::log::Log;
use souk_orchestrator::engine::log::sim::{Disk, SimLog};
use souk_orchestrator::engine::membership::sim::SimMembership;
use souk_orchestrator::engine::membership::{Membership, NodeState};
use souk_orchestrator::engine::partition::{PARTITIONS, Partition, PartitionSet};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::{Seams, SeededRandom, TokioClock};
use souk_orchestrator::engine::tables::Tables;
use souk_orchestrator::engine::tables::sim::SimTables;
use souk_orchestrator::engine::{
    Engine, Error, Options, Outcome, Registry, Resources, StartRequest,
};
use souk_orchestrator::system;
use souk_orchestrator::testing::quick;

use super::gate::{Gate, Tasks};
use super::network::Network;
use super::node::{Node, NodeLog};
use crate::engine::bank::Bank;
use crate::engine::transfer;

/// How long something may take that a cluster does about a death.
pub const TAKEOVER: Duration = Duration::from_secs(15);
/// Slots that a node writes at once, as on a store that is a journey away.
const SLOTS_IN_FLIGHT: usize = 4;
const LONG: Duration = Duration::from_secs(24 * 3600);

/// See the module.
pub struct World {
    pub disk: Disk,
    pub record: SimMembership,
    pub network: Network,
    pub bank: Arc<Bank>,
    pub clock: Arc<TokioClock>,
    /// How long a node may take until what is durable is in the tables: much of it is not, whenever something happens.
    pub drain_delay: Duration,
    registry: Registry,
    seed: AtomicU64,
}

impl World {
    pub fn new(seed: u64) -> World {
        World::with(seed, transfer::registry())
    }

    pub fn with(seed: u64, registry: Registry) -> World {
        let clock = Arc::new(TokioClock::starting_at(1_800_000_000_000));
        let disk = Disk::new(seed, clock.clone());
        disk.set_sync_latency(Duration::from_millis(1));
        disk.set_slots_in_flight(SLOTS_IN_FLIGHT);
        World {
            disk,
            record: SimMembership::new(),
            network: Network::default(),
            bank: Arc::default(),
            clock,
            drain_delay: Duration::from_millis(700),
            registry,
            seed: AtomicU64::new(seed * 1_000),
        }
    }

    /// A node that joins the others.
    pub async fn node(&self, address: &str) -> Node {
        self.node_with(address, self.record.clone()).await
    }

    /// The same, with a record of nodes that fails where the test wants it to.
    pub async fn node_with(&self, address: &str, record: impl Membership) -> Node {
        let log = Arc::new(SimLog::new(&self.disk));
        self.node_on(address, log, Arc::new(SimTables::new(&self.disk)), Arc::new(record)).await
    }

    /// The same, on stores of its own.
    pub async fn node_on(
        &self,
        address: &str,
        log: Arc<dyn Log>,
        tables: Arc<dyn Tables>,
        membership: Arc<dyn Membership>,
    ) -> Node {
        let gate = Gate::new();
        let log = Arc::new(NodeLog::new(log, gate.clone()));
        let seams = Seams {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed.fetch_add(1, Ordering::Relaxed))),
            spawner: Arc::new(Tasks(gate.clone())),
            attempts: None,
        };
        let cluster = Cluster {
            membership,
            peers: Arc::new(self.network.clone()),
            address: address.to_owned(),
        };
        let stores = (log.clone() as _, tables);
        let resources = Resources::new().with(self.bank.clone());
        let registry = self.registry.clone();
        let options = Options { drain_delay: self.drain_delay, ..quick() };
        let joined = system::join(options, stores, cluster, seams, registry, resources).await;
        let node = Node { address: address.to_owned(), engine: joined.unwrap(), gate, log };
        self.network.add(&node);
        node
    }

    /// So many nodes, among which all partitions are divided.
    pub async fn nodes<const COUNT: usize>(&self) -> [Node; COUNT] {
        let mut nodes = Vec::new();
        for number in 0..COUNT {
            nodes.push(self.node(&format!("node-{number}")).await);
        }
        self.settled(&nodes.iter().collect::<Vec<_>>()).await;
        nodes.try_into().ok().unwrap()
    }

    /// Waits until these nodes serve everything among them, each its share and no two the same. Returns how long it took.
    pub async fn settled(&self, nodes: &[&Node]) -> Duration {
        let since = tokio::time::Instant::now();
        let even = usize::from(PARTITIONS) / nodes.len();
        until("the partitions are divided", || {
            let shares: Vec<PartitionSet> =
                nodes.iter().map(|node| node.engine.serving()).collect();
            let all: usize = shares.iter().map(PartitionSet::len).sum();
            assert!(all <= usize::from(PARTITIONS), "two serve the same");
            let union: PartitionSet = shares.iter().flat_map(PartitionSet::iter).collect();
            union.is_all() && shares.iter().all(|share| share.len().abs_diff(even) <= even / 5)
        })
        .await;
        since.elapsed()
    }

    pub async fn start<I: serde::Serialize>(&self, id: &str, workflow_type: &str, input: &I) {
        let request = StartRequest::new(id, workflow_type, input).unwrap();
        let start = |engine: Engine| {
            let request = request.clone();
            async move { engine.start(request).await }
        };
        self.network.call(start).await.unwrap();
    }

    pub async fn signal(&self, workflow_id: &str, name: &str, signal_id: &str, payload: &str) {
        let payload = bytes::Bytes::copy_from_slice(payload.as_bytes());
        let signal = |engine: Engine| {
            let payload = payload.clone();
            async move { engine.signal(workflow_id, name, signal_id, payload).await }
        };
        match self.network.call(signal).await {
            // The one before has worked, though nobody said so.
            Ok(_) | Err(Error::Closed { .. }) => {}
            Err(error) => panic!("{workflow_id}: {error}"),
        }
    }

    /// The end of a run, wherever it is by then.
    pub async fn end(&self, workflow_id: &str) -> Outcome {
        let look = |engine: Engine| async move {
            engine.outcome(workflow_id, Duration::from_secs(3)).await
        };
        let since = tokio::time::Instant::now();
        loop {
            match self.network.call(look).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => panic!("{workflow_id}: {error}"),
            }
            assert!(
                since.elapsed() < LONG,
                "{workflow_id} does not end: {:#?}",
                self.bodies(workflow_id).await
            );
        }
    }

    /// What is on record of a run.
    pub async fn bodies(&self, workflow_id: &str) -> Vec<Body> {
        let read = |engine: Engine| async move {
            let history = engine.history(workflow_id, 0, false).await?;
            let events: Vec<_> = history.collect().await;
            events.into_iter().collect::<Result<Vec<_>, Error>>()
        };
        let events = self.network.call(read).await.unwrap();
        events.into_iter().filter_map(|event| event.event.body).collect()
    }

    /// A transfer that has ended has done each of its steps once, under one key and with one result on record.
    pub async fn check_transfer(&self, workflow_id: &str) {
        assert_eq!(self.end(workflow_id).await.state, RunState::Completed, "{workflow_id}");
        let bodies = self.bodies(workflow_id).await;
        for step in ["withdraw", "deposit", "book", "announce"] {
            let effect = self.bank.effect(&format!("{workflow_id}/{step}/1"));
            assert_eq!((effect.done, effect.undone), (1, 0), "{workflow_id} {step}");
            let results = bodies.iter().filter(
                |body| matches!(body, Body::StepCompleted(completed) if completed.name == step),
            );
            assert_eq!(results.count(), 1, "{workflow_id} {step}");
        }
        let count = |wanted: fn(&Body) -> bool| bodies.iter().filter(|body| wanted(body)).count();
        assert_eq!(count(|body| matches!(body, Body::Started(_))), 1, "{workflow_id}");
        assert_eq!(count(|body| matches!(body, Body::Closed(_))), 1, "{workflow_id}");
    }

    /// Nothing was done under a key that no run has.
    pub fn check_effects(&self, runs: usize) {
        let keys = self.bank.effects().into_keys().filter(|key| !key.contains("close_case"));
        assert_eq!(keys.count(), runs * 4);
    }

    /// A workflow id that this node serves; another one for each number.
    pub fn id_of(&self, node: &Node, number: usize) -> String {
        let names = (0..).map(|candidate| format!("run-{number}-{candidate}"));
        let mut own = names.filter(|name| node.engine.serving().contains(Partition::of(name)));
        own.next().unwrap()
    }

    pub fn state_of(&self, node: &Node) -> Option<NodeState> {
        self.record.look().nodes.get(&node.engine.log_id()).map(|node| node.state)
    }
}

/// Waits for something that must come to be.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to be that {what}");
}

/// Resolves with what both give.
pub async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    futures::future::join(one, other).await
}
