//! What the rest of the shop is told: with the change, or not at all.

use std::sync::Arc;

use prost::Message;
use souk_catalog::domain::ProductPatch;
use souk_catalog::store::Store;
use souk_catalog::store::sqlite::SqliteStore;
use souk_mesh::money::{Currency, Money};
use souk_mesh::store;
use souk_mesh::testing::Told;
use souk_proto::event::v1::Event;
use souk_proto::event::v1::event::Payload;
use uuid::Uuid;

use crate::support::cql::swept;
use crate::support::{HOLD_MS, NOW, hold, key, line, release, sqlite, stocked};

/// Where what is told can be seen.
enum Ear {
    /// Before it leaves.
    Outbox(Arc<SqliteStore>),
    /// When it has left.
    Bus(Arc<Told>),
}

impl Ear {
    /// What is told of something, once there are so many events, in the order of telling.
    async fn of(&self, id: Uuid, count: usize) -> Vec<Event> {
        let id = id.to_string();
        match self {
            Ear::Outbox(store) => {
                let mut events = outbox(store).await;
                events.retain(|event| event.aggregate_id == id);
                events
            }
            Ear::Bus(told) => {
                told.wait_for(&id, count).await;
                let mut events = told.of(&id);
                // Who is not sure that it has told something tells it again.
                events.dedup_by_key(|event| event.event_id.clone());
                events
            }
        }
    }
}

/// Makes tests of functions that take a store and where it tells: in a file, and on CQL.
macro_rules! on_each_store {
    ($($test:ident),* $(,)?) => {
        $(mod $test {
            use super::{Ear, sqlite, swept};

            #[tokio::test]
            async fn on_sqlite() {
                let (_folder, store) = sqlite();
                super::$test(store.as_ref(), Ear::Outbox(store.clone())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_cql() {
                let Some(cql) = swept().await else { return };
                super::$test(cql.store().as_ref(), Ear::Bus(cql.told())).await;
            }
        })*
    };
}

on_each_store!(
    a_product_is_told_of_when_it_changes_runs_out_and_comes_back,
    a_reservation_is_told_of_with_the_stock_after_it,
);

/// Every event that waits to leave, in order.
async fn outbox(store: &SqliteStore) -> Vec<Event> {
    let rows = |connection: &rusqlite::Connection| -> Result<Vec<Vec<u8>>, store::Error> {
        let mut rows = connection.prepare("SELECT event FROM outbox ORDER BY rowid")?;
        let rows = rows.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let rows = store.database().read(rows).await.unwrap();
    rows.iter().map(|bytes| Event::decode(bytes.as_slice()).unwrap()).collect()
}

fn told(events: &[Event]) -> Vec<(&str, i64)> {
    events.iter().map(|event| (event.r#type.as_str(), event.aggregate_version)).collect()
}

async fn a_product_is_told_of_when_it_changes_runs_out_and_comes_back(store: &dyn Store, ear: Ear) {
    let id = stocked(store, 2).await;
    let patch =
        ProductPatch { price: Some(Money::new(2500, Currency::EUR)), ..ProductPatch::default() };
    store.update_product(id, patch.clone(), None, None, NOW).await.unwrap();
    store.update_product(id, patch, None, None, NOW).await.unwrap();
    store.adjust_inventory(id, -1, key("AdjustInventory"), NOW).await.unwrap();
    store.adjust_inventory(id, -1, key("AdjustInventory"), NOW).await.unwrap();
    store.adjust_inventory(id, 7, key("AdjustInventory"), NOW).await.unwrap();

    let events = ear.of(id, 4).await;
    let expected = [1, 2, 3, 4].map(|version| ("product.updated", version));
    assert_eq!(told(&events), expected);
    let in_stock: Vec<bool> = events
        .iter()
        .map(|event| match &event.payload {
            Some(Payload::Product(updated)) => updated.in_stock,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(in_stock, [true, true, false, true]);
    let Some(Payload::Product(updated)) = &events[1].payload else { panic!() };
    let product = updated.product.as_ref().unwrap();
    assert_eq!(product.price.as_ref().unwrap().units, 25);
    assert_eq!((product.available_quantity, product.version), (None, 2));
    assert!(!updated.category_name.is_empty());
}

async fn a_reservation_is_told_of_with_the_stock_after_it(store: &dyn Store, ear: Ear) {
    let id = stocked(store, 5).await;
    let held = store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    store.reserve(hold(vec![line(id, 9)]), NOW).await.unwrap_err();
    store.commit(held.id, None, NOW).await.unwrap();
    store.release(release(held.id), NOW).await.unwrap();
    store.release(release(held.id), NOW).await.unwrap();
    let forgotten = store.reserve(hold(vec![line(id, 1)]), NOW).await.unwrap();
    store.expire_holds(NOW + HOLD_MS, 9).await.unwrap();

    let of_product = ear.of(id, 1).await;
    assert_eq!(told(&of_product), [("product.updated", 1)]);
    let of_held = ear.of(held.id, 2).await;
    assert_eq!(told(&of_held), [("inventory.reserved", 1), ("inventory.released", 3)]);
    let of_forgotten = ear.of(forgotten.id, 2).await;
    assert_eq!(told(&of_forgotten), [("inventory.reserved", 1), ("inventory.released", 2)]);
    let Some(Payload::Inventory(reserved)) = &of_held[0].payload else { panic!() };
    assert_eq!((reserved.inventories[0].on_hand, reserved.inventories[0].reserved), (5, 2));
    let Some(Payload::Inventory(released)) = &of_held[1].payload else { panic!() };
    assert_eq!((released.reason.as_str(), released.inventories[0].on_hand), ("test", 5));
    let Some(Payload::Inventory(expired)) = &of_forgotten[1].payload else { panic!() };
    assert_eq!(expired.reason, "expired");
}
