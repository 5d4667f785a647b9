//! What never changes about an order after placing, as JSON, for every store.

use serde::{Deserialize, Serialize};
use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use crate::domain::{Address, Line, Order};

/// Lines and address.
#[derive(Serialize, Deserialize)]
pub(super) struct Details {
    lines: Vec<StoredLine>,
    address: Option<StoredAddress>,
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    product_id: Uuid,
    sku: String,
    name: String,
    picture: String,
    quantity: u32,
    unit_minor: i64,
    subtotal_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredAddress {
    recipient: String,
    line1: String,
    line2: String,
    city: String,
    region: String,
    postal_code: String,
    country: String,
    phone: String,
}

impl Details {
    pub fn of(order: &Order) -> Details {
        let lines = order.lines.iter().map(|line| StoredLine {
            product_id: line.product_id,
            sku: line.sku.clone(),
            name: line.name.clone(),
            picture: line.picture.clone(),
            quantity: line.quantity,
            unit_minor: line.unit_price.minor,
            subtotal_minor: line.subtotal.minor,
        });
        let address = order.address.clone().map(|address| StoredAddress {
            recipient: address.recipient,
            line1: address.line1,
            line2: address.line2,
            city: address.city,
            region: address.region,
            postal_code: address.postal_code,
            country: address.country,
            phone: address.phone,
        });
        Details { lines: lines.collect(), address }
    }

    /// The lines, whose amounts are in the order's currency, and the address.
    pub fn into_parts(self, currency: Currency) -> (Vec<Line>, Option<Address>) {
        let line = |line: StoredLine| Line {
            product_id: line.product_id,
            sku: line.sku,
            name: line.name,
            picture: line.picture,
            quantity: line.quantity,
            unit_price: Money::new(line.unit_minor, currency),
            subtotal: Money::new(line.subtotal_minor, currency),
        };
        let address = self.address.map(|stored| Address {
            recipient: stored.recipient,
            line1: stored.line1,
            line2: stored.line2,
            city: stored.city,
            region: stored.region,
            postal_code: stored.postal_code,
            country: stored.country,
            phone: stored.phone,
        });
        (self.lines.into_iter().map(line).collect(), address)
    }
}
