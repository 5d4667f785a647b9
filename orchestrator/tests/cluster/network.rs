//! How nodes and clients reach nodes: by address, and not if they are dead or frozen.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use souk_orchestrator::engine::ownership::Owner;
use souk_orchestrator::engine::peers::{PeerCall, PeerReply, Peers};
use souk_orchestrator::engine::{Engine, Error};

use super::node::Node;

/// How long a caller waits for a node that does not answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client waits before it looks for the owner again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it does.
const MAX_TRIES: usize = 2_000;

/// See the module. Clones are the same network.
#[derive(Clone, Default)]
pub struct Network {
    nodes: Arc<Mutex<BTreeMap<String, Node>>>,
}

impl Network {
    pub fn add(&self, node: &Node) {
        self.nodes.lock().insert(node.address.clone(), node.clone());
    }

    fn find(&self, address: &str) -> Option<Node> {
        self.nodes.lock().get(address).filter(|node| !node.gate.is_dead()).cloned()
    }

    fn anyone(&self, number: usize) -> Option<Node> {
        let nodes = self.nodes.lock();
        let alive: Vec<&Node> = nodes.values().filter(|node| !node.gate.is_dead()).collect();
        (!alive.is_empty()).then(|| alive[number % alive.len()].clone())
    }

    /// Asks one node, which does it or refuses.
    pub async fn ask<T: Send, F>(
        &self,
        node: &Node,
        call: impl FnOnce(Engine) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let answer = node.gate.within(call(node.engine.clone()));
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::PeerUnreachable(node.address.clone())),
        }
    }

    /// Asks node after node until one does it: what a router does.
    pub async fn call<T: Send, F>(&self, call: impl Fn(Engine) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut next = self.anyone(0);
        for number in 1..MAX_TRIES {
            let Some(node) = next.take() else {
                tokio::time::sleep(PAUSE).await;
                next = self.anyone(number);
                continue;
            };
            match self.ask(&node, &call).await {
                Err(Error::NotOwner { owner: Some(owner), .. }) => {
                    next = self.find(&owner.address);
                    // It may not know yet that it is the owner.
                    tokio::time::sleep(PAUSE / 10).await;
                }
                Err(
                    Error::NotOwner { .. }
                    | Error::Fenced
                    | Error::ShuttingDown
                    | Error::Overloaded(_)
                    | Error::PeerUnreachable(_),
                ) => {
                    tokio::time::sleep(PAUSE).await;
                    next = self.anyone(number);
                }
                answer => return answer,
            }
        }
        panic!("nobody does it")
    }
}

#[async_trait]
impl Peers for Network {
    async fn call(&self, owner: &Owner, call: PeerCall) -> Result<PeerReply, Error> {
        let Some(node) = self.find(&owner.address) else {
            return Err(Error::PeerUnreachable(owner.address.clone()));
        };
        self.ask(&node, |engine| async move { engine.serve_peer(call).await }).await
    }
}
