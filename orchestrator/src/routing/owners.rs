//! Who serves a run now.

use http::Uri;

use crate::engine::Engine;

/// Who serves the runs under a workflow id, as far as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This node.
    Here,
    /// The node at this address, or it knows who does.
    At(Uri),
    /// Nobody for a moment, or nobody knows: ask again soon.
    Moving,
}

/// Tells who serves what.
pub trait Owners: Send + Sync + 'static {
    /// Who serves the runs under a workflow id.
    fn whose(&self, workflow_id: &str) -> Whose;
}

impl Owners for Engine {
    fn whose(&self, workflow_id: &str) -> Whose {
        match self.owner_of(workflow_id) {
            Ok(None) => Whose::Here,
            Ok(Some(owner)) => match owner.address.parse() {
                Ok(address) => Whose::At(address),
                Err(error) => {
                    tracing::error!(address = owner.address, %error, "a node has an address that is none");
                    Whose::Moving
                }
            },
            Err(_) => Whose::Moving,
        }
    }
}
