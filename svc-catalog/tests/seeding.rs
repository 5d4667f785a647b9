//! The demonstration shop.

use std::collections::HashSet;

use souk_catalog::store::{ProductFilter, Store};
use souk_catalog::{pictures, seed};

use crate::support::cql::{SHOP, platform};
use crate::support::{NOW, category, sqlite};

#[tokio::test]
async fn an_empty_store_is_filled_once() {
    let (_folder, store) = sqlite();
    is_filled_once(store.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_on_cql_is_filled_once() {
    if SHOP.config().is_none() {
        return;
    }
    let (_folder, platform) = platform();
    is_filled_once(&SHOP.store(&platform).await).await;
}

async fn is_filled_once(store: &dyn Store) {
    let added = seed::fill(store, NOW).await.unwrap();
    assert!(added >= 60, "{added} products");
    assert_eq!(seed::fill(store, NOW + 1).await.unwrap(), 0);

    let categories = store.list_categories(None, 100).await.unwrap();
    assert_eq!(categories.len(), 6);
    let products = store.list_products(ProductFilter::default(), None, 1_000).await.unwrap();
    assert_eq!(products.len(), added);
    for listed in &products {
        assert!(listed.available > 0 && listed.product.price.minor > 0);
        let sentences = listed.product.description.matches(['.', '!']).count();
        assert!(sentences >= 2, "{}: {}", listed.product.name, listed.product.description);
    }
    for category in &categories {
        let filter = ProductFilter { category_id: Some(category.id), ..ProductFilter::default() };
        assert!(store.list_products(filter, None, 100).await.unwrap().len() >= 10);
    }
}

#[tokio::test]
async fn filling_goes_on_where_a_crash_stopped_it() {
    let (_folder, store) = sqlite();
    let all = seed::fill(store.as_ref(), NOW).await.unwrap();
    // As a crash leaves it: the first category is there, its products and the rest are not.
    let (_folder, broken) = sqlite();
    let first = store.category(seed::category_id("kitchen")).await.unwrap();
    broken.create_category(first, Some(seed::category_key("kitchen"))).await.unwrap();
    assert_eq!(seed::fill(broken.as_ref(), NOW).await.unwrap(), all);
}

#[tokio::test]
async fn a_shop_of_its_own_is_left_alone() {
    let (_folder, store) = sqlite();
    category(store.as_ref(), "shoes").await;
    assert_eq!(seed::fill(store.as_ref(), NOW).await.unwrap(), 0);
    let products = store.list_products(ProductFilter::default(), None, 10).await.unwrap();
    assert!(products.is_empty());
}

#[tokio::test]
async fn every_demonstration_product_has_a_picture_of_its_own() {
    let (_folder, store) = sqlite();
    seed::fill(store.as_ref(), NOW).await.unwrap();
    let mut seen = HashSet::new();
    let products = store.list_products(ProductFilter::default(), None, 1_000).await.unwrap();
    let parcel = pictures::svg(&souk_product("Unheard-of"), "nowhere");
    let parcel = &parcel[parcel.find("<g filter").unwrap()..];
    for listed in products {
        let category = store.category(listed.product.category_id).await.unwrap();
        let svg = pictures::svg(&listed.product, &category.slug);
        assert_eq!(svg, pictures::svg(&listed.product, &category.slug));
        assert!(!svg.ends_with(parcel), "{} looks like a parcel", listed.product.name);
        assert!(seen.insert(svg), "{} looks like another product", listed.product.name);
    }
}

#[test]
fn a_name_cannot_put_markup_into_a_picture() {
    let svg = pictures::svg(&souk_product("<script>alert(1)</script> \"mug\""), "<b>");
    assert!(!svg.contains("script") && !svg.contains("<b>"));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
}

fn souk_product(name: &str) -> souk_catalog::domain::Product {
    crate::support::new_product(uuid::Uuid::nil(), name, 1).make(NOW)
}
