//! Corrections of stock.

use std::sync::Arc;

use souk_catalog::Error;
use souk_catalog::domain::MAX_ON_HAND;
use souk_catalog::store::{RequestKey, Store};
use uuid::Uuid;

use crate::support::{NOW, counts, hold, key, line, stocked};

pub async fn a_correction_stops_at_what_is_reserved(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    store.reserve(hold(vec![line(id, 3)]), NOW).await.unwrap();
    let refused = store.adjust_inventory(id, -3, key("AdjustInventory"), NOW).await;
    assert!(matches!(refused, Err(Error::StockNegative { on_hand: 5, reserved: 3 })));
    let refused = store.adjust_inventory(id, MAX_ON_HAND, key("AdjustInventory"), NOW).await;
    assert!(matches!(refused, Err(Error::TooManyOnHand)));
    assert_eq!(counts(store.as_ref(), id).await, (5, 3, 2));
    store.adjust_inventory(id, -2, key("AdjustInventory"), NOW).await.unwrap();
    assert_eq!(counts(store.as_ref(), id).await, (3, 3, 0));
}

pub async fn a_repeated_correction_counts_once(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let key = key("AdjustInventory");
    let first = store.adjust_inventory(id, 4, key.clone(), NOW + 1).await.unwrap();
    assert_eq!((first.version, first.updated_at_ms), (2, NOW + 1));
    let again = store.adjust_inventory(id, 4, key.clone(), NOW + 2).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(counts(store.as_ref(), id).await, (9, 0, 9));
    let other = RequestKey { fingerprint: [8; 32], ..key };
    let refused = store.adjust_inventory(id, 5, other, NOW).await;
    assert!(matches!(refused, Err(Error::RequestIdReused)));
}

pub async fn stock_of_an_unknown_product_is_an_error(store: Arc<dyn Store>) {
    let unknown = Uuid::new_v4();
    let read = store.inventory(unknown).await;
    assert!(matches!(read, Err(Error::ProductNotFound(ids)) if ids == [unknown]));
    let adjusted = store.adjust_inventory(unknown, 1, key("AdjustInventory"), NOW).await;
    assert!(matches!(adjusted, Err(Error::ProductNotFound(_))));
    let reserved = store.reserve(hold(vec![line(unknown, 1)]), NOW).await;
    assert!(matches!(reserved, Err(Error::ProductNotFound(_))));
}
