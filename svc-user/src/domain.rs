//! What an account and an address book are; knows neither gRPC nor SQL.

use souk_proto::user::v1::PostalAddress;
use uuid::Uuid;

/// Addresses that one user may keep.
pub const MAX_ADDRESSES: usize = 50;

/// A person known to the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Made by the service, time-ordered.
    pub id: Uuid,
    /// Lower-case; unique.
    pub email: String,
    /// How the user wants to be called.
    pub display_name: String,
    /// Whether the user runs the shop besides shopping in it.
    pub is_staff: bool,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    /// Unix milliseconds.
    pub updated_at_ms: i64,
    /// Counts the changes, from 1.
    pub version: u64,
}

/// One entry of an address book.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Made by the service, time-ordered.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The user's name for it.
    pub label: String,
    /// Where parcels go. The message of the contract is the value: it has no behaviour to protect.
    pub postal: PostalAddress,
    /// Used where an order names none.
    pub is_default: bool,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    /// Unix milliseconds.
    pub updated_at_ms: i64,
    /// Counts the changes, from 1.
    pub version: u64,
}

/// What an update of an address changes; `None` leaves a part as it is.
#[derive(Clone, Debug, Default)]
pub struct AddressChange {
    /// The new name.
    pub label: Option<String>,
    /// The new address, as a whole.
    pub postal: Option<PostalAddress>,
    /// Whether it is to be the default.
    pub is_default: Option<bool>,
}

impl AddressChange {
    /// The address after this change, at `now_ms`.
    pub fn apply(self, mut address: Address, now_ms: i64) -> Address {
        if let Some(label) = self.label {
            address.label = label;
        }
        if let Some(postal) = self.postal {
            address.postal = postal;
        }
        if let Some(is_default) = self.is_default {
            address.is_default = is_default;
        }
        address.updated_at_ms = now_ms;
        address.version += 1;
        address
    }
}

/// The form in which e-mail addresses are kept and compared.
pub fn canonical_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The etag of a version.
pub fn etag(version: u64) -> String {
    format!("v{version}")
}
