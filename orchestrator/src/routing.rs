//! Requests reach the node that serves the run, whichever node they come to.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`forward`] | around the service: serves what is this node's, passes everything else on |
//! | [`named`] | which run a request means |
//! | [`owners`] | who serves a run now, as the engine knows it |
//! | [`peers`], [`peer_service`], [`wire`] | what engines ask of each other, over gRPC |
//! | [`nodes`] | the connections |
//!
//! docs/CLUSTER.md tells of it as a whole.

#![allow(clippy::disallowed_methods)] // waiting for other nodes is nothing that the engine does, or replays

mod forward;
mod named;
mod nodes;
mod owners;
mod peer_service;
mod peers;
mod wire;

use souk_mesh::client::Directory;
use souk_mesh::identity::Keys;
use souk_proto::workflow::v1::peer_service_server::PeerServiceServer;
use souk_proto::workflow::v1::workflow_service_server::WorkflowServiceServer;
use tonic::service::Routes;

pub use forward::{FORWARDS_HEADER, MAX_FORWARDS, Routed};
pub use nodes::Nodes;
pub use owners::{Owners, Whose};
pub use peers::GrpcPeers;

use crate::engine::Engine;
use crate::service::Service;

/// The service over an engine that is one of many, and what the other engines ask of it.
#[must_use]
pub fn routes(engine: Engine, keys: &Keys, nodes: Nodes) -> Routes {
    let service = WorkflowServiceServer::new(Service::new(engine.clone(), keys));
    let routed = Routed::new(service, engine.clone(), nodes);
    let peers = peer_service::PeerServer::new(engine);
    let peers = PeerServiceServer::new(peers).max_decoding_message_size(peers::MAX_MESSAGE_BYTES);
    Routes::new(routed).add_service(peers)
}

/// The connections of a node that calls as `directory` does.
#[must_use]
pub fn nodes(directory: &Directory) -> Nodes {
    Nodes::new(directory.clone())
}
