//! How events change what is found.

use souk_mesh::bus::DeadLetterQuery;
use souk_proto::catalog::v1::Product;
use souk_proto::event::v1::Event;
use souk_proto::search::v1::SearchRequest;

use crate::shop::{Shop, eventually, product, shelf, told, typed};

#[tokio::test]
async fn events_bring_change_and_take_products() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let pan = product(9, "Crepe pan", "Flat.");
    shop.tell(told(&pan, 1, true)).await;
    shop.eventually_finds("crepe", &["Crepe pan"]).await;

    let renamed = Product { name: "Pancake griddle".to_owned(), version: 2, ..pan };
    shop.tell(told(&renamed, 2, true)).await;
    shop.eventually_finds("griddle", &["Pancake griddle"]).await;
    assert!(shop.names("crepe").await.is_empty());

    let archived = Product { archived: true, version: 3, ..renamed };
    shop.tell(told(&archived, 3, false)).await;
    shop.eventually_finds("griddle", &[]).await;
    assert_eq!(shop.search(typed("")).await.unwrap().total, 8);
}

#[tokio::test]
async fn older_events_change_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), Vec::new()).await;
    let new = Product { version: 5, ..product(1, "New name", "") };
    let old = Product { version: 4, ..product(1, "Old name", "") };
    shop.tell(told(&new, 5, true)).await;
    shop.tell(told(&old, 4, false)).await;
    // Events of a product are handled in turn: when this one is, those before it are.
    shop.tell(told(&Product { version: 6, sku: "LAST".to_owned(), ..new }, 6, true)).await;
    shop.eventually_finds("last", &["New name"]).await;

    let gone = Product { archived: true, version: 7, ..product(2, "Gone", "") };
    shop.tell(told(&gone, 7, false)).await;
    shop.tell(told(&product(2, "Back", ""), 6, true)).await;
    shop.tell(told(&product(3, "Other", ""), 1, true)).await;
    shop.close().await;

    let shop = Shop::open_with(temp.path(), None).await;
    shop.eventually_sells(2).await;
    shop.eventually_finds("other", &["Other"]).await;
    assert!(shop.names("back").await.is_empty(), "what is archived does not come back");
}

#[tokio::test]
async fn selling_out_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let in_stock = || SearchRequest { in_stock: true, ..typed("skillet") };
    assert_eq!(shop.search(in_stock()).await.unwrap().total, 1);
    shop.tell(told(&shelf()[4], 2, false)).await;
    eventually(|| async { shop.search(in_stock()).await.unwrap().total == 0 }).await;
    let found = shop.search(typed("skillet")).await.unwrap();
    assert_eq!(found.hits[0].product.clone().unwrap().available_quantity, Some(0));
    shop.tell(told(&shelf()[4], 3, true)).await;
    eventually(|| async { shop.search(in_stock()).await.unwrap().total == 1 }).await;
}

#[tokio::test]
async fn a_burst_of_events_is_taken_in() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), Vec::new()).await;
    let events = (1..=300).map(|n| told(&product(n, &format!("Thing {n}"), ""), 1, true));
    shop.platform.bus.publish(events.collect()).await.unwrap();
    shop.eventually_sells(300).await;
    assert_eq!(shop.names("thing 217").await, ["Thing 217"]);
}

#[tokio::test]
async fn an_event_without_sense_is_set_aside_and_stops_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), Vec::new()).await;
    let sound = told(&product(1, "Cup", ""), 1, true);
    let priceless = Product { price: None, ..product(2, "Priceless", "") };
    shop.tell(Event { payload: None, ..sound.clone() }).await;
    shop.tell(Event { aggregate_version: 0, ..sound.clone() }).await;
    shop.tell(told(&priceless, 1, true)).await;
    shop.tell(sound).await;
    shop.eventually_finds("cup", &["Cup"]).await;
    let dead = || async {
        let query = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
        shop.platform.bus.dead_letters(query).await.unwrap()
    };
    eventually(|| async { dead().await.len() == 3 }).await;
    assert!(dead().await.iter().any(|letter| letter.reason.contains("no valid price")));
}
