//! Between the domain's types and the contract's messages.

use souk_mesh::money::Money;
use souk_proto::catalog::v1 as proto;
use souk_proto::time::{timestamp, unix_ms};
use uuid::Uuid;

use crate::domain::{Category, Inventory, Line, Listed, Product, Reservation, State, Stock};

/// A product without its stock, as events carry it.
pub fn product(product: &Product) -> proto::Product {
    proto::Product {
        product_id: product.id.to_string(),
        sku: product.sku.clone(),
        name: product.name.clone(),
        description: product.description.clone(),
        category_id: product.category_id.to_string(),
        price: Some(product.price.into()),
        picture: product.picture.clone(),
        available_quantity: None,
        archived: product.archived,
        version: product.version,
        etag: product.etag(),
        create_time: Some(timestamp(product.created_at_ms)),
        update_time: Some(timestamp(product.updated_at_ms)),
    }
}

/// A product with what is available of it.
pub fn listed(listed: &Listed) -> proto::Product {
    proto::Product { available_quantity: Some(listed.available), ..product(&listed.product) }
}

/// Back from [`listed`]; `None` when it is not well-formed.
pub fn listed_from(message: proto::Product) -> Option<Listed> {
    let product = Product {
        id: message.product_id.parse().ok()?,
        sku: message.sku,
        name: message.name,
        description: message.description,
        category_id: message.category_id.parse().ok()?,
        price: Money::try_from(message.price?).ok()?,
        picture: message.picture,
        archived: message.archived,
        version: message.version,
        created_at_ms: unix_ms(&message.create_time?),
        updated_at_ms: unix_ms(&message.update_time?),
    };
    Some(Listed { product, available: message.available_quantity? })
}

/// A category.
pub fn category(category: &Category) -> proto::Category {
    proto::Category {
        category_id: category.id.to_string(),
        slug: category.slug.clone(),
        name: category.name.clone(),
        parent_id: category.parent_id.map_or_else(String::new, |id| id.to_string()),
        create_time: Some(timestamp(category.created_at_ms)),
    }
}

/// Back from [`category`]; `None` when it is not well-formed.
pub fn category_from(message: proto::Category) -> Option<Category> {
    let parent_id = Some(message.parent_id).filter(|id| !id.is_empty());
    Some(Category {
        id: message.category_id.parse().ok()?,
        slug: message.slug,
        name: message.name,
        parent_id: parent_id.map(|id| id.parse()).transpose().ok()?,
        created_at_ms: unix_ms(&message.create_time?),
    })
}

/// The stock of a product.
pub fn inventory(inventory: &Inventory) -> proto::Inventory {
    proto::Inventory {
        product_id: inventory.product_id.to_string(),
        on_hand: inventory.stock.on_hand(),
        reserved: inventory.stock.reserved(),
        available: inventory.stock.available(),
        version: inventory.version,
        update_time: Some(timestamp(inventory.updated_at_ms)),
    }
}

/// Back from [`inventory`]; `None` when it is not well-formed.
pub fn inventory_from(message: &proto::Inventory) -> Option<Inventory> {
    Some(Inventory {
        product_id: message.product_id.parse().ok()?,
        stock: Stock::new(message.on_hand, message.reserved)?,
        version: message.version,
        updated_at_ms: unix_ms(message.update_time.as_ref()?),
    })
}

/// A reservation; of a tombstone the ids and the state only.
pub fn reservation(reservation: &Reservation) -> proto::Reservation {
    use proto::ReservationState as Wire;
    let state = match reservation.state {
        State::Held => Wire::Held,
        State::Committed => Wire::Committed,
        State::Released | State::Undone => Wire::Released,
        State::Expired => Wire::Expired,
    };
    let expires = reservation.state != State::Undone;
    proto::Reservation {
        reservation_id: reservation.id.to_string(),
        order_id: some_id(reservation.order_id),
        lines: reservation.lines.iter().map(stock_line).collect(),
        state: state.into(),
        expire_time: expires.then(|| timestamp(reservation.until_ms)),
    }
}

fn stock_line(line: &Line) -> proto::StockLine {
    // At most MAX_QUANTITY.
    proto::StockLine { product_id: line.product_id.to_string(), quantity: line.quantity as i32 }
}

fn some_id(id: Uuid) -> String {
    if id.is_nil() { String::new() } else { id.to_string() }
}
