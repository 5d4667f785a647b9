//! The record of nodes in memory, for tests: every call may fail, or be slow, where a test wants it to.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Beat, Error, Membership, Move, Node, NodeState, View};
use crate::engine::ids::LogId;

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Unavailable,
    /// It is done, and nobody is told so. Reads take it for [`Fault::Unavailable`].
    UnknownApplied,
    /// It is not done, and nobody is told so. Reads take it for [`Fault::Unavailable`].
    UnknownNotApplied,
}

/// Decides what happens to a call, by the name of the method.
pub type Faults = Arc<dyn Fn(&'static str) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
struct State {
    view: View,
    last_log: u64,
}

/// See the module. Clones are the same record, seen through faults of their own.
#[derive(Clone, Default)]
pub struct SimMembership {
    state: Arc<Mutex<State>>,
    faults: Option<Faults>,
}

impl SimMembership {
    /// An empty record.
    pub fn new() -> SimMembership {
        SimMembership::default()
    }

    /// The same record, as a node with a bad connection sees it.
    #[must_use]
    pub fn with_faults(&self, faults: Faults) -> SimMembership {
        SimMembership { state: self.state.clone(), faults: Some(faults) }
    }

    /// What is on record, without a fault.
    pub fn look(&self) -> View {
        self.state.lock().view.clone()
    }

    async fn read<T>(&self, call: &'static str, read: impl FnOnce(&View) -> T) -> Result<T, Error> {
        tokio::task::yield_now().await;
        match self.fault(call) {
            Some(_) => Err(Error::Unavailable("injected".into())),
            None => Ok(read(&self.state.lock().view)),
        }
    }

    async fn change<T>(
        &self,
        call: &'static str,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T, Error> {
        // Others get their turn, as they do while a real call is under way.
        tokio::task::yield_now().await;
        let fault = self.fault(call);
        match fault {
            Some(Fault::Unavailable) => return Err(Error::Unavailable("injected".into())),
            Some(Fault::UnknownNotApplied) => return Err(Error::Unknown("injected".into())),
            _ => {}
        }
        let changed = change(&mut self.state.lock());
        tokio::task::yield_now().await;
        match fault {
            Some(_) => Err(Error::Unknown("injected".into())),
            None => Ok(changed),
        }
    }

    fn fault(&self, call: &'static str) -> Option<Fault> {
        self.faults.as_ref().and_then(|faults| faults(call))
    }
}

#[async_trait]
impl Membership for SimMembership {
    async fn join(&self, address: &str) -> Result<LogId, Error> {
        let joined = self.change("join", |state| {
            state.last_log += 1;
            let log = LogId(state.last_log);
            let address = address.to_owned();
            let node = Node { log, address, state: NodeState::Live, beat: Beat::default() };
            state.view.nodes.insert(log, node);
            log
        });
        joined.await
    }

    async fn view(&self) -> Result<View, Error> {
        self.read("view", View::clone).await
    }

    async fn beat(&self, log: LogId, beat: Beat) -> Result<(), Error> {
        let beaten = self.change("beat", |state| {
            if let Some(node) = state.view.nodes.get_mut(&log) {
                node.beat = beat;
            }
        });
        beaten.await
    }

    async fn set_state(&self, log: LogId, state: NodeState) -> Result<bool, Error> {
        let set = self.change("set_state", |all| {
            let Some(node) = all.view.nodes.get_mut(&log) else { return false };
            if node.state != NodeState::Sealed {
                node.state = state;
            }
            node.state == state
        });
        set.await
    }

    async fn move_leases(&self, moves: &[Move]) -> Result<bool, Error> {
        let moved = self.change("move_leases", |state| {
            let leases = &mut state.view.leases;
            if moves.iter().any(|one| leases.get(&one.partition) != one.from.as_ref()) {
                return false;
            }
            leases.extend(moves.iter().map(|one| (one.partition, one.lease())));
            true
        });
        moved.await
    }

    async fn forget(&self, log: LogId) -> Result<(), Error> {
        let forgotten = self.change("forget", |state| {
            let is_sealed = |node: &Node| node.state == NodeState::Sealed;
            if state.view.nodes.get(&log).is_some_and(is_sealed) {
                state.view.nodes.remove(&log);
            }
        });
        forgotten.await
    }
}
