//! Where services are. Bound late, so that services can refer to each other in cycles.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tonic::service::Routes;

use super::balance::Balancer;
use super::channel::Channel;
use super::outgoing::Identity;
use crate::clock::SharedClock;
use crate::identity::Keys;
use crate::server::{ServerStack, Stacked};

/// Where a service is.
#[derive(Clone)]
pub(super) enum Target {
    /// In this process, behind its server stack.
    Local(Stacked),
    /// Over sockets.
    Remote(Arc<Balancer>),
}

/// A service's place in the directory, empty until it is bound.
pub(super) struct Slot {
    pub(super) service: &'static str,
    pub(super) target: RwLock<Option<Target>>,
}

/// Names of services and their channels. Clones share the same bindings.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
    identity: Arc<Identity>,
}

struct Shared {
    stack: ServerStack,
    keys: Arc<Keys>,
    clock: SharedClock,
    slots: Mutex<HashMap<&'static str, Arc<Slot>>>,
}

impl Directory {
    /// Nothing bound yet. Services bound in this process are put behind `stack`; calls show themselves as
    /// `service:shop`, until [`Directory::for_service`] says otherwise.
    #[must_use]
    pub fn new(stack: ServerStack, keys: Arc<Keys>, clock: SharedClock) -> Self {
        let identity = Arc::new(Identity::new("shop", Arc::clone(&keys), Arc::clone(&clock)));
        let slots = Mutex::new(HashMap::new());
        Self { shared: Arc::new(Shared { stack, keys, clock, slots }), identity }
    }

    /// The same bindings, for calls that show themselves as `service:<name>`.
    #[must_use]
    pub fn for_service(&self, name: &str) -> Self {
        let keys = Arc::clone(&self.shared.keys);
        let identity = Arc::new(Identity::new(name, keys, Arc::clone(&self.shared.clock)));
        Self { shared: Arc::clone(&self.shared), identity }
    }

    /// The way to a service, also before it is bound: until then, calls answer UNAVAILABLE, reason `NOT_BOUND`.
    /// Calls show this directory's service as their caller, unless they carry an `authorization` of their own.
    #[must_use]
    pub fn channel(&self, service: &'static str) -> Channel {
        Channel::new(self.slot(service), Some(Arc::clone(&self.identity)))
    }

    /// The way to a service for calls on behalf of others: they show what they carry, and nothing if they carry
    /// nothing. What an edge must use: a browser without a token is nobody, never a part of the shop.
    #[must_use]
    pub fn forwarding_channel(&self, service: &'static str) -> Channel {
        Channel::new(self.slot(service), None)
    }

    /// Binds a service in this process: calls cross its server stack and end in a function call.
    pub fn bind_local(&self, service: &'static str, routes: Routes) {
        self.bind(service, Target::Local(self.shared.stack.wrap(routes)));
    }

    /// Binds a service over sockets, to its replicas: `http://host:port` each. Calls go to the less loaded ones of those
    /// that are up; each is connected to from now on, and again whenever it went away.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn bind_remote(&self, service: &'static str, replicas: Vec<http::Uri>) {
        self.bind(service, Target::Remote(Arc::new(Balancer::new(service, replicas))));
    }

    /// The way to one certain process among those that serve a service, whatever the service is bound to. It is connected
    /// to for as long as the node, or a channel to it, is kept.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn node(&self, service: &'static str, address: http::Uri) -> Node {
        let target = Target::Remote(Arc::new(Balancer::new(service, vec![address])));
        let slot = Slot { service, target: RwLock::new(Some(target)) };
        Node { slot: Arc::new(slot), identity: Arc::clone(&self.identity) }
    }

    fn bind(&self, service: &'static str, target: Target) {
        *self.slot(service).target.write() = Some(target);
    }

    fn slot(&self, service: &'static str) -> Arc<Slot> {
        let mut slots = self.shared.slots.lock();
        let slot = slots
            .entry(service)
            .or_insert_with(|| Arc::new(Slot { service, target: RwLock::new(None) }));
        Arc::clone(slot)
    }
}

/// One process, reached by its address. Clones share the connection.
#[derive(Clone)]
pub struct Node {
    slot: Arc<Slot>,
    identity: Arc<Identity>,
}

impl Node {
    /// Calls show the directory's service, unless they carry an `authorization` of their own.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Channel::new(Arc::clone(&self.slot), Some(Arc::clone(&self.identity)))
    }

    /// The same, as `directory` calls: for what another service has asked of this one.
    #[must_use]
    pub fn channel_of(&self, directory: &Directory) -> Channel {
        Channel::new(Arc::clone(&self.slot), Some(Arc::clone(&directory.identity)))
    }

    /// Calls show what they carry, and nothing if they carry nothing: see [`Directory::forwarding_channel`].
    #[must_use]
    pub fn forwarding_channel(&self) -> Channel {
        Channel::new(Arc::clone(&self.slot), None)
    }
}
