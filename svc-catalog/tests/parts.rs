//! The parts of a sale on CQL follow what was decided: by themselves, with others, and after their process.

use std::sync::Arc;

use souk_catalog::domain::{Hold, State};
use souk_catalog::store::Store;
use uuid::Uuid;

use crate::support::cql::{apart, before_dying, swept};
use crate::support::{HOLD_MS, NOW, counts, counts_come_to, hold, key, line, release, stocked};

const PIECES: i64 = 5;
const SOLD: u32 = 2;
const SOLD_IN_PART: (i64, i64, i64) = (5, 2, 3);
const ALL_SOLD: (i64, i64, i64) = (3, 0, 3);
const ALL_BACK: (i64, i64, i64) = (5, 0, 5);

/// Products, the one that decides last.
async fn products(store: &dyn Store) -> [Uuid; 3] {
    let mut products = [Uuid::nil(); 3];
    for id in &mut products {
        *id = stocked(store, PIECES).await;
    }
    products.sort();
    products
}

fn some_of_each(products: [Uuid; 3]) -> Hold {
    hold(products.iter().map(|id| line(*id, SOLD)).collect())
}

async fn sell(store: Arc<impl Store>, products: [Uuid; 3]) -> Uuid {
    let held = store.reserve(some_of_each(products), NOW).await.unwrap();
    assert_eq!(store.commit(held.id, None, NOW).await.unwrap().state, State::Committed);
    held.id
}

async fn all(store: &dyn Store, products: [Uuid; 3], expected: (i64, i64, i64)) {
    for id in products {
        assert_eq!(counts(store, id).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_sale_follow_by_themselves() {
    let Some(cql) = apart().await else { return };
    let products = products(cql.store().as_ref()).await;
    sell(cql.store(), products).await;
    for id in products {
        counts_come_to(cql.store().as_ref(), id, ALL_SOLD).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_waits_goes_along_with_what_is_asked_next() {
    let Some(cql) = apart().await else { return };
    let products = products(cql.store().as_ref()).await;
    let before = cql.store().inventory(products[0]).await.unwrap();
    sell(cql.store(), products).await;
    let key = key("AdjustInventory");
    let after = cql.store().adjust_inventory(products[0], 1, key, NOW).await.unwrap();
    assert_eq!((after.stock.on_hand(), after.stock.reserved()), (4, 0));
    assert_eq!(after.version, before.version + 3, "held, sold and corrected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_follow_before_a_process_has_drained() {
    let (Some(drains), Some(other)) = (apart().await, apart().await) else { return };
    let products = products(other.store().as_ref()).await;
    sell(drains.store(), products).await;
    drains.drain().await;
    all(other.store().as_ref(), products, ALL_SOLD).await;
    // It still answers, and leaves nothing to do.
    sell(drains.store(), products).await;
    all(other.store().as_ref(), products, (1, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_sale_whose_process_died_follow_with_the_sweeper() {
    let Some(cql) = swept().await else { return };
    let store = cql.store();
    let products = products(store.as_ref()).await;
    before_dying(move |store| sell(store, products)).await;
    assert_eq!(counts(store.as_ref(), products[2]).await, ALL_SOLD);
    all_parts(store.as_ref(), products, SOLD_IN_PART).await;
    store.expire_holds(NOW + HOLD_MS - 1, 100).await.unwrap();
    all_parts(store.as_ref(), products, SOLD_IN_PART).await;
    assert_eq!(store.expire_holds(NOW + HOLD_MS, 100).await.unwrap(), 0);
    all(store.as_ref(), products, ALL_SOLD).await;
}

async fn all_parts(store: &dyn Store, [one, two, _]: [Uuid; 3], expected: (i64, i64, i64)) {
    assert_eq!([counts(store, one).await, counts(store, two).await], [expected; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_whose_process_died_is_undone_as_a_whole() {
    let Some(cql) = swept().await else { return };
    let store = cql.store();
    let products = products(store.as_ref()).await;
    let id = before_dying(move |store| sell(store, products)).await;
    all_parts(store.as_ref(), products, SOLD_IN_PART).await;
    assert_eq!(store.release(release(id), NOW).await.unwrap().state, State::Released);
    all(store.as_ref(), products, ALL_BACK).await;
    store.expire_holds(NOW + HOLD_MS, 100).await.unwrap();
    all(store.as_ref(), products, ALL_BACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sold_after_its_time_is_sold_as_a_whole_at_once() {
    let Some(cql) = swept().await else { return };
    let store = cql.store();
    let products = products(store.as_ref()).await;
    let wish = some_of_each(products);
    let held = store.reserve(wish, NOW).await.unwrap();
    // The only entry that the sweeper has of it is gone after that.
    assert_eq!(store.expire_holds(NOW + HOLD_MS, 100).await.unwrap(), 1);
    before_dying(async move |store| store.commit(held.id, None, NOW + HOLD_MS).await.unwrap())
        .await;
    all(store.as_ref(), products, ALL_SOLD).await;
}
