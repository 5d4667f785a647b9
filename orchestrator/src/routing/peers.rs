//! What this node's engine asks of others.

use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use souk_proto::workflow::v1::peer_service_client::PeerServiceClient;
use tonic::{Request, Status};

use super::nodes::Nodes;
use super::wire::{reply, request};
use crate::engine::Error;
use crate::engine::ownership::Owner;
use crate::engine::peers::{PeerCall, PeerReply, Peers};

/// How long an answer may take: the engine asks again then. Shorter than what a server allows.
const LIMIT: Duration = Duration::from_secs(25);
/// The largest message between nodes: a start with its input, a row, or a part of a history.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The way to other engines, over gRPC.
pub struct GrpcPeers {
    nodes: Nodes,
}

impl GrpcPeers {
    /// Over these connections. An owner's address is `http://host:port` of the port that all services of its process have.
    #[must_use]
    pub fn new(nodes: Nodes) -> Self {
        Self { nodes }
    }
}

#[async_trait]
impl Peers for GrpcPeers {
    async fn call(&self, owner: &Owner, call: PeerCall) -> Result<PeerReply, Error> {
        let address: Uri = owner.address.parse().map_err(|error| {
            Error::PeerUnreachable(format!("{:?} is no address: {error}", owner.address))
        })?;
        let workflow_id = call.workflow_id.clone();
        let mut request = Request::new(request::encode(call));
        request.set_timeout(LIMIT);
        let mut peer = PeerServiceClient::new(self.nodes.channel(&address))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let answer = peer.ask(request).await.map_err(|error| unreachable(&address, &error))?;
        reply::decode(answer.into_inner(), &workflow_id)
    }
}

fn unreachable(address: &Uri, error: &Status) -> Error {
    Error::PeerUnreachable(format!("{address}: {}", error.message()))
}
