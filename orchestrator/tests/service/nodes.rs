//! Who shares the runs.

use souk_mesh::identity::Role;
use souk_proto::workflow::v1::{EngineNodeState, ListNodesRequest};
use tonic::Code;

use crate::workflows::world::{World, order};

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_alone_is_one_node_that_owns_everything() {
    let world = World::new(1).await;
    let ask = world.staff(ListNodesRequest {});
    let told = world.workflows().list_nodes(ask).await.unwrap().into_inner();
    let [node] = &told.nodes[..] else { panic!("{told:?}") };
    assert_eq!((node.state(), node.partitions.len()), (EngineNodeState::Live, 256));
    assert_eq!(told.free_partitions, 0);
    let customer = world.signed(order("").user_id, Role::Customer, ListNodesRequest {});
    let refused = world.workflows().list_nodes(customer).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
