//! The demonstration shop: categories and products that fill an empty store.
//!
//! Ids are UUIDv5 of the slugs, so the same product has the same id in every demonstration shop, and
//! filling can be repeated or go on after a crash.

use futures::future::try_join_all;
use serde::Deserialize;
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::domain::{Category, NewProduct};
use crate::error::Error;
use crate::store::{RequestKey, Store};

/// The namespace of the ids: UUIDv5 of "souk/seed" in the URL namespace.
fn namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, b"souk/seed")
}

const SHELVES: [&str; 6] = [
    include_str!("../seed/kitchen.json"),
    include_str!("../seed/home.json"),
    include_str!("../seed/electronics.json"),
    include_str!("../seed/outdoor.json"),
    include_str!("../seed/stationery.json"),
    include_str!("../seed/clothing.json"),
];

/// A category with its products.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shelf {
    slug: String,
    name: String,
    products: Vec<Item>,
}

/// A product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    slug: String,
    name: String,
    description: String,
    price_minor: i64,
    stock: i64,
}

/// The id of the demonstration product with this slug.
pub fn product_id(slug: &str) -> Uuid {
    Uuid::new_v5(&namespace(), format!("product/{slug}").as_bytes())
}

/// The id of the demonstration category with this slug.
pub fn category_id(slug: &str) -> Uuid {
    Uuid::new_v5(&namespace(), format!("category/{slug}").as_bytes())
}

/// The products of the demonstration shop, in euro.
pub fn products() -> Result<Vec<NewProduct>, Error> {
    let mut products = Vec::new();
    for shelf in shelves()? {
        let category_id = category_id(&shelf.slug);
        products.extend(shelf.products.into_iter().map(|item| NewProduct {
            id: product_id(&item.slug),
            sku: item.slug,
            name: item.name,
            description: item.description,
            category_id,
            price: Money::new(item.price_minor, Currency::EUR),
            picture: String::new(),
            initial_quantity: item.stock,
        }));
    }
    Ok(products)
}

fn shelves() -> Result<Vec<Shelf>, Error> {
    let read = |text: &&str| {
        serde_json::from_str::<Shelf>(text).map_err(|error| Error::Seed(error.to_string()))
    };
    SHELVES.iter().map(read).collect()
}

/// Fills a store that has no category, or goes on where a crash stopped it; says how many products
/// it added. A shop with a catalog of its own is left alone.
pub async fn fill<S: Store + ?Sized>(store: &S, now_ms: i64) -> Result<usize, Error> {
    let shelves = shelves()?;
    let products = products()?;
    if !is_ours(store, &shelves).await? {
        return Ok(0);
    }
    let known = store.products(products.iter().map(|product| product.id).collect()).await?;
    if known.len() == products.len() {
        return Ok(0);
    }
    for shelf in shelves {
        let Shelf { slug, name, .. } = shelf;
        let (id, key) = (category_id(&slug), category_key(&slug));
        let category = Category { id, slug, name, parent_id: None, created_at_ms: now_ms };
        store.create_category(category, Some(key)).await?;
    }
    let missing = products
        .into_iter()
        .filter(|product| known.iter().all(|known| known.product.id != product.id));
    let created = missing.map(|product| {
        let key = key("CreateProduct", product.id);
        store.create_product(product, key, now_ms)
    });
    Ok(try_join_all(created).await?.len())
}

/// Whether every category is one of the demonstration shop's; so also when there is none.
async fn is_ours<S: Store + ?Sized>(store: &S, shelves: &[Shelf]) -> Result<bool, Error> {
    let found = store.list_categories(None, shelves.len() + 1).await?;
    let ours = |category: &Category| category.id == category_id(&category.slug);
    Ok(found.len() <= shelves.len() && found.iter().all(ours))
}

/// The request under which the demonstration category with this slug is made.
pub fn category_key(slug: &str) -> RequestKey {
    key("CreateCategory", category_id(slug))
}

/// Under this key the same row is only ever made once; all its parameters follow from the id.
fn key(method: &'static str, id: Uuid) -> RequestKey {
    RequestKey {
        scope: String::from("seed"),
        method,
        request_id: id.to_string(),
        fingerprint: [0; 32],
    }
}
