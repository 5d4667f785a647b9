//! One suite for every form of the record of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use souk_orchestrator::engine::ids::LogId;
use souk_orchestrator::engine::membership::sim::SimMembership;
use souk_orchestrator::engine::membership::{Beat, Lease, Membership, Move, NodeState};
use souk_orchestrator::engine::partition::Partition;
use souk_orchestrator::store::cql::CqlMembership;

use crate::forms::Keyspace;

type Record = Arc<dyn Membership>;

fn partition(number: u16) -> Partition {
    Partition::new(number).unwrap()
}

fn first(number: u16, to: LogId) -> Move {
    Move { partition: partition(number), from: None, to }
}

/// Every node gets a log of its own, however many join at once.
async fn no_log_is_given_twice(record: &Record) {
    let joins = (0..8).map(|number| {
        let record = record.clone();
        async move { record.join(&format!("node-{number}")).await.unwrap() }
    });
    let logs: Vec<LogId> = futures::future::join_all(joins).await;
    let distinct: BTreeSet<LogId> = logs.iter().copied().collect();
    assert_eq!(distinct.len(), 8, "{logs:?}");
    let view = record.view().await.unwrap();
    for (number, log) in logs.iter().enumerate() {
        let node = &view.nodes[log];
        assert_eq!(
            (node.address.as_str(), node.state),
            (&*format!("node-{number}"), NodeState::Live)
        );
        assert_eq!(node.beat, Beat::default());
    }
    // Nor is the log of one that is forgotten.
    let last = *logs.iter().max().unwrap();
    assert!(record.set_state(last, NodeState::Sealed).await.unwrap());
    record.forget(last).await.unwrap();
    assert!(record.join("another").await.unwrap() > last);
}

/// A beat is seen, and brings nobody back.
async fn what_nodes_say_is_seen(record: &Record) {
    let log = record.join("a").await.unwrap();
    for count in 1..4 {
        let beat = Beat { count, as_of_ms: 1_800_000_000_000 + count as i64 };
        record.beat(log, beat).await.unwrap();
        assert_eq!(record.view().await.unwrap().nodes[&log].beat, beat);
    }
    record.forget(log).await.unwrap();
    assert!(
        record.view().await.unwrap().nodes.contains_key(&log),
        "only who is sealed is forgotten"
    );
    assert!(record.set_state(log, NodeState::Leaving).await.unwrap());
    assert!(record.set_state(log, NodeState::Sealed).await.unwrap());
    assert!(!record.set_state(log, NodeState::Live).await.unwrap(), "sealed is for ever");
    assert!(record.set_state(log, NodeState::Sealed).await.unwrap(), "it stands there");
    record.forget(log).await.unwrap();
    record.beat(log, Beat { count: 9, as_of_ms: 1 }).await.unwrap();
    assert!(!record.set_state(log, NodeState::Live).await.unwrap());
    assert!(!record.view().await.unwrap().nodes.contains_key(&log));
}

/// Leases change hands all together or not at all, and only from what they are.
async fn moves_are_conditional_on_all_that_they_move(record: &Record) {
    let (one, two) = (record.join("one").await.unwrap(), record.join("two").await.unwrap());
    assert!(record.move_leases(&[first(0, one), first(1, one), first(255, two)]).await.unwrap());
    let view = record.view().await.unwrap();
    assert_eq!(view.leases[&partition(0)], Lease { owner: one, epoch: 1 });
    assert_eq!(view.leases[&partition(255)], Lease { owner: two, epoch: 1 });
    assert_eq!(view.owned_by(one).map(Partition::number).collect::<Vec<_>>(), [0, 1]);

    let to_two = |number, epoch| {
        let from = Some(Lease { owner: one, epoch });
        Move { partition: partition(number), from, to: two }
    };
    assert!(!record.move_leases(&[to_two(0, 1), to_two(1, 2)]).await.unwrap());
    assert!(!record.move_leases(&[to_two(0, 1), first(1, two)]).await.unwrap());
    assert!(!record.move_leases(&[first(3, two), to_two(255, 1)]).await.unwrap());
    assert_eq!(record.view().await.unwrap().leases, view.leases, "nothing has moved");
    assert!(record.move_leases(&[to_two(0, 1), first(3, two)]).await.unwrap());
    assert!(!record.move_leases(&[to_two(0, 1)]).await.unwrap(), "not twice");
    let view = record.view().await.unwrap();
    assert_eq!(view.leases[&partition(0)], Lease { owner: two, epoch: 2 });
    assert_eq!(view.leases[&partition(3)], Lease { owner: two, epoch: 1 });
}

/// Of many who want a partition, one gets it.
async fn one_of_many_gets_what_all_want(record: &Record) {
    let mut logs = Vec::new();
    for number in 0..6 {
        logs.push(record.join(&format!("{number}")).await.unwrap());
    }
    let claims = logs.iter().map(|log| {
        let (record, claim) = (record.clone(), [first(77, *log), first(78, *log)]);
        async move {
            loop {
                // Whoever is not told looks, as the engine does.
                match record.move_leases(&claim).await {
                    Ok(was_moved) => break was_moved,
                    Err(_) => {
                        let view = record.view().await.unwrap();
                        if let Some(lease) = view.leases.get(&partition(77)) {
                            break lease.owner == claim[0].to;
                        }
                    }
                }
            }
        }
    });
    let won: Vec<bool> = futures::future::join_all(claims).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let view = record.view().await.unwrap();
    let owner = logs[won.iter().position(|won| *won).unwrap()];
    assert_eq!(view.leases[&partition(77)], Lease { owner, epoch: 1 });
    assert_eq!(view.leases[&partition(78)], Lease { owner, epoch: 1 });
}

async fn all(record: Record) {
    // The partitions of each are others.
    no_log_is_given_twice(&record).await;
    what_nodes_say_is_seen(&record).await;
    moves_are_conditional_on_all_that_they_move(&record).await;
    one_of_many_gets_what_all_want(&record).await;
}

#[tokio::test]
async fn the_record_of_nodes_in_memory_keeps_the_contract() {
    all(Arc::new(SimMembership::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_nodes_on_cql_keeps_the_contract() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let session = keyspace.empty().await;
    all(Arc::new(CqlMembership::open(&session).await.unwrap())).await;
}
