//! Which partition is to be whose: every node computes the same from the same list of nodes, and little changes when one
//! comes or goes.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::ids::LogId;
use crate::engine::partition::{PARTITIONS, Partition, PartitionSet};

/// How much more than its even share a node may get, in hundredths.
const SLACK_PERCENT: usize = 5;

/// The owner that each partition is to have, among these nodes. Without nodes there is none.
///
/// Rendezvous hashing with bounded loads: each partition goes to the node that likes it best and has room left. So a node
/// that comes takes a share from all others, and one that goes leaves its share to all others.
pub fn assign(nodes: &[LogId]) -> BTreeMap<Partition, LogId> {
    let mut assigned = BTreeMap::new();
    if nodes.is_empty() {
        return assigned;
    }
    let most = (usize::from(PARTITIONS) * (100 + SLACK_PERCENT)).div_ceil(nodes.len() * 100);
    let mut room: BTreeMap<LogId, usize> = nodes.iter().map(|node| (*node, most)).collect();
    for partition in PartitionSet::all().iter() {
        let open = room.iter_mut().filter(|(_, room)| **room > 0);
        let best = open.max_by_key(|(node, _)| (liking(partition, **node), **node));
        let (node, room) = best.expect("there is more room than there are partitions");
        *room -= 1;
        assigned.insert(partition, *node);
    }
    assigned
}

/// How much a node likes a partition: a number that only the two of them decide.
fn liking(partition: Partition, node: LogId) -> u64 {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&node.0.to_le_bytes());
    key[8..].copy_from_slice(&partition.number().to_le_bytes());
    xxh3_64(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(assigned: &BTreeMap<Partition, LogId>) -> BTreeMap<LogId, usize> {
        let mut shares = BTreeMap::new();
        for node in assigned.values() {
            *shares.entry(*node).or_default() += 1;
        }
        shares
    }

    #[test]
    fn every_partition_has_one_owner_and_the_shares_are_even_within_a_fifth() {
        assert!(assign(&[]).is_empty());
        for first in 0..200 {
            for count in 1..=10 {
                let nodes: Vec<LogId> = (first..first + count).map(LogId).collect();
                let assigned = assign(&nodes);
                assert_eq!(assigned.len(), usize::from(PARTITIONS));
                let even = usize::from(PARTITIONS) as f64 / count as f64;
                let shares = shares(&assigned);
                assert_eq!(shares.len() as u64, count);
                if count <= 4 {
                    let fair = |share: &usize| (*share as f64 - even).abs() <= even / 5.0;
                    assert!(shares.values().all(fair), "{nodes:?}: {shares:?}");
                }
            }
        }
    }

    #[test]
    fn little_moves_when_a_node_comes_or_goes() {
        for first in 0..100 {
            let three: Vec<LogId> = (first..first + 3).map(LogId).collect();
            let (before, after) = (assign(&three), assign(&three[..2]));
            let stayed = before.iter().filter(|(one, owner)| after[one] == **owner).count();
            let kept = before.values().filter(|owner| **owner != three[2]).count();
            // Those of the two that stay, less the few that run into the bound of a share.
            assert!(stayed * 100 >= kept * 85, "{stayed} of {kept} stay from {first} on");
        }
    }

    #[test]
    fn the_order_in_which_nodes_are_listed_does_not_matter() {
        let listed = [LogId(9), LogId(4), LogId(7)];
        assert_eq!(assign(&listed), assign(&[LogId(4), LogId(7), LogId(9)]));
    }
}
