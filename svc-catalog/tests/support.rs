//! What the tests share: stores in folders that go away, and things to put into them.

pub mod cql;

use std::sync::Arc;
use std::time::{Duration, Instant};

use souk_catalog::domain::{Category, Hold, Inventory, Line, NewProduct, Release};
use souk_catalog::store::sqlite::SqliteStore;
use souk_catalog::store::{RequestKey, Store};
use souk_mesh::money::{Currency, Money};
use tempfile::TempDir;
use uuid::Uuid;

/// When tests begin, in unix milliseconds.
pub const NOW: i64 = 1_800_000_000_000;
/// For how long tests hold.
pub const HOLD_MS: i64 = 60_000;
/// How long is waited for counts that lag: much longer than they do, as the machine may be busy.
const COUNTS_LAG: Duration = Duration::from_secs(20);

/// An empty store, and the folder that it lives in.
pub fn sqlite() -> (TempDir, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("catalog.sqlite")).unwrap();
    (folder, Arc::new(store))
}

/// A name that nobody else uses, as stores are shared.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4())
}

pub fn key(method: &'static str) -> RequestKey {
    RequestKey {
        scope: "user:test".into(),
        method,
        request_id: Uuid::new_v4().to_string(),
        fingerprint: [7; 32],
    }
}

pub async fn category(store: &dyn Store, slug: &str) -> Category {
    let category = Category {
        id: Uuid::new_v4(),
        slug: slug.into(),
        name: slug.to_uppercase(),
        parent_id: None,
        created_at_ms: NOW,
    };
    store.create_category(category, None).await.unwrap()
}

pub fn new_product(category_id: Uuid, name: &str, initial_quantity: i64) -> NewProduct {
    NewProduct {
        id: Uuid::new_v4(),
        sku: format!("sku-{}", Uuid::new_v4()),
        name: name.into(),
        description: "A thing.".into(),
        category_id,
        price: Money::new(1999, Currency::EUR),
        picture: String::new(),
        initial_quantity,
    }
}

/// A product of which there are so many, in a category of its own.
pub async fn stocked(store: &dyn Store, on_hand: i64) -> Uuid {
    let category = category(store, &unique("c")).await;
    let product = new_product(category.id, "Thing", on_hand);
    store.create_product(product, key("CreateProduct"), NOW).await.unwrap().product.id
}

pub fn line(product_id: Uuid, quantity: u32) -> Line {
    Line { product_id, quantity }
}

/// A new wish to hold these lines.
pub fn hold(mut lines: Vec<Line>) -> Hold {
    lines.sort();
    Hold {
        reservation_id: Uuid::new_v4(),
        order_id: Uuid::new_v4(),
        lines,
        hold_ms: HOLD_MS,
        not_after_ms: None,
    }
}

pub fn release(reservation_id: Uuid) -> Release {
    Release {
        reservation_id,
        order_id: Uuid::nil(),
        reason: "test".into(),
        undoes_not_after_ms: None,
    }
}

/// On hand, reserved and available.
pub async fn counts(store: &dyn Store, product_id: Uuid) -> (i64, i64, i64) {
    let Inventory { stock, .. } = store.inventory(product_id).await.unwrap();
    (stock.on_hand(), stock.reserved(), stock.available())
}

/// Waits until on hand, reserved and available are so: the counts of a sale of several products may lag by a second on
/// CQL. What is available may not.
pub async fn counts_come_to(store: &dyn Store, product_id: Uuid, expected: (i64, i64, i64)) {
    let begun = Instant::now();
    loop {
        let seen = counts(store, product_id).await;
        assert_eq!(seen.2, expected.2, "available, of {seen:?}");
        if seen == expected {
            return;
        }
        assert!(begun.elapsed() < COUNTS_LAG, "{seen:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
