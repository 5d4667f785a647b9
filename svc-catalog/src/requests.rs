//! Requests of the contract, read into what the domain understands. The mesh has held them to the
//! field rules already; what those cannot say is said here.

use souk_mesh::error::FieldViolation;
use souk_mesh::money::Money;
use souk_proto::catalog::v1 as proto;
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::time::{duration_ms, unix_ms};
use uuid::Uuid;

use crate::domain::{
    Category, DEFAULT_HOLD_MS, Hold, Line, MAX_HOLD_MS, MAX_LINES, MAX_QUANTITY, NewProduct,
    ProductPatch, Release, merge_lines,
};
use crate::error::Error;

/// An id that the contract requires.
pub fn id(field: &'static str, text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::field(field, "must be a UUID"))
}

/// An id that may be left out.
pub fn optional_id(field: &'static str, text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// A new category; without an id of the caller's it gets one.
pub fn category(request: proto::CreateCategoryRequest, now_ms: i64) -> Result<Category, Error> {
    Ok(Category {
        id: optional_id("category_id", &request.category_id)?.unwrap_or_else(Uuid::now_v7),
        slug: request.slug,
        name: request.name,
        parent_id: optional_id("parent_id", &request.parent_id)?,
        created_at_ms: now_ms,
    })
}

/// A new product; without an id of the caller's it gets one.
pub fn product(request: proto::CreateProductRequest) -> Result<NewProduct, Error> {
    Ok(NewProduct {
        id: optional_id("product_id", &request.product_id)?.unwrap_or_else(Uuid::now_v7),
        sku: request.sku,
        name: request.name,
        description: request.description,
        category_id: id("category_id", &request.category_id)?,
        price: price(request.price)?,
        picture: request.picture,
        initial_quantity: request.initial_quantity,
    })
}

/// What an update is to change: the fields that its mask names.
pub fn patch(request: proto::UpdateProductRequest) -> Result<ProductPatch, Error> {
    let mut patch = ProductPatch::default();
    let paths = request.update_mask.map_or_else(Vec::new, |mask| mask.paths);
    if paths.is_empty() {
        return Err(Error::field("update_mask", "must name at least one field"));
    }
    for path in paths {
        match path.as_str() {
            "name" if request.name.is_empty() => {
                return Err(Error::field("name", "must not be empty"));
            }
            "name" => patch.name = Some(request.name.clone()),
            "description" => patch.description = Some(request.description.clone()),
            "category_id" => patch.category_id = Some(id("category_id", &request.category_id)?),
            "price" => patch.price = Some(price(request.price.clone())?),
            "picture" => patch.picture = Some(request.picture.clone()),
            "archived" => patch.archived = Some(request.archived),
            _ => {
                let known = "may name name, description, category_id, price, picture, archived";
                return Err(Error::field("update_mask", known));
            }
        }
    }
    Ok(patch)
}

/// A hold of `lines` and of the line in short form.
pub fn hold(request: proto::ReserveInventoryRequest) -> Result<Hold, Error> {
    let mut lines = Vec::with_capacity(request.lines.len() + 1);
    for (at, line) in request.lines.iter().enumerate() {
        lines.push(line_of(&format!("lines[{at}]."), &line.product_id, line.quantity)?);
    }
    if !request.product_id.is_empty() {
        lines.push(line_of("", &request.product_id, request.quantity)?);
    }
    let lines = merge_lines(lines).ok_or_else(|| {
        let bounds = format!("must be 1 to {MAX_LINES} products of 1 to {MAX_QUANTITY} pieces");
        Error::field("lines", &bounds)
    })?;
    Ok(Hold {
        reservation_id: id("reservation_id", &request.reservation_id)?,
        order_id: id("order_id", &request.order_id)?,
        lines,
        hold_ms: request.hold.map_or(Ok(DEFAULT_HOLD_MS), |hold| hold_ms(duration_ms(&hold)))?,
        not_after_ms: request.not_after.as_ref().map(unix_ms),
    })
}

fn line_of(prefix: &str, product_id: &str, quantity: i32) -> Result<Line, Error> {
    let violation = |field: &str, description: &str| {
        Error::InvalidField(FieldViolation::new(format!("{prefix}{field}"), description))
    };
    let product_id = product_id.parse().map_err(|_| violation("product_id", "must be a UUID"))?;
    let quantity = u32::try_from(quantity).ok().filter(|quantity| *quantity > 0);
    let quantity = quantity.ok_or_else(|| violation("quantity", "must be at least 1"))?;
    Ok(Line { product_id, quantity })
}

/// A duration for which to hold.
pub fn hold_ms(ms: i64) -> Result<i64, Error> {
    if (1..=MAX_HOLD_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(Error::field("hold", "must be more than 0 and at most 24 hours"))
    }
}

/// An undo.
pub fn release(request: proto::ReleaseReservationRequest) -> Result<Release, Error> {
    Ok(Release {
        reservation_id: id("reservation_id", &request.reservation_id)?,
        order_id: optional_id("order_id", &request.order_id)?.unwrap_or(Uuid::nil()),
        reason: request.reason,
        undoes_not_after_ms: request.undoes_not_after.as_ref().map(unix_ms),
    })
}

fn price(money: Option<WireMoney>) -> Result<Money, Error> {
    let money = money.ok_or_else(|| Error::field("price", "must be set"))?;
    let price =
        Money::try_from(money).map_err(|error| Error::field("price", &error.to_string()))?;
    if price.minor > 0 {
        Ok(price)
    } else {
        Err(Error::field("price", "must be more than nothing"))
    }
}
