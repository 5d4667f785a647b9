//! What the domain's refusals are called towards callers, the same for every store.

use uuid::Uuid;

use crate::domain::{Illegal, Refusal};
use crate::error::Error;

/// Why a step of reservation `id` was refused.
pub(super) fn of_step(illegal: Illegal, id: Uuid) -> Error {
    match illegal {
        Illegal::Unknown => Error::ReservationNotFound(id),
        Illegal::Undone => Error::Undone(id),
        Illegal::AlreadyCommitted => Error::ReservationCommitted(id),
        Illegal::Reused => Error::ReservationReused(id),
        Illegal::TooLate => Error::TooLate,
        Illegal::NotHeld => Error::Damaged(format!("reservation {id}: {illegal}")),
    }
}

/// Why the stock of `product_id` was not changed, for the caller who wanted `requested` pieces of it.
pub(super) fn of_stock(refusal: Refusal, product_id: Uuid, requested: u32) -> Error {
    match refusal {
        Refusal::SoldOut { available } => Error::SoldOut { product_id, available, requested },
        Refusal::BelowReserved { on_hand, reserved } => Error::StockNegative { on_hand, reserved },
        Refusal::TooMany => Error::TooManyOnHand,
        Refusal::NotReserved { .. } => {
            Error::Damaged(format!("stock of product {product_id}: {refusal}"))
        }
    }
}

/// Whoever had a hold is told that it expired, not that the product is sold out.
pub(super) fn not_had_again(error: Error, id: Uuid) -> Error {
    match error {
        Error::SoldOut { product_id, available, .. } => {
            Error::ReservationExpired { id, product_id, available }
        }
        other => other,
    }
}
