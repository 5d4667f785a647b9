//! Domain values as messages of the contract.

use souk_mesh::error::{FieldViolation, invalid_argument};
use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, UserRegistered};
use souk_proto::time::timestamp;
use souk_proto::user::v1 as proto;
use tonic::Status;
use uuid::Uuid;

use crate::domain::{Address, User, etag};

/// The account as callers see it: never the password's hash.
pub fn user(user: &User) -> proto::User {
    let mut roles = vec![proto::Role::Customer.into()];
    if user.is_staff {
        roles.push(proto::Role::Staff.into());
    }
    proto::User {
        user_id: user.id.to_string(),
        email: user.email.clone(),
        display_name: user.display_name.clone(),
        roles,
        email_verified: false,
        create_time: Some(timestamp(user.created_at_ms)),
        update_time: Some(timestamp(user.updated_at_ms)),
        etag: etag(user.version),
    }
}

/// The address as callers see it.
pub fn address(address: Address) -> proto::Address {
    proto::Address {
        address_id: address.id.to_string(),
        user_id: address.user_id.to_string(),
        label: address.label,
        postal: Some(address.postal),
        is_default: address.is_default,
        create_time: Some(timestamp(address.created_at_ms)),
        update_time: Some(timestamp(address.updated_at_ms)),
        etag: etag(address.version),
    }
}

/// The event that tells of a new account.
pub fn registered(account: &User) -> Event {
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: "user.registered".to_owned(),
        aggregate_id: account.id.to_string(),
        aggregate_version: account.version as i64,
        occurred_at: Some(timestamp(account.created_at_ms)),
        trace_parent: souk_mesh::telemetry::current_traceparent().unwrap_or_default(),
        payload: Some(Payload::User(UserRegistered { user: Some(user(account)) })),
    }
}

/// A UUID of a request's `field`. The contract checks its form already; this is the second look.
pub fn uuid(text: &str, field: &str) -> Result<Uuid, Status> {
    text.parse().map_err(|_| {
        invalid_argument("INVALID_FIELDS", vec![FieldViolation::new(field, "must be a UUID")])
    })
}
