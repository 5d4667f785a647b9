//! Products and categories.

use std::sync::Arc;

use souk_catalog::Error;
use souk_catalog::domain::{Category, ProductPatch};
use souk_catalog::store::{NameCursor, ProductFilter, RequestKey, Store};
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::support::{NOW, category, hold, key, line, new_product, stocked};

pub async fn a_product_is_found_with_what_is_available(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    let unknown = Uuid::new_v4();
    let found = store.products(vec![unknown, id]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].product.id, found[0].available), (id, 3));
    assert_eq!(found[0].product.picture, format!("/pictures/{id}.svg"));
}

pub async fn skus_slugs_and_ids_are_unique(store: Arc<dyn Store>) {
    let shelf = category(store.as_ref(), "shelf").await;
    let first = new_product(shelf.id, "First", 1);
    store.create_product(first.clone(), key("CreateProduct"), NOW).await.unwrap();

    let mut same_sku = new_product(shelf.id, "Second", 1);
    same_sku.sku = first.sku.clone();
    let refused = store.create_product(same_sku.clone(), key("CreateProduct"), NOW).await;
    assert!(matches!(refused, Err(Error::SkuTaken(sku)) if sku == first.sku));
    assert!(matches!(store.inventory(same_sku.id).await, Err(Error::ProductNotFound(_))));

    let mut same_id = new_product(shelf.id, "Third", 1);
    same_id.id = first.id;
    let refused = store.create_product(same_id, key("CreateProduct"), NOW).await;
    assert!(matches!(refused, Err(Error::IdTaken(id)) if id == first.id));

    let same_slug = Category { id: Uuid::new_v4(), ..shelf.clone() };
    let refused = store.create_category(same_slug, None).await;
    assert!(matches!(refused, Err(Error::SlugTaken(slug)) if slug == "shelf"));
    let same_id = Category { slug: "other".into(), ..shelf };
    assert!(matches!(store.create_category(same_id, None).await, Err(Error::IdTaken(_))));
}

pub async fn a_category_must_exist(store: Arc<dyn Store>) {
    let nowhere = Uuid::new_v4();
    let product = new_product(nowhere, "Lost", 1);
    let refused = store.create_product(product, key("CreateProduct"), NOW).await;
    assert!(matches!(refused, Err(Error::CategoryNotFound(id)) if id == nowhere));

    let id = stocked(store.as_ref(), 1).await;
    let patch = ProductPatch { category_id: Some(nowhere), ..ProductPatch::default() };
    let refused = store.update_product(id, patch, None, None, NOW).await;
    assert!(matches!(refused, Err(Error::CategoryNotFound(_))));
    assert_eq!(store.products(vec![id]).await.unwrap()[0].product.version, 1);
}

pub async fn an_update_needs_the_present_etag(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 1).await;
    let price = |minor| ProductPatch {
        price: Some(Money::new(minor, Currency::EUR)),
        ..ProductPatch::default()
    };
    let etag = store.products(vec![id]).await.unwrap()[0].product.etag();
    let updated =
        store.update_product(id, price(500), Some(etag.clone()), None, NOW + 1).await.unwrap();
    assert_eq!((updated.product.price.minor, updated.product.version), (500, 2));

    let refused = store.update_product(id, price(600), Some(etag), None, NOW + 2).await;
    let current = updated.product.etag();
    assert!(matches!(refused, Err(Error::EtagMismatch { current: now }) if now == current));
    assert_eq!(store.products(vec![id]).await.unwrap()[0], updated);

    let unknown = store.update_product(Uuid::new_v4(), price(1), None, None, NOW).await;
    assert!(matches!(unknown, Err(Error::ProductNotFound(_))));
}

pub async fn a_repeated_request_gets_its_first_answer(store: Arc<dyn Store>) {
    let shelf = category(store.as_ref(), "shelf").await;
    let (key, product) = (key("CreateProduct"), new_product(shelf.id, "Once", 4));
    let first = store.create_product(product.clone(), key.clone(), NOW).await.unwrap();
    let patch = ProductPatch { name: Some("Renamed".into()), ..ProductPatch::default() };
    store.update_product(product.id, patch, None, None, NOW).await.unwrap();

    let again = store.create_product(product.clone(), key.clone(), NOW + 9).await.unwrap();
    assert_eq!(again, first);
    let other = RequestKey { fingerprint: [8; 32], ..key.clone() };
    let refused = store.create_product(product.clone(), other, NOW).await;
    assert!(matches!(refused, Err(Error::RequestIdReused)));
    let elses = RequestKey { scope: "user:other".into(), ..key };
    let refused = store.create_product(product, elses, NOW).await;
    assert!(matches!(refused, Err(Error::SkuTaken(_) | Error::IdTaken(_))));
}

pub async fn pages_go_through_all_names_once(store: Arc<dyn Store>) {
    let (one, two) = (category(store.as_ref(), "one").await, category(store.as_ref(), "two").await);
    for (at, name) in ["Pear", "Apple", "Fig", "Fig", "Lime"].into_iter().enumerate() {
        let shelf = if at % 2 == 0 { one.id } else { two.id };
        let product = new_product(shelf, name, 1);
        store.create_product(product, key("CreateProduct"), NOW).await.unwrap();
    }
    let all = ProductFilter::default();
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_products(all, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(NameCursor { name: last.product.name.clone(), id: last.product.id });
        names.extend(page.into_iter().map(|listed| listed.product.name));
    }
    assert_eq!(names, ["Apple", "Fig", "Fig", "Lime", "Pear"]);

    let of_one = ProductFilter { category_id: Some(one.id), ..all };
    assert_eq!(store.list_products(of_one, None, 10).await.unwrap().len(), 3);
    let categories = store.list_categories(None, 10).await.unwrap();
    assert_eq!(categories, [one.clone(), two.clone()]);
    let after = NameCursor { name: one.name, id: one.id };
    assert_eq!(store.list_categories(Some(after), 10).await.unwrap(), [two]);
}

pub async fn archived_products_are_listed_on_demand_only(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 1).await;
    let patch = ProductPatch { archived: Some(true), ..ProductPatch::default() };
    store.update_product(id, patch, None, None, NOW).await.unwrap();
    assert!(store.list_products(ProductFilter::default(), None, 9).await.unwrap().is_empty());
    let all = ProductFilter { include_archived: true, ..ProductFilter::default() };
    assert_eq!(store.list_products(all, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.products(vec![id]).await.unwrap().len(), 1);
}
