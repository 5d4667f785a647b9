//! Real engines behind real ports: every node does for every run what its owner does, and engines reach each other's runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use souk_mesh::Platform;
use souk_mesh::error::reason_of;
use souk_orchestrator::engine::cluster::Cluster;
use souk_orchestrator::engine::engine::Engine;
use souk_orchestrator::engine::log::sim::{Disk, SimLog};
use souk_orchestrator::engine::membership::sim::SimMembership;
use souk_orchestrator::engine::partition::Partition;
use souk_orchestrator::engine::seams::{Seams, TokioClock};
use souk_orchestrator::engine::tables::sim::SimTables;
use souk_orchestrator::engine::{ParentClose, Resources};
use souk_orchestrator::routing::{GrpcPeers, Nodes, routes};
use souk_orchestrator::system;
use souk_orchestrator::testing::quick;
use souk_proto::workflow::v1::peer_service_client::PeerServiceClient;
use souk_proto::workflow::v1::{
    AskRequest, BatchOperateRequest, BatchOperation, DescribeWorkflowRequest,
    GetWorkflowHistoryRequest, ListWorkflowsRequest, PeerDescribe, SignalWorkflowRequest,
    StartWorkflowRequest, WorkflowState,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use uuid::Uuid;

use super::nodes::{PATIENCE, Staff, platform, port, serve};
use crate::engine::bank::Bank;
use crate::engine::garden::{Leaf, leaf, registry, waiting};

struct Node {
    engine: Engine,
    platform: Platform,
    staff: Staff,
}

/// Engines that share a store, each in a process of its own as far as the others can tell.
struct Shop<const COUNT: usize> {
    nodes: [Node; COUNT],
    bank: Arc<Bank>,
    _data: TempDir,
}

impl<const COUNT: usize> Shop<COUNT> {
    async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let disk = Disk::new(1, Arc::new(TokioClock::starting_at(1_800_000_000_000)));
        let (record, bank) = (SimMembership::new(), Arc::<Bank>::default());
        let mut nodes = Vec::new();
        for _ in 0..COUNT {
            let platform = platform(&data);
            let (listener, address) = port().await;
            let others = Nodes::new(platform.for_service("workflow").directory);
            let cluster = Cluster {
                membership: Arc::new(record.clone()),
                peers: Arc::new(GrpcPeers::new(others.clone())),
                address: address.to_string(),
            };
            let stores = (Arc::new(SimLog::new(&disk)) as _, Arc::new(SimTables::new(&disk)) as _);
            let resources = Resources::new().with(bank.clone());
            let seams = Seams::system();
            let joined = system::join(quick(), stores, cluster, seams, registry(), resources).await;
            let engine = joined.unwrap();
            serve(&platform, listener, routes(engine.clone(), &platform.keys, others));
            let staff = Staff::of(&platform, &address);
            nodes.push(Node { engine, platform, staff });
        }
        let shop = Shop { nodes: nodes.try_into().ok().unwrap(), bank, _data: data };
        until("every node serves its part", || {
            let parts = shop.nodes.iter().map(|node| node.engine.serving().len());
            parts.clone().all(|part| part > 0) && parts.sum::<usize>() == 256
        })
        .await;
        shop
    }

    /// The workflow id of a run that this node serves.
    fn id_of(&self, node: usize, name: &str) -> String {
        let serving = self.nodes[node].engine.serving();
        let mut ids = (0..).map(|number| format!("{name}-{number}"));
        ids.find(|id| serving.contains(Partition::of(id))).unwrap()
    }

    async fn start(
        &self,
        node: usize,
        id: &str,
        workflow_type: &str,
        input: &impl serde::Serialize,
    ) {
        let staff = &self.nodes[node].staff;
        let request = staff.request(StartWorkflowRequest {
            workflow_id: id.into(),
            workflow_type: workflow_type.into(),
            input: serde_json::to_vec(input).unwrap().into(),
            ..StartWorkflowRequest::default()
        });
        staff.client.clone().start_workflow(request).await.unwrap();
    }

    async fn state(&self, node: usize, id: &str) -> Result<WorkflowState, Status> {
        let staff = &self.nodes[node].staff;
        let request = DescribeWorkflowRequest { workflow_id: id.into(), ..Default::default() };
        let request = staff.request(request);
        let described = staff.client.clone().describe_workflow(request).await?;
        Ok(described.into_inner().workflow.unwrap().summary.unwrap().state())
    }

    async fn becomes(&self, node: usize, id: &str, wanted: WorkflowState) {
        let began = Instant::now();
        while self.state(node, id).await.unwrap() != wanted {
            assert!(began.elapsed() < PATIENCE, "{id} never becomes {wanted:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come to be that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_their_children_are_reached_through_every_node() {
    let shop = Shop::<3>::open().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        // The child of a run on one node is, more often than not, a run of another.
        let id = shop.id_of(number % 3, &format!("row-{number}"));
        shop.start((number + 1) % 3, &id, "row", &(vec![leaf("a"), leaf("b")], false)).await;
        ids.push(id);
    }
    for (number, id) in ids.iter().enumerate() {
        for node in 0..3 {
            shop.becomes((number + node) % 3, id, WorkflowState::Completed).await;
        }
    }
    let partitions: BTreeSet<usize> = ids
        .iter()
        .flat_map(|id| [1, 2].map(|child| format!("{id}/leaf/{child}")))
        .map(|child| {
            let owner = |node: &Node| node.engine.serving().contains(Partition::of(&child));
            shop.nodes.iter().position(owner).unwrap()
        })
        .collect();
    assert_eq!(partitions.len(), 3, "children were started on every node");

    let mut histories = Vec::new();
    for node in &shop.nodes {
        let workflow_id = ids[0].clone();
        let request = GetWorkflowHistoryRequest { workflow_id, ..Default::default() };
        let request = node.staff.request(request);
        let stream = node.staff.client.clone().get_workflow_history(request).await.unwrap();
        let messages: Vec<_> = stream.into_inner().map(Result::unwrap).collect().await;
        histories.push(messages);
    }
    assert!(!histories[0].is_empty() && histories.iter().all(|one| *one == histories[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_and_batches_reach_runs_of_all_nodes() {
    let shop = Shop::<2>::open().await;
    let [near, far] = [0, 1].map(|node| shop.id_of(node, "leaf"));
    for id in [&near, &far] {
        shop.start(0, id, "leaf", &waiting("a")).await;
    }
    let staff = &shop.nodes[0].staff;
    let signal = |request_id: u128| {
        staff.request(SignalWorkflowRequest {
            request_id: Uuid::from_u128(request_id).to_string(),
            workflow_id: far.clone(),
            signal: "go".into(),
            payload: Bytes::from_static(b"null"),
        })
    };
    let sent = staff.client.clone().signal_workflow(signal(1)).await.unwrap();
    assert!(!sent.into_inner().duplicate);
    shop.becomes(1, &far, WorkflowState::Completed).await;

    // A batch is a run like any other; what it acts on is wherever it is.
    let mut targets = vec![near.clone()];
    for number in 0..4 {
        let id = shop.id_of(number % 2, &format!("more-{number}"));
        shop.start(1, &id, "leaf", &waiting("b")).await;
        targets.push(id);
    }
    let listed = async {
        let request = ListWorkflowsRequest { filter: "state = open".into(), ..Default::default() };
        let list = staff.client.clone().list_workflows(staff.request(request)).await.unwrap();
        list.into_inner().workflows.len()
    };
    sleep(Duration::from_millis(200)).await;
    assert_eq!(listed.await, targets.len(), "every node lists all runs");
    let batch = staff.request(BatchOperateRequest {
        request_id: Uuid::from_u128(3).to_string(),
        operation: BatchOperation::Cancel.into(),
        workflow_ids: targets.clone(),
        reason: "tested".into(),
        ..BatchOperateRequest::default()
    });
    staff.client.clone().batch_operate(batch).await.unwrap();
    for id in &targets {
        shop.becomes(1, id, WorkflowState::Cancelled).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_on_other_nodes_end_with_their_parent() {
    let shop = Shop::<2>::open().await;
    let parent = shop.id_of(0, "row");
    let child = shop.id_of(1, "child");
    let waits = Leaf { id: Some(child.clone()), policy: ParentClose::Cancel, ..waiting("a") };
    shop.start(1, &parent, "row", &(vec![waits], false)).await;
    let began = Instant::now();
    while !matches!(shop.state(0, &child).await, Ok(WorkflowState::Running)) {
        assert!(began.elapsed() < PATIENCE, "the child is never started");
        sleep(Duration::from_millis(20)).await;
    }
    shop.nodes[0].engine.cancel(&parent, "tested").await.unwrap();
    shop.becomes(0, &child, WorkflowState::Cancelled).await;
    shop.becomes(1, &parent, WorkflowState::Cancelled).await;
    assert!(shop.bank.effects().values().all(|effect| effect.done == effect.undone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_is_not_noticed_by_those_who_call_another() {
    let shop = Shop::<2>::open().await;
    let ids: Vec<String> = (0..8).map(|number| shop.id_of(1, &format!("run-{number}"))).collect();
    for id in &ids {
        shop.start(0, id, "leaf", &waiting("a")).await;
    }
    let left = shop.nodes[1].engine.leave(PATIENCE);
    let calls = async {
        loop {
            for id in &ids {
                assert_eq!(shop.state(0, id).await.unwrap(), WorkflowState::Running);
            }
        }
    };
    tokio::select! {
        left = left => assert!(left),
        () = calls => unreachable!("it never ends"),
    }
    until("the other one has everything", || shop.nodes[0].engine.serving().len() == 256).await;
    shop.nodes[1].platform.tasks.drain(PATIENCE).await.unwrap();
    for id in &ids {
        assert_eq!(shop.state(0, id).await.unwrap(), WorkflowState::Running);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_ask_of_each_other_is_nobody_elses_business() {
    let shop = Shop::<1>::open().await;
    let ask = || AskRequest {
        workflow_id: "leaf".into(),
        describe: Some(PeerDescribe {}),
        ..AskRequest::default()
    };
    let platform = &shop.nodes[0].platform;
    for (name, reason) in [("order", Some("NOT_A_NODE")), ("workflow", None)] {
        let channel = platform.for_service(name).directory.channel("workflow");
        let answer = PeerServiceClient::new(channel).ask(ask()).await;
        let refusal = answer.err();
        assert_eq!(refusal.as_ref().and_then(reason_of).as_deref(), reason, "{name}");
        assert!(refusal.is_none_or(|refusal| refusal.code() == Code::PermissionDenied));
    }
    let nobody = platform.directory.forwarding_channel("workflow");
    let refused = PeerServiceClient::new(nobody).ask(ask()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let staff = shop.nodes[0].staff.request(ask());
    let node = platform.directory.forwarding_channel("workflow");
    let refused = PeerServiceClient::new(node).ask(staff).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("ROLE_REQUIRED"));
}
