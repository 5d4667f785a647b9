//! `souk.workflow.v1.PeerService`: what other nodes ask of this one's engine.

use souk_mesh::error::status;
use souk_mesh::identity::Caller;
use souk_proto::workflow::v1::peer_service_server::PeerService;
use souk_proto::workflow::v1::{AskRequest, AskResponse};
use tonic::{Code, Request, Response, Status};

use super::wire::{reply, request};
use crate::NAME;
use crate::engine::Engine;

/// The service over the engine of this node.
pub(super) struct PeerServer {
    engine: Engine,
}

impl PeerServer {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl PeerService for PeerServer {
    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<AskResponse>, Status> {
        if Caller::of(&request).service_name() != Some(NAME) {
            let message = "this is between the nodes of the orchestrator";
            return Err(status(Code::PermissionDenied, "NOT_A_NODE", message));
        }
        let call = request::decode(request.into_inner())?;
        Ok(Response::new(reply::encode(self.engine.serve_peer(call).await)))
    }
}
