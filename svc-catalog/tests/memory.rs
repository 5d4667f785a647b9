//! What a process remembers of products is never what decides: another one may have changed them.

use std::sync::Arc;

use souk_catalog::Error;
use souk_catalog::domain::State;
use souk_catalog::store::Store;
use souk_catalog::store::cql::CqlStore;
use uuid::Uuid;

use crate::support::cql::{Cql, apart};
use crate::support::{NOW, counts, counts_come_to, hold, key, line, release, stocked};

/// Two processes on one keyspace, and a product that the first one remembers.
struct Processes {
    _both: [Cql; 2],
    one: Arc<CqlStore>,
    other: Arc<CqlStore>,
    product: Uuid,
}

async fn with(pieces: i64) -> Option<Processes> {
    let both = [apart().await?, apart().await?];
    let (one, other) = (both[0].store(), both[1].store());
    let product = stocked(one.as_ref(), pieces + 1).await;
    let sold = one.reserve(hold(vec![line(product, 1)]), NOW).await.unwrap();
    one.commit(sold.id, None, NOW).await.unwrap();
    Some(Processes { _both: both, one, other, product })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_as_sold_out_is_sold_when_another_process_has_more() {
    let Some(Processes { one, other, product, .. }) = with(2).await else { return };
    one.reserve(hold(vec![line(product, 2)]), NOW).await.unwrap();
    other.adjust_inventory(product, 3, key("AdjustInventory"), NOW).await.unwrap();
    one.reserve(hold(vec![line(product, 3)]), NOW).await.unwrap();
    assert_eq!(counts(other.as_ref(), product).await, (5, 5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_as_in_stock_is_refused_when_another_process_sold_it() {
    let Some(Processes { one, other, product, .. }) = with(3).await else { return };
    other.reserve(hold(vec![line(product, 2)]), NOW).await.unwrap();
    let refused = one.reserve(hold(vec![line(product, 2)]), NOW).await;
    assert!(matches!(refused, Err(Error::SoldOut { available: 1, requested: 2, .. })));
    one.reserve(hold(vec![line(product, 1)]), NOW).await.unwrap();
    assert_eq!(counts(other.as_ref(), product).await, (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_take_turns_sell_exactly_what_there_is() {
    let Some(Processes { one, other, product, .. }) = with(10).await else { return };
    for turn in 0..12 {
        let (first, second) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let wish = hold(vec![line(product, 1)]);
        let reserved = first.reserve(wish.clone(), NOW).await;
        if turn >= 10 {
            assert!(matches!(reserved, Err(Error::SoldOut { available: 0, .. })));
            continue;
        }
        let held = reserved.unwrap();
        assert_eq!(second.reserve(wish, NOW).await.unwrap(), held);
        assert_eq!(second.commit(held.id, None, NOW).await.unwrap().state, State::Committed);
        assert_eq!(first.commit(held.id, None, NOW).await.unwrap().state, State::Committed);
    }
    assert_eq!(counts(one.as_ref(), product).await, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_as_held_is_not_sold_when_another_process_undid_it() {
    let Some(Processes { one, other, product, .. }) = with(3).await else { return };
    let held = one.reserve(hold(vec![line(product, 2)]), NOW).await.unwrap();
    other.release(release(held.id), NOW).await.unwrap();
    assert!(matches!(one.commit(held.id, None, NOW).await, Err(Error::Undone(_))));
    assert!(matches!(one.extend(held.id, 1_000, NOW).await, Err(Error::Undone(_))));
    let released = one.release(release(held.id), NOW).await.unwrap();
    assert_eq!((released.state, released.version), (State::Released, 2));
    assert_eq!(counts(one.as_ref(), product).await, (3, 0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_of_another_process_is_found_although_its_product_is_remembered() {
    let Some(Processes { one, product, .. }) = with(9).await else { return };
    let second = stocked(one.as_ref(), 9).await;
    let wishes = [hold(vec![line(product, 2), line(second, 2)]), hold(vec![line(product, 1)])];
    for wish in &wishes {
        one.reserve(wish.clone(), NOW).await.unwrap();
    }
    // It reads both products after all that, but not the rows of those reservations; and remembers what it read.
    let Some(late) = apart().await else { return };
    let late = late.store();
    for _ in 0..3 {
        late.reserve(hold(vec![line(product, 1), line(second, 1)]), NOW).await.unwrap();
    }
    assert_eq!(counts(late.as_ref(), product).await, (9, 6, 3));
    assert_eq!(late.reserve(wishes[0].clone(), NOW).await.unwrap().version, 1);
    assert_eq!(counts(late.as_ref(), product).await, (9, 6, 3));
    assert_eq!(late.commit(wishes[0].reservation_id, None, NOW).await.unwrap().version, 2);
    counts_come_to(late.as_ref(), product, (7, 4, 3)).await;
    counts_come_to(late.as_ref(), second, (7, 3, 4)).await;
    let released = late.release(release(wishes[1].reservation_id), NOW).await.unwrap();
    assert_eq!((released.state, released.version), (State::Released, 2));
    assert_eq!(counts(one.as_ref(), product).await, (7, 3, 4));
}
