//! Which nodes are dead, as far as this one can tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::cluster::{parts, within_limit};
use crate::engine::core::Core;
use crate::engine::ids::LogId;
use crate::engine::limits::{FORGET_AFTER_MS, LEASE_MS, MAX_LOOK_GAP_MS, TAKEOVER_STAGGER_MS};
use crate::engine::membership::{Beat, NodeState, View};

/// What was seen of a node, and since when it is so.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    beat: Beat,
    state: NodeState,
    since_ms: u64,
}

/// Remembers beats. All times are of the steady clock.
#[derive(Default)]
pub(super) struct Deaths {
    seen: BTreeMap<LogId, Seen>,
    looked_ms: u64,
}

impl Deaths {
    /// The nodes whose logs this one should take over now. `is_certain`: this node has been able to beat, so that others
    /// would be, too.
    pub fn find(&mut self, view: &View, own: LogId, now_ms: u64, is_certain: bool) -> Vec<LogId> {
        let is_blind = !is_certain || now_ms.saturating_sub(self.looked_ms) > MAX_LOOK_GAP_MS;
        self.looked_ms = now_ms;
        self.seen.retain(|log, _| view.nodes.contains_key(log));
        for (log, node) in &view.nodes {
            let (beat, state) = (node.beat, node.state);
            let fresh = Seen { beat, state, since_ms: now_ms };
            let known = self.seen.entry(*log).or_insert(fresh);
            let is_silent = known.beat == beat && known.state == state;
            // Who did not look does not know for how long it has been silent.
            if !is_silent || (is_blind && state != NodeState::Sealed) {
                *known = fresh;
            }
        }
        // All may try: the first at once, the others later, lest it be dead too.
        let is_live = |log: &LogId| self.silence_ms(log, now_ms) < LEASE_MS;
        let rank = view.live().filter(|node| node.log < own && is_live(&node.log)).count();
        let delay_ms = TAKEOVER_STAGGER_MS * rank as u64;
        let is_dead = |log: &LogId| self.silence_ms(log, now_ms) >= LEASE_MS + delay_ms;
        let open = view.nodes.values().filter(|node| node.state != NodeState::Sealed);
        open.map(|node| node.log).filter(|log| *log != own && is_dead(log)).collect()
    }

    fn silence_ms(&self, log: &LogId, now_ms: u64) -> u64 {
        self.seen.get(log).map_or(0, |seen| now_ms.saturating_sub(seen.since_ms))
    }

    /// Has nodes forgotten that were sealed long ago and own nothing.
    pub async fn forget(&self, core: &Arc<Core>, view: &View, now_ms: u64) {
        let is_old = |log: &LogId| self.silence_ms(log, now_ms) >= FORGET_AFTER_MS;
        let sealed = view.nodes.values().filter(|node| node.state == NodeState::Sealed);
        let old = sealed.map(|node| node.log).find(|log| is_old(log));
        let Some(log) = old.filter(|log| view.owned_by(*log).next().is_none()) else { return };
        let forgotten = parts(core).0.membership.forget(log);
        if let Err(error) = within_limit(&core.seams, forgotten).await {
            tracing::debug!(log = log.0, %error, "a node could not be forgotten; it is later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::membership::Node;

    fn view(beats: &[(u64, u64)]) -> View {
        let nodes = beats.iter().map(|(log, count)| {
            let beat = Beat { count: *count, as_of_ms: 0 };
            let log = LogId(*log);
            (log, Node { log, address: String::new(), state: NodeState::Live, beat })
        });
        View { nodes: nodes.collect(), ..View::default() }
    }

    /// Looks every second from `from_ms` until `until_ms`; `beats` says what is seen then.
    fn watch(
        deaths: &mut Deaths,
        own: u64,
        times_ms: impl Iterator<Item = u64>,
        beats: impl Fn(u64) -> Vec<(u64, u64)>,
    ) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        for now_ms in times_ms {
            let dead = deaths.find(&view(&beats(now_ms)), LogId(own), now_ms, true);
            found.extend(dead.into_iter().map(|log| (now_ms, log.0)));
        }
        found
    }

    #[test]
    fn a_node_is_dead_when_its_beat_has_stood_still_for_the_lease() {
        let mut deaths = Deaths::default();
        let beats = |now_ms: u64| vec![(1, now_ms), (2, now_ms.min(3_000))];
        let found = watch(&mut deaths, 1, (1_000..=9_000).step_by(1_000), beats);
        assert_eq!(found, [(9_000, 2)]);
    }

    #[test]
    fn of_several_nodes_the_first_takes_over_and_the_others_wait_whether_it_does() {
        let beats = |now_ms: u64| vec![(1, now_ms), (2, 5), (3, now_ms), (4, now_ms)];
        for (own, first_ms) in [(1, 7_000), (3, 9_000), (4, 11_000)] {
            let found = watch(&mut Deaths::default(), own, (1_000..=20_000).step_by(1_000), beats);
            assert_eq!(found.first(), Some(&(first_ms, 2)), "seen by {own}");
        }
        // The first is dead as well: the second does not wait for it.
        let beats = |now_ms: u64| vec![(1, 5), (2, 5), (3, now_ms)];
        let found = watch(&mut Deaths::default(), 3, (1_000..=7_000).step_by(1_000), beats);
        assert_eq!(found, [(7_000, 1), (7_000, 2)]);
    }

    #[test]
    fn who_did_not_look_or_could_not_beat_takes_nobody_for_dead() {
        let mut deaths = Deaths::default();
        let still = |_| vec![(1, 5), (2, 5)];
        assert!(
            watch(&mut deaths, 1, [1_000, 20_000, 21_000, 25_000].into_iter(), still).is_empty()
        );
        let blind = deaths.find(&view(&still(0)), LogId(1), 27_000, false);
        assert!(blind.is_empty());
        assert!(watch(&mut deaths, 1, [28_000, 30_000, 32_000].into_iter(), still).is_empty());
        assert_eq!(watch(&mut deaths, 1, [33_000].into_iter(), still), [(33_000, 2)]);
    }
}
