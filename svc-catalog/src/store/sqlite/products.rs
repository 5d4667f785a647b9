//! The product and category tables.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{Write, inventory, rows};
use crate::domain::{Category, Listed, NewProduct, Product, ProductPatch};
use crate::error::Error;
use crate::events;
use crate::store::{NameCursor, ProductFilter};

pub(super) fn create_category(write: &Write<'_>, category: Category) -> Result<Category, Error> {
    if let Some(parent_id) = category.parent_id {
        self::category(write.connection, parent_id)?;
    }
    write
        .connection
        .prepare_cached(
            "INSERT INTO category (category_id, slug, name, parent_id, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            category.id.as_bytes(),
            category.slug,
            category.name,
            category.parent_id.map(Uuid::into_bytes),
            category.created_at_ms,
        ])
        .map_err(|error| match taken(&error) {
            Some("category.slug") => Error::SlugTaken(category.slug.clone()),
            Some(_) => Error::IdTaken(category.id),
            None => error.into(),
        })?;
    Ok(category)
}

pub(super) fn category(connection: &Connection, id: Uuid) -> Result<Category, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT category_id, slug, name, parent_id, created_at_ms FROM category
         WHERE category_id = ?1",
    )?;
    let mut found = statement.query([id.as_bytes()])?;
    rows::category(found.next()?.ok_or(Error::CategoryNotFound(id))?)
}

pub(super) fn list_categories(
    connection: &Connection,
    after: Option<&NameCursor>,
    limit: usize,
) -> Result<Vec<Category>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT category_id, slug, name, parent_id, created_at_ms FROM category
         WHERE (name, category_id) > (?1, ?2)
         ORDER BY name, category_id LIMIT ?3",
    )?;
    let (name, id) = position(after);
    statement.query_and_then(params![name, id, limit as i64], rows::category)?.collect()
}

pub(super) fn create(write: &Write<'_>, new: NewProduct) -> Result<Listed, Error> {
    category(write.connection, new.category_id)?;
    let on_hand = new.initial_quantity;
    let product = new.make(write.now_ms);
    insert(write, &product)?;
    inventory::create(write, product.id, on_hand)?;
    announce(write, product.id)?;
    Ok(Listed { product, available: on_hand })
}

fn insert(write: &Write<'_>, product: &Product) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO product (product_id, sku, name, description, category_id, price_minor,
                currency, picture, archived, version, event_version, created_at_ms, updated_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12)",
        )?
        .execute(params![
            product.id.as_bytes(),
            product.sku,
            product.name,
            product.description,
            product.category_id.as_bytes(),
            product.price.minor,
            product.price.currency.code(),
            product.picture,
            product.archived,
            product.version,
            product.created_at_ms,
            product.updated_at_ms,
        ])
        .map_err(|error| match taken(&error) {
            Some("product.sku") => Error::SkuTaken(product.sku.clone()),
            Some(_) => Error::IdTaken(product.id),
            None => error.into(),
        })?;
    Ok(())
}

pub(super) fn update(
    write: &Write<'_>,
    id: Uuid,
    patch: ProductPatch,
    etag: Option<&str>,
) -> Result<Listed, Error> {
    let known = find(write.connection, id)?.ok_or_else(|| Error::ProductNotFound(vec![id]))?;
    let current = known.product.etag();
    if etag.is_some_and(|etag| etag != current) {
        return Err(Error::EtagMismatch { current });
    }
    if let Some(category_id) = patch.category_id {
        category(write.connection, category_id)?;
    }
    let product = known.product.patched(patch, write.now_ms);
    if product.version == known.product.version {
        return Ok(known);
    }
    write
        .connection
        .prepare_cached(
            "UPDATE product SET name = ?2, description = ?3, category_id = ?4, price_minor = ?5,
                currency = ?6, picture = ?7, archived = ?8, version = ?9, updated_at_ms = ?10
             WHERE product_id = ?1",
        )?
        .execute(params![
            product.id.as_bytes(),
            product.name,
            product.description,
            product.category_id.as_bytes(),
            product.price.minor,
            product.price.currency.code(),
            product.picture,
            product.archived,
            product.version,
            product.updated_at_ms,
        ])?;
    announce(write, id)?;
    Ok(Listed { product, available: known.available })
}

/// Tells the world of a product as it is now.
pub(super) fn announce(write: &Write<'_>, id: Uuid) -> Result<(), Error> {
    let event_version: i64 = write
        .connection
        .prepare_cached(
            "UPDATE product SET event_version = event_version + 1 WHERE product_id = ?1
             RETURNING event_version",
        )?
        .query_row([id.as_bytes()], |row| row.get(0))?;
    let listed =
        find(write.connection, id)?.ok_or_else(|| Error::Damaged(format!("product {id}")))?;
    let category = category(write.connection, listed.product.category_id)?;
    write.emit(events::product_updated(&listed, &category.name, event_version, write.now_ms))
}

pub(super) fn find(connection: &Connection, id: Uuid) -> Result<Option<Listed>, Error> {
    let mut statement =
        connection.prepare_cached(rows::select_listed!("WHERE p.product_id = ?1"))?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(rows::listed).transpose()
}

/// Those of `ids` that are known, in that order.
pub(super) fn find_all(connection: &Connection, ids: &[Uuid]) -> Result<Vec<Listed>, Error> {
    ids.iter().filter_map(|id| find(connection, *id).transpose()).collect()
}

pub(super) fn list(
    connection: &Connection,
    filter: ProductFilter,
    after: Option<&NameCursor>,
    limit: usize,
) -> Result<Vec<Listed>, Error> {
    // Apart, so that each walks its own index in order.
    let sql = match filter.category_id {
        None => rows::select_listed!(
            "WHERE ?1 IS NULL AND (?2 OR NOT p.archived)
                AND (p.name, p.product_id) > (?3, ?4)
             ORDER BY p.name, p.product_id LIMIT ?5"
        ),
        Some(_) => rows::select_listed!(
            "WHERE p.category_id = ?1 AND (?2 OR NOT p.archived)
                AND (p.name, p.product_id) > (?3, ?4)
             ORDER BY p.name, p.product_id LIMIT ?5"
        ),
    };
    let (name, id) = position(after);
    let category_id = filter.category_id.map(Uuid::into_bytes);
    let parameters = params![category_id, filter.include_archived, name, id, limit as i64];
    connection.prepare_cached(sql)?.query_and_then(parameters, rows::listed)?.collect()
}

/// Where a page begins: after this name and id. Before the first are the empty ones.
fn position(after: Option<&NameCursor>) -> (&str, &[u8]) {
    after.map_or(("", &[]), |after| (after.name.as_str(), after.id.as_bytes()))
}

/// The first column, as `table.column`, of the UNIQUE constraint that an insert broke.
fn taken(error: &rusqlite::Error) -> Option<&str> {
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(message))
            if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            message.rsplit(": ").next()
        }
        _ => None,
    }
}
