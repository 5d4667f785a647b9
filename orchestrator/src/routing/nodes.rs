//! Connections to the other nodes, made when they are needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use souk_mesh::client::{Channel, Directory, Node};
use souk_mesh::identity::Caller;
use tokio::time::Instant;

use crate::NAME;

/// A connection that nobody has used for so long is given up: its node is gone.
const UNUSED_FOR: Duration = Duration::from_secs(600);
/// Connections at once. More nodes than that there are not; what comes beyond takes the place of the least used.
const MAX_NODES: usize = 256;
/// Services on whose behalf calls are passed on. There are fewer; what comes beyond starts the list anew.
const MAX_CALLERS: usize = 64;

/// See the module. Clones share the connections.
#[derive(Clone)]
pub struct Nodes {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Directory,
    nodes: Mutex<HashMap<Uri, Used>>,
    /// By the name of a service: a directory that calls as it. Kept because each has a token of its own.
    callers: Mutex<HashMap<String, Directory>>,
}

struct Used {
    node: Node,
    last: Instant,
}

impl Nodes {
    /// No connections yet. This node's own calls show what `directory`'s show.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        let (nodes, callers) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { directory, nodes, callers }) }
    }

    /// A channel for this node's own calls.
    pub(super) fn channel(&self, address: &Uri) -> Channel {
        self.node(address).channel()
    }

    /// A channel for a call of somebody else's, with whatever shows who that is: the token that the call carries, or
    /// that it came from a service of this process.
    pub(super) fn channel_for(&self, address: &Uri, caller: &Caller, has_token: bool) -> Channel {
        let node = self.node(address);
        match caller.service_name().filter(|_| !has_token) {
            Some(name) => node.channel_of(&self.caller(name)),
            None => node.forwarding_channel(),
        }
    }

    fn node(&self, address: &Uri) -> Node {
        let mut nodes = self.shared.nodes.lock();
        let now = Instant::now();
        if let Some(used) = nodes.get_mut(address) {
            used.last = now;
            return used.node.clone();
        }
        nodes.retain(|_, used| now.duration_since(used.last) < UNUSED_FOR);
        if nodes.len() >= MAX_NODES {
            let oldest = nodes.iter().min_by_key(|(_, used)| used.last);
            let oldest = oldest.map(|(address, _)| address.clone());
            oldest.and_then(|oldest| nodes.remove(&oldest));
        }
        let node = self.shared.directory.node(NAME, address.clone());
        nodes.insert(address.clone(), Used { node: node.clone(), last: now });
        node
    }

    fn caller(&self, name: &str) -> Directory {
        let mut callers = self.shared.callers.lock();
        if let Some(directory) = callers.get(name) {
            return directory.clone();
        }
        if callers.len() >= MAX_CALLERS {
            callers.clear();
        }
        let directory = self.shared.directory.for_service(name);
        callers.insert(name.to_owned(), directory.clone());
        directory
    }
}
