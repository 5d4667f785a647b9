//! Products and categories.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use souk_catalog::Error;
use souk_catalog::domain::{Category, Listed, ProductPatch};
use souk_catalog::store::{NameCursor, ProductFilter, RequestKey, Store};
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::support::{NOW, category, hold, key, line, new_product, stocked, unique};

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
    let slug = unique("shelf");
    let shelf = category(store.as_ref(), &slug).await;
    let first = new_product(shelf.id, "First", 1);
    store.create_product(first.clone(), key("CreateProduct"), NOW).await.unwrap();

    let mut same_sku = new_product(shelf.id, "Second", 1);
    same_sku.sku = first.sku.clone();
    let refused = store.create_product(same_sku.clone(), key("CreateProduct"), NOW).await;
    assert!(matches!(refused, Err(Error::SkuTaken(sku)) if sku == first.sku));
    assert!(matches!(store.inventory(same_sku.id).await, Err(Error::ProductNotFound(_))));

    let mut same_id = new_product(shelf.id, "Third", 1);
    same_id.id = first.id;
    let third = same_id.clone();
    let refused = store.create_product(same_id, key("CreateProduct"), NOW).await;
    assert!(matches!(refused, Err(Error::IdTaken(id)) if id == first.id));

    let same_slug = Category { id: Uuid::new_v4(), ..shelf.clone() };
    let refused = store.create_category(same_slug, None).await;
    assert!(matches!(refused, Err(Error::SlugTaken(taken)) if taken == slug));
    let other = format!("other-{slug}");
    let same_id = Category { slug: other.clone(), ..shelf.clone() };
    assert!(matches!(store.create_category(same_id, None).await, Err(Error::IdTaken(_))));

    // What was refused has taken nothing.
    let free = Category { id: Uuid::new_v4(), slug: other, ..shelf };
    assert_eq!(store.create_category(free.clone(), None).await.unwrap(), free);
    let mut free = new_product(free.id, "Fourth", 1);
    free.sku = third.sku;
    store.create_product(free, key("CreateProduct"), NOW).await.unwrap();
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
    let shelf = category(store.as_ref(), &unique("shelf")).await;
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

pub async fn a_repeated_category_is_the_first_one(store: Arc<dyn Store>) {
    let key = key("CreateCategory");
    let wished = || Category {
        id: Uuid::new_v4(),
        slug: unique("same"),
        name: "Same".into(),
        parent_id: None,
        created_at_ms: NOW,
    };
    let first = store.create_category(wished(), Some(key.clone())).await.unwrap();
    // The caller left the id to the shop, which draws another one for the repeat.
    let again = Category { id: Uuid::new_v4(), ..first.clone() };
    assert_eq!(store.create_category(again, Some(key.clone())).await.unwrap(), first);
    let other = RequestKey { fingerprint: [8; 32], ..key };
    let refused = store.create_category(wished(), Some(other)).await;
    assert!(matches!(refused, Err(Error::RequestIdReused)));
}

pub async fn one_of_many_gets_a_sku(store: Arc<dyn Store>) {
    let shelf = category(store.as_ref(), &unique("shelf")).await;
    let sku = unique("sku");
    let creations = (0..8).map(|_| {
        let mut product = new_product(shelf.id, "Wanted", 1);
        product.sku = sku.clone();
        store.create_product(product, key("CreateProduct"), NOW)
    });
    let made = join_all(creations).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    let refused = |made: &Result<Listed, Error>| matches!(made, Err(Error::SkuTaken(_)));
    assert_eq!(made.iter().filter(|made| refused(made)).count(), 7, "{made:?}");
    let filter = ProductFilter { category_id: Some(shelf.id), ..ProductFilter::default() };
    assert_eq!(store.list_products(filter, None, 9).await.unwrap().len(), 1);
}

pub async fn a_renamed_product_is_listed_under_its_new_name_only(store: Arc<dyn Store>) {
    let (one, two) = (unique("one"), unique("two"));
    let (one, two) = (category(store.as_ref(), &one).await, category(store.as_ref(), &two).await);
    let product = new_product(one.id, "Before", 1);
    let id = product.id;
    store.create_product(product, key("CreateProduct"), NOW).await.unwrap();
    let name = Some(String::from("After"));
    let patch = ProductPatch { name, category_id: Some(two.id), ..ProductPatch::default() };
    store.update_product(id, patch, None, None, NOW).await.unwrap();
    let of = |category: &Category| ProductFilter {
        category_id: Some(category.id),
        ..ProductFilter::default()
    };
    assert!(store.list_products(of(&one), None, 9).await.unwrap().is_empty());
    let listed = store.list_products(of(&two), None, 9).await.unwrap();
    assert_eq!((listed.len(), listed[0].product.name.as_str()), (1, "After"));
}

pub async fn of_two_updates_at_once_one_wins(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 1).await;
    let etag = store.products(vec![id]).await.unwrap()[0].product.etag();
    let updates = ["One", "Two"].map(|name| {
        let patch = ProductPatch { name: Some(name.into()), ..ProductPatch::default() };
        store.update_product(id, patch, Some(etag.clone()), None, NOW)
    });
    let updated = join_all(updates).await;
    let won: Vec<&Listed> = updated.iter().filter_map(|updated| updated.as_ref().ok()).collect();
    assert_eq!((won.len(), won[0].product.version), (1, 2), "{updated:?}");
    let lost = |updated: &Result<Listed, Error>| matches!(updated, Err(Error::EtagMismatch { .. }));
    assert!(updated.iter().any(lost), "{updated:?}");
    assert_eq!(store.products(vec![id]).await.unwrap()[0], *won[0]);
}

pub async fn pages_go_through_all_names_once(store: Arc<dyn Store>) {
    let (one, two) = (unique("one"), unique("two"));
    let (one, two) = (category(store.as_ref(), &one).await, category(store.as_ref(), &two).await);
    let mut own = HashSet::new();
    for (at, name) in ["Pear", "Apple", "Fig", "Fig", "Lime"].into_iter().enumerate() {
        let shelf = if at % 2 == 0 { one.id } else { two.id };
        let product = new_product(shelf, name, 1);
        own.insert(product.id);
        store.create_product(product, key("CreateProduct"), NOW).await.unwrap();
    }
    // Other tests may have products in the same store.
    let all = ProductFilter::default();
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_products(all, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(NameCursor { name: last.product.name.clone(), id: last.product.id });
        let mine = page.into_iter().filter(|listed| own.contains(&listed.product.id));
        names.extend(mine.map(|listed| listed.product.name));
    }
    assert_eq!(names, ["Apple", "Fig", "Fig", "Lime", "Pear"]);

    let of_one = ProductFilter { category_id: Some(one.id), ..all };
    assert_eq!(store.list_products(of_one, None, 10).await.unwrap().len(), 3);
    let categories = store.list_categories(None, 1_000).await.unwrap();
    let place = |wanted: &Category| categories.iter().position(|found| found == wanted).unwrap();
    assert!(place(&one) < place(&two));
    let after = NameCursor { name: one.name.clone(), id: one.id };
    let rest = store.list_categories(Some(after), 1_000).await.unwrap();
    assert!(rest.contains(&two) && !rest.contains(&one));
}

pub async fn archived_products_are_listed_on_demand_only(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 1).await;
    let patch = ProductPatch { archived: Some(true), ..ProductPatch::default() };
    store.update_product(id, patch, None, None, NOW).await.unwrap();
    let category_id = Some(store.products(vec![id]).await.unwrap()[0].product.category_id);
    let present = ProductFilter { category_id, ..ProductFilter::default() };
    assert!(store.list_products(present, None, 9).await.unwrap().is_empty());
    let all = ProductFilter { include_archived: true, ..present };
    assert_eq!(store.list_products(all, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.products(vec![id]).await.unwrap().len(), 1);
}
