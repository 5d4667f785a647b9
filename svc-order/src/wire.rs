//! Orders as messages, both ways.

use souk_mesh::money::Money;
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::order::v1 as proto;
use souk_proto::order::v1::OrderState;
use souk_proto::time::timestamp;
use souk_proto::user::v1::PostalAddress;
use uuid::Uuid;

use crate::Error;
use crate::domain::{Address, Entry, Line, Order, Parcel, State};
use crate::workflow::workflow_id;

/// A state.
#[must_use]
pub fn state(state: State) -> OrderState {
    match state {
        State::Pending => OrderState::Pending,
        State::Processing => OrderState::Processing,
        State::Shipped => OrderState::Shipped,
        State::Delivered => OrderState::Delivered,
        State::Cancelled => OrderState::Cancelled,
    }
}

/// The state that a message names; `None` for UNSPECIFIED.
///
/// # Errors
/// For states that orders do not have yet.
pub fn state_from(number: i32) -> Result<Option<State>, Error> {
    match OrderState::try_from(number) {
        Ok(OrderState::Unspecified) => Ok(None),
        Ok(OrderState::Pending) => Ok(Some(State::Pending)),
        Ok(OrderState::Processing) => Ok(Some(State::Processing)),
        Ok(OrderState::Shipped) => Ok(Some(State::Shipped)),
        Ok(OrderState::Delivered) => Ok(Some(State::Delivered)),
        Ok(OrderState::Cancelled) => Ok(Some(State::Cancelled)),
        Ok(OrderState::ReturnRequested | OrderState::Returned) | Err(_) => {
            Err(Error::field("state", "is not a state that orders have"))
        }
    }
}

/// A version; saturates, which takes longer than the sun lasts.
#[must_use]
pub fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// An amount of money.
#[must_use]
pub fn money(money: Money) -> WireMoney {
    let (units, nanos) = money.to_units();
    WireMoney { currency_code: money.currency.code().to_owned(), units, nanos }
}

/// The amount in `field` of a request.
///
/// # Errors
/// When it is not an amount of its currency.
pub fn money_from(field: &str, money: &WireMoney) -> Result<Money, Error> {
    Money::from_units(&money.currency_code, money.units, money.nanos)
        .map_err(|problem| Error::field(field, problem.to_string()))
}

/// The UUID in `field` of a request.
///
/// # Errors
/// When it is none.
pub fn uuid_from(field: &str, text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::field(field, "must be a UUID"))
}

/// An order.
#[must_use]
pub fn order(order: &Order) -> proto::Order {
    let (cancel_reason, cancel_message) = match &order.cancellation {
        Some(cancellation) => (cancellation.reason.clone(), cancellation.note.clone()),
        None => Default::default(),
    };
    proto::Order {
        order_id: order.id.to_string(),
        user_id: order.user_id.to_string(),
        state: state(order.state).into(),
        lines: order.lines.iter().map(line).collect(),
        total: Some(money(order.total)),
        shipping_address: order.address.as_ref().map(address),
        email: order.email.clone(),
        cancel_reason,
        cancel_message,
        payment_id: order.payment_id.map(|id| id.to_string()).unwrap_or_default(),
        workflow_id: workflow_id(order.id),
        tracking: order.parcel.as_ref().map(tracking),
        version: version(order.version),
        create_time: Some(timestamp(order.created_at_ms)),
        update_time: Some(timestamp(order.updated_at_ms)),
    }
}

fn line(line: &Line) -> proto::OrderLine {
    proto::OrderLine {
        product_id: line.product_id.to_string(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        // At most pricing::MAX_QUANTITY.
        quantity: i32::try_from(line.quantity).unwrap_or(i32::MAX),
        unit_price: Some(money(line.unit_price)),
        line_total: Some(money(line.subtotal)),
        picture: line.picture.clone(),
    }
}

/// Where a parcel is.
#[must_use]
pub fn tracking(parcel: &Parcel) -> proto::Tracking {
    proto::Tracking {
        carrier: parcel.shipment.carrier.clone(),
        tracking_number: parcel.shipment.tracking_number.clone(),
        shipped_time: Some(timestamp(parcel.shipped_at_ms)),
        delivered_time: parcel.delivered_at_ms.map(timestamp),
    }
}

/// A line of the timeline.
#[must_use]
pub fn entry(entry: &Entry) -> proto::TimelineEntry {
    proto::TimelineEntry {
        version: version(entry.version),
        time: Some(timestamp(entry.at_ms)),
        state: state(entry.state).into(),
        reason: entry.reason.clone(),
        message: entry.note.clone(),
        actor: entry.actor.clone(),
    }
}

fn address(address: &Address) -> PostalAddress {
    PostalAddress {
        recipient: address.recipient.clone(),
        line1: address.line1.clone(),
        line2: address.line2.clone(),
        city: address.city.clone(),
        region: address.region.clone(),
        postal_code: address.postal_code.clone(),
        country: address.country.clone(),
        phone: address.phone.clone(),
    }
}

/// An address from a request.
#[must_use]
pub fn address_from(address: PostalAddress) -> Address {
    Address {
        recipient: address.recipient,
        line1: address.line1,
        line2: address.line2,
        city: address.city,
        region: address.region,
        postal_code: address.postal_code,
        country: address.country,
        phone: address.phone,
    }
}
