//! `ListNodes`: which nodes share the runs, and how.

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{EngineNode, EngineNodeState, ListNodesResponse};

use crate::engine::Engine;
use crate::engine::membership::{Node, NodeState, View};
use crate::engine::partition::PartitionSet;

/// The nodes as this one has seen them last. An engine that is alone is one node that owns everything.
pub fn list(engine: &Engine) -> ListNodesResponse {
    let Some(view) = engine.nodes() else {
        let alone = EngineNode {
            log_id: number(engine.log_id().0),
            state: EngineNodeState::Live.into(),
            partitions: partitions(PartitionSet::all()),
            as_of: Some(timestamp(engine.now_ms())),
            ..EngineNode::default()
        };
        return ListNodesResponse { nodes: vec![alone], free_partitions: 0 };
    };
    let free = PartitionSet::all().iter().filter(|partition| view.is_free(*partition)).count();
    ListNodesResponse {
        nodes: view.nodes.values().map(|node| wire(&view, node)).collect(),
        free_partitions: i32::try_from(free).unwrap_or(i32::MAX),
    }
}

fn wire(view: &View, node: &Node) -> EngineNode {
    let state = match node.state {
        NodeState::Live => EngineNodeState::Live,
        NodeState::Leaving => EngineNodeState::Leaving,
        NodeState::Sealed => EngineNodeState::Sealed,
    };
    let beaten = node.beat.count > 0;
    EngineNode {
        log_id: number(node.log.0),
        address: node.address.clone(),
        state: state.into(),
        partitions: partitions(view.owned_by(node.log).collect()),
        as_of: beaten.then(|| timestamp(node.beat.as_of_ms)),
    }
}

fn partitions(set: PartitionSet) -> Vec<i32> {
    set.iter().map(|partition| i32::from(partition.number())).collect()
}

fn number(log_id: u64) -> i64 {
    i64::try_from(log_id).unwrap_or(i64::MAX)
}
