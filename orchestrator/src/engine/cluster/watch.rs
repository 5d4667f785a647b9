//! What a node does about what is on record: see [`super`].

mod deaths;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deaths::Deaths;

use super::handover::{hand_over, let_go};
use super::takeover::Takeovers;
use super::{parts, within_limit};
use crate::engine::core::Core;
use crate::engine::ids::LogId;
use crate::engine::limits::{LOOK_EVERY_MS, LOOK_SOON_MS, MAX_MOVES_AT_ONCE};
use crate::engine::membership::{Lease, Move, NodeState, View, assign};
use crate::engine::ownership::Standing;
use crate::engine::partition::{Partition, PartitionSet};
use crate::engine::recovery::load_active;

/// Looks at the record of nodes until nothing becomes durable any more.
pub(super) async fn watch_all(core: Arc<Core>) {
    let (joined, _) = parts(&core);
    let mut watch =
        Watch { core: core.clone(), deaths: Deaths::default(), takeovers: Takeovers::default() };
    let mut leases = BTreeMap::new();
    while !core.over.is_cancelled() {
        let is_settled = match within_limit(&core.seams, joined.membership.view()).await {
            Ok(view) => watch.act(view, &mut leases).await,
            Err(error) => {
                tracing::warn!(%error, "the record of nodes could not be read; it is again");
                true
            }
        };
        let pause_ms = if is_settled { LOOK_EVERY_MS } else { LOOK_SOON_MS };
        tokio::select! {
            biased;
            () = core.seams.clock.sleep(Duration::from_millis(pause_ms)) => {}
            () = core.over.cancelled() => return,
        }
    }
}

struct Watch {
    core: Arc<Core>,
    deaths: Deaths,
    takeovers: Takeovers,
}

impl Watch {
    /// Does what follows from a view. Returns whether nothing is on its way.
    async fn act(&mut self, mut view: View, leases: &mut BTreeMap<Partition, Lease>) -> bool {
        let core = self.core.clone();
        let (joined, shared) = parts(&core);
        let own = view.nodes.get(&core.log_id);
        if own.is_none_or(|node| node.state == NodeState::Sealed) {
            tracing::error!(log = core.log_id.0, "the node was taken for dead, and ends");
            core.fence();
            return true;
        }
        let now_ms = core.seams.clock.steady_ms();
        for log in self.deaths.find(&view, core.log_id, now_ms, shared.is_certain()) {
            self.takeovers.begin(&core, log);
        }
        self.deaths.forget(&core, &view, now_ms).await;
        self.agree(&view);
        if joined.leaving.is_cancelled() && own.is_some_and(|node| node.state == NodeState::Live) {
            let left = joined.membership.set_state(core.log_id, NodeState::Leaving);
            if let Err(error) = within_limit(&core.seams, left).await {
                tracing::warn!(%error, "the node could not say that it leaves; it tries again");
            }
            return false;
        }
        let live: Vec<LogId> = view.live().map(|node| node.log).collect();
        let wanted = assign(&live);
        self.claim(&wanted, &mut view).await;
        self.give(&wanted, &mut view).await;
        if *leases != view.leases {
            leases.clone_from(&view.leases);
            // Nodes have changed, and may have forgotten to tell parents of the ends of their children.
            joined.children.notify_one();
        }
        let owned = view.owned_by(core.log_id).count();
        metrics::gauge!("souk_engine_owned_partitions").set(owned as f64);
        metrics::gauge!("souk_engine_live_nodes").set(live.len() as f64);
        if joined.leaving.is_cancelled() && (owned == 0 || live.is_empty()) {
            joined.left.cancel();
        }
        let is_settled = wanted.iter().all(|(one, owner)| {
            let is_owner = view.leases.get(one).is_some_and(|lease| lease.owner == *owner);
            is_owner || (*owner != core.log_id && !self.serves(*one))
        });
        shared.set_view(view);
        is_settled
    }

    fn serves(&self, partition: Partition) -> bool {
        parts(&self.core).1.standing(partition) != Standing::Absent
    }

    /// Brings what this node does in line with what is on record.
    fn agree(&self, view: &View) {
        let (_, shared) = parts(&self.core);
        shared.set_view(view.clone());
        let (mut taken, mut lost) = (PartitionSet::none(), PartitionSet::none());
        for partition in PartitionSet::all().iter() {
            let lease = view.leases.get(&partition);
            let is_own = lease.is_some_and(|lease| lease.owner == self.core.log_id);
            match (is_own, shared.standing(partition)) {
                (true, Standing::Absent | Standing::Moving) => drop(taken.insert(partition)),
                (false, Standing::Serving | Standing::Moving) => drop(lost.insert(partition)),
                (true, Standing::Serving) | (false, Standing::Absent) => {}
            }
        }
        if !lost.is_empty() {
            // Handed over, though the answer was lost.
            lost.iter().for_each(|one| shared.set_standing(one, Standing::Absent));
            let_go(&self.core, &lost);
        }
        self.take(taken);
    }

    /// Serves partitions from now on.
    fn take(&self, partitions: PartitionSet) {
        if partitions.is_empty() {
            return;
        }
        let (joined, shared) = parts(&self.core);
        partitions.iter().for_each(|one| shared.set_standing(one, Standing::Serving));
        self.core.timers.scan_now();
        let load = load_active(self.core.clone(), partitions);
        self.core.seams.spawner.spawn("engine-load", Box::pin(load));
        joined.children.notify_one();
    }

    /// Takes what is free and assigned to this node.
    async fn claim(&self, wanted: &BTreeMap<Partition, LogId>, view: &mut View) {
        let own = self.core.log_id;
        let free = wanted.iter().filter(|(one, owner)| **owner == own && view.is_free(**one));
        let moves: Vec<Move> = free.map(|(one, _)| moving(view, *one, own)).collect();
        let (joined, _) = parts(&self.core);
        for some in moves.chunks(MAX_MOVES_AT_ONCE) {
            match within_limit(&self.core.seams, joined.membership.move_leases(some)).await {
                Ok(true) => {
                    view.leases.extend(some.iter().map(|one| (one.partition, one.lease())));
                    self.take(some.iter().map(|one| one.partition).collect());
                }
                Ok(false) => tracing::debug!("somebody else has claimed a partition"),
                Err(error) => {
                    tracing::warn!(%error, "partitions could not be claimed; it is tried again");
                    return;
                }
            }
        }
    }

    /// Hands over what is assigned to others, a few at a time.
    async fn give(&self, wanted: &BTreeMap<Partition, LogId>, view: &mut View) {
        let (own, (_, shared)) = (self.core.log_id, parts(&self.core));
        let others = wanted.iter().filter(|(one, owner)| {
            **owner != own
                && shared.standing(**one) == Standing::Serving
                && view.leases.get(one).is_some_and(|lease| lease.owner == own)
        });
        let moves: Vec<Move> = others.map(|(one, owner)| moving(view, *one, *owner)).collect();
        for some in moves.chunks(MAX_MOVES_AT_ONCE) {
            if !hand_over(&self.core, some, view).await {
                return;
            }
            // Callers are led on at once.
            shared.set_view(view.clone());
        }
    }
}

fn moving(view: &View, partition: Partition, to: LogId) -> Move {
    Move { partition, from: view.leases.get(&partition).copied(), to }
}
