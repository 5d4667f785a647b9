//! What every store of carts promises, on each of them.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use souk_backends::redis_for_tests;
use souk_cart::Error;
use souk_cart::domain::{Cart, Change, Illegal, MAX_ITEMS, Ordered};
use souk_cart::store::{CartStore, Edit, RequestKey, Sqlite};
use uuid::Uuid;

use crate::{START_MS, redis};

const LIFETIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Those who change one cart at once, and how often each does.
const WRITERS: usize = 16;
const EDITS_EACH: usize = 8;

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path()).unwrap());
    holds(&[store]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let Some(server) = redis_for_tests() else { return };
    // Two processes, as it were.
    holds(&[Arc::new(redis::store(&server).await), Arc::new(redis::store(&server).await)]).await;
}

/// Several handles on one store.
async fn holds(stores: &[Arc<dyn CartStore>]) {
    let store = stores[0].as_ref();
    a_cart_is_what_was_made_of_it(store).await;
    a_refused_edit_leaves_nothing_behind(store).await;
    a_repeat_changes_nothing(stores).await;
    writers_at_once_lose_nothing(stores).await;
    a_cart_dies_by_the_time_that_is_given(store).await;
    a_forgotten_cart_does_not_begin_again_with_old_versions(store).await;
    an_order_takes_out_what_it_bought(store).await;
}

/// A request that was not sent before.
pub fn new_key() -> RequestKey {
    RequestKey {
        scope: "user".to_owned(),
        method: "AddItem",
        request_id: Uuid::new_v4().to_string(),
        fingerprint: [7; 32],
    }
}

/// An edit of `user_id`'s cart at the start of time.
pub fn edit(user_id: Uuid, change: Change) -> Edit {
    Edit { user_id, change, key: Some(new_key()), now_ms: START_MS, lifetime_ms: LIFETIME_MS }
}

/// Puts `quantity` more pieces of a product in.
pub fn add(product_id: Uuid, quantity: i32) -> Change {
    Change::Add { product_id, item_id: Uuid::new_v4(), quantity }
}

/// Pieces of everything in the cart.
pub fn pieces(cart: &Cart) -> i32 {
    cart.items.iter().map(|item| item.quantity).sum()
}

async fn a_cart_is_what_was_made_of_it(store: &dyn CartStore) {
    let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(store.cart(user, START_MS).await.unwrap(), Cart::default());
    let mut cart = Cart::default();
    for quantity in 1..=MAX_ITEMS as i32 {
        cart = store.edit(edit(user, add(Uuid::new_v4(), quantity))).await.unwrap();
    }
    assert_eq!(cart.items.len(), MAX_ITEMS);
    assert!(cart.items.iter().map(|item| item.quantity).eq(1..=MAX_ITEMS as i32));
    assert_eq!(store.cart(user, START_MS).await.unwrap(), cart);
    assert_eq!(store.cart(other, START_MS).await.unwrap(), Cart::default());
    let keyless = Edit { key: None, ..edit(other, add(Uuid::new_v4(), 1)) };
    assert_eq!(pieces(&store.edit(keyless.clone()).await.unwrap()), 1);
    assert_eq!(pieces(&store.edit(keyless).await.unwrap()), 2, "nothing names a repeat");
}

async fn a_refused_edit_leaves_nothing_behind(store: &dyn CartStore) {
    let (user, product, item_id) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let set = edit(user, Change::Set { item_id, quantity: 5 });
    let refused = store.edit(set.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::Illegal(Illegal::NoSuchItem)), "{refused}");
    assert_eq!(store.cart(user, START_MS).await.unwrap(), Cart::default());
    let adding = Change::Add { product_id: product, item_id, quantity: 1 };
    store.edit(edit(user, adding)).await.unwrap();
    assert_eq!(pieces(&store.edit(set).await.unwrap()), 5, "what was refused may be asked again");
}

async fn a_repeat_changes_nothing(stores: &[Arc<dyn CartStore>]) {
    let (user, product) = (Uuid::new_v4(), Uuid::new_v4());
    let adding = edit(user, add(product, 1));
    let asked = (0..20).map(|i| stores[i % stores.len()].edit(adding.clone()));
    let answers: Vec<Cart> =
        join_all(asked).await.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(answers.iter().all(|cart| *cart == answers[0] && pieces(cart) == 1), "{answers:?}");

    let store = stores[0].as_ref();
    let now = store.edit(edit(user, add(product, 2))).await.unwrap();
    assert_eq!(store.edit(adding.clone()).await.unwrap(), now, "the cart as it is by then");
    let key = adding.key.clone().unwrap();
    let conflicting = RequestKey { fingerprint: [8; 32], ..key.clone() };
    let refused = store.edit(Edit { key: Some(conflicting), ..adding.clone() }).await;
    assert!(matches!(refused, Err(Error::RequestIdReused)), "{refused:?}");
    assert_eq!(store.cart(user, START_MS).await.unwrap(), now);

    let of_other = RequestKey { scope: "another".to_owned(), ..key.clone() };
    let of_method = RequestKey { method: "UpdateItem", ..key };
    for (key, expected) in [(of_other, 4), (of_method, 5)] {
        let unrelated = Edit { key: Some(key), ..adding.clone() };
        assert_eq!(pieces(&store.edit(unrelated).await.unwrap()), expected);
    }
}

async fn writers_at_once_lose_nothing(stores: &[Arc<dyn CartStore>]) {
    let (user, product) = (Uuid::new_v4(), Uuid::new_v4());
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&stores[writer % stores.len()]);
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..EDITS_EACH {
                let adding = edit(user, add(product, 1));
                // Each asked for twice at once, as a client does that hears nothing in time.
                let (one, other) = tokio::join!(store.edit(adding.clone()), store.edit(adding));
                versions.push(one.unwrap().version.min(other.unwrap().version));
            }
            versions
        })
    });
    let mut versions = HashSet::new();
    for writer in join_all(writers).await {
        let of_writer = writer.unwrap();
        assert!(of_writer.is_sorted(), "{of_writer:?}");
        versions.extend(of_writer);
    }
    let cart = stores[0].cart(user, START_MS).await.unwrap();
    assert_eq!(cart.items[0].quantity as usize, WRITERS * EDITS_EACH);
    assert_eq!(versions.len(), WRITERS * EDITS_EACH, "no version was given twice");
    assert_eq!(versions.into_iter().max(), Some(cart.version));
}

async fn a_cart_dies_by_the_time_that_is_given(store: &dyn CartStore) {
    let (user, product) = (Uuid::new_v4(), Uuid::new_v4());
    let first = store.edit(edit(user, add(product, 1))).await.unwrap();
    assert_eq!(first.expires_at_ms, START_MS + LIFETIME_MS);
    let later_ms = START_MS + LIFETIME_MS - 1;
    let prolonged = Edit { now_ms: later_ms, ..edit(user, add(product, 1)) };
    let prolonged = store.edit(prolonged).await.unwrap();
    assert_eq!((pieces(&prolonged), prolonged.expires_at_ms), (2, later_ms + LIFETIME_MS));
    let end_ms = prolonged.expires_at_ms;
    assert_eq!(pieces(&store.cart(user, end_ms - 1).await.unwrap()), 2);
    let dead = store.cart(user, end_ms).await.unwrap();
    assert_eq!((pieces(&dead), dead.version), (0, prolonged.version));
    let anew = Edit { now_ms: end_ms, ..edit(user, add(product, 5)) };
    let anew = store.edit(anew).await.unwrap();
    assert_eq!(pieces(&anew), 5, "nothing of the dead cart comes back");
    assert!(anew.version > prolonged.version);
}

async fn a_forgotten_cart_does_not_begin_again_with_old_versions(store: &dyn CartStore) {
    let (dead, alive, product) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let short = Edit { lifetime_ms: 1_000, ..edit(dead, add(product, 3)) };
    let before = store.edit(short).await.unwrap();
    store.edit(edit(alive, add(product, 1))).await.unwrap();
    let now_ms = START_MS + 1_000;
    while store.sweep(now_ms, 1).await.unwrap() > 0 {}
    assert_eq!(pieces(&store.cart(dead, now_ms).await.unwrap()), 0);
    assert_eq!(pieces(&store.cart(alive, now_ms).await.unwrap()), 1);
    let again = Edit { now_ms, ..edit(dead, add(product, 1)) };
    let again = store.edit(again).await.unwrap();
    assert!(again.version > before.version, "{again:?} after {before:?}");
    assert_eq!(pieces(&again), 1);
}

async fn an_order_takes_out_what_it_bought(store: &dyn CartStore) {
    let (user, bought, later) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let ordered = store.edit(edit(user, add(bought, 2))).await.unwrap();
    store.edit(edit(user, add(later, 1))).await.unwrap();
    let lines = vec![Ordered { product_id: bought, quantity: 2 }];
    let clear = edit(user, Change::Clear { version: Some(ordered.version), lines });
    for key in [clear.key.clone(), clear.key.clone(), Some(new_key())] {
        let cart = store.edit(Edit { key, ..clear.clone() }).await.unwrap();
        let left: Vec<_> = cart.items.iter().map(|item| (item.product_id, item.quantity)).collect();
        assert_eq!(left, [(later, 1)]);
    }
}
