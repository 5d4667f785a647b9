//! What the provider refuses, in Stripe's shape: `{"error": {type, code, decline_code, message}}`,
//! and what can keep it from serving at all.

use axum::http::StatusCode;
use serde_json::json;

use crate::intent::{Event, Intent, Status};
use crate::token::Decline;
use crate::wire;

/// A refusal that a client of the API gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status: 402 for declines, 400, 404 and 409 for the client's faults, 500 for ours.
    pub status: StatusCode,
    /// Stripe's `type`: `card_error`, `invalid_request_error`, `idempotency_error`, `api_error`.
    pub kind: &'static str,
    /// Stripe's `code`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl ApiError {
    fn invalid(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code,
            message: message.into(),
        }
    }

    /// The body is no JSON of the expected shape, or a field is out of range.
    pub fn parameter(message: impl Into<String>) -> ApiError {
        ApiError::invalid("parameter_invalid", message)
    }

    /// The token is none of the test tokens.
    pub fn unknown_token() -> ApiError {
        ApiError::invalid("token_invalid", "No such test token.")
    }

    /// There is no such payment intent.
    pub fn missing(id: &str) -> ApiError {
        ApiError {
            status: StatusCode::NOT_FOUND,
            ..ApiError::invalid("resource_missing", format!("No such payment_intent: '{id}'."))
        }
    }

    /// There is no such address.
    pub fn no_route() -> ApiError {
        ApiError {
            status: StatusCode::NOT_FOUND,
            ..ApiError::invalid("route_missing", "Unrecognized request URL.")
        }
    }

    /// The intent is in a state in which that cannot happen.
    pub fn unexpected_state(status: Status, event: Event) -> ApiError {
        let message = format!("{event:?} is not possible in the state {}.", status.name());
        ApiError::invalid("payment_intent_unexpected_state", message)
    }

    /// Nothing is left to give back.
    pub fn already_refunded() -> ApiError {
        ApiError::invalid("charge_already_refunded", "The payment was given back in full.")
    }

    /// The payment has had as many refunds as one payment takes.
    pub fn too_many_refunds() -> ApiError {
        ApiError::invalid("too_many_refunds", "The payment takes no further refund.")
    }

    /// An amount below 1 minor unit.
    pub fn amount_too_small(field: &str) -> ApiError {
        ApiError::invalid("amount_too_small", format!("{field} must be at least 1."))
    }

    /// An amount above what the operation allows.
    pub fn amount_too_large(field: &str, most: i64) -> ApiError {
        ApiError::invalid("amount_too_large", format!("{field} must be at most {most}."))
    }

    /// The idempotency key was used with other parameters.
    pub fn key_reused() -> ApiError {
        ApiError {
            kind: "idempotency_error",
            ..ApiError::invalid(
                "idempotency_key_in_use",
                "The idempotency key was first used with other parameters.",
            )
        }
    }

    /// The injected failure of `tok_refund_fails_once`, and failures of our own storage.
    pub fn internal() -> ApiError {
        ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "api_error",
            code: "internal",
            message: "Something went wrong on our side; try again.".to_owned(),
        }
    }

    /// The error's JSON body.
    pub fn body(&self) -> String {
        json!({"error": {"type": self.kind, "code": self.code, "message": self.message}})
            .to_string()
    }
}

/// The body of a decline (HTTP 402): the card error, and the intent as it is now.
pub fn decline_body(decline: Decline, intent: &Intent) -> String {
    json!({"error": {
        "type": "card_error",
        "code": decline.code(),
        "decline_code": decline.decline_code(),
        "message": decline.message(),
        "payment_intent": wire::intent(intent, ""),
    }})
    .to_string()
}

/// Why the provider cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its data folder cannot be made or written.
    #[error("the data folder {folder} cannot be used: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process serves from the same data folder.
    #[error("the data folder {folder} is in use by another process")]
    FolderInUse {
        /// The folder.
        folder: String,
    },
    /// The listening socket failed.
    #[error("the listening socket failed: {0}")]
    Listen(#[from] std::io::Error),
    /// The ledger failed.
    #[error("the ledger failed: {0}")]
    Ledger(#[from] crate::ledger::Error),
}
