//! The JSON that goes over the wire: Stripe's names, only the fields that are needed.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::intent::{Entry, Intent};
use crate::token::Token;

/// The largest amount that the provider takes in one payment, in minor units (as Stripe's).
pub const MAX_AMOUNT: i64 = 99_999_999;
/// The longest metadata value, in bytes (as Stripe's).
pub const MAX_METADATA_LENGTH: usize = 500;

/// The shop's own ids, kept with the payment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The shop's order.
    #[serde(default)]
    pub order_id: String,
    /// The shop's payment.
    #[serde(default)]
    pub payment_id: String,
}

/// Body of `POST /v1/payment_intents`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    amount: i64,
    currency: String,
    token: String,
    #[serde(default)]
    metadata: Metadata,
}

/// A create request whose fields were checked.
#[derive(Debug)]
pub struct NewIntent {
    /// Minor units, 1 to [`MAX_AMOUNT`].
    pub amount: i64,
    /// Three lowercase letters.
    pub currency: String,
    /// What the customer pays with.
    pub token: Token,
    /// The shop's ids.
    pub metadata: Metadata,
}

impl CreateBody {
    /// Checks the fields.
    pub fn checked(self) -> Result<NewIntent, ApiError> {
        if self.amount < 1 {
            return Err(ApiError::amount_too_small("amount"));
        }
        if self.amount > MAX_AMOUNT {
            return Err(ApiError::amount_too_large("amount", MAX_AMOUNT));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(ApiError::parameter("currency must be three letters."));
        }
        let longest = self.metadata.order_id.len().max(self.metadata.payment_id.len());
        if longest > MAX_METADATA_LENGTH {
            return Err(ApiError::parameter("a metadata value is too long."));
        }
        let token = self.token.parse().map_err(|_| ApiError::unknown_token())?;
        let currency = self.currency.to_ascii_lowercase();
        Ok(NewIntent { amount: self.amount, currency, token, metadata: self.metadata })
    }
}

/// Body of `POST /v1/payment_intents/{id}/capture`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureBody {
    /// Minor units; the whole authorized amount when left out.
    pub amount_to_capture: Option<i64>,
}

/// Body of `POST /v1/refunds`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundBody {
    /// The payment to give back from.
    pub payment_intent: String,
    /// Minor units; all that is left when left out.
    pub amount: Option<i64>,
}

/// Body of confirm and cancel: nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// A payment intent as clients see it.
#[derive(Debug, Serialize)]
pub struct IntentView<'a> {
    id: &'a str,
    object: &'static str,
    amount: i64,
    amount_received: i64,
    amount_refunded: i64,
    currency: &'a str,
    status: &'static str,
    metadata: MetadataView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_payment_error: Option<LastError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
}

#[derive(Debug, Serialize)]
struct MetadataView<'a> {
    order_id: &'a str,
    payment_id: &'a str,
}

#[derive(Debug, Serialize)]
struct LastError {
    code: &'static str,
    decline_code: &'static str,
    message: &'static str,
}

#[derive(Debug, Serialize)]
struct NextAction {
    #[serde(rename = "type")]
    kind: &'static str,
    redirect_to_url: Redirect,
}

#[derive(Debug, Serialize)]
struct Redirect {
    url: String,
}

/// The view of an intent; `public_url` is where customers reach this provider's pages.
pub fn intent<'a>(intent: &'a Intent, public_url: &str) -> IntentView<'a> {
    let challenged = intent.status == crate::intent::Status::RequiresAction;
    IntentView {
        id: &intent.id,
        object: "payment_intent",
        amount: intent.amount,
        amount_received: intent.captured,
        amount_refunded: intent.refunded,
        currency: &intent.currency,
        status: intent.status.name(),
        metadata: MetadataView { order_id: &intent.order_id, payment_id: &intent.payment_id },
        last_payment_error: intent.decline.map(|decline| LastError {
            code: decline.code(),
            decline_code: decline.decline_code(),
            message: decline.message(),
        }),
        next_action: challenged.then(|| NextAction {
            kind: "redirect_to_url",
            redirect_to_url: Redirect { url: format!("{public_url}/challenge/{}", intent.id) },
        }),
    }
}

/// A refund as clients see it.
#[derive(Debug, Serialize)]
pub struct RefundView<'a> {
    /// `re_…`
    pub id: String,
    /// Always `refund`.
    pub object: &'static str,
    /// Minor units given back by this refund.
    pub amount: i64,
    /// ISO 4217, lowercase.
    pub currency: &'a str,
    /// The payment that it was given back from.
    pub payment_intent: &'a str,
    /// Minor units given back from the payment so far, this refund included.
    pub amount_refunded: i64,
    /// Always `succeeded`: a refund that fails is an error.
    pub status: &'static str,
}

/// A page of something.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// Always `list`.
    pub object: &'static str,
    /// The page's items.
    pub data: Vec<T>,
    /// Whether more follow; ask again with `starting_after` = the last item's id.
    pub has_more: bool,
}

/// One payment in the ledger, for reconciliation.
#[derive(Debug, Serialize)]
pub struct LedgerLine<'a> {
    id: &'a str,
    order_id: &'a str,
    payment_id: &'a str,
    amount: i64,
    currency: &'a str,
    token: &'static str,
    status: &'static str,
    captured: i64,
    refunded: i64,
    created_ms: i64,
    events: &'a [Entry],
}

/// The ledger's line of an intent.
pub fn ledger_line(intent: &Intent) -> LedgerLine<'_> {
    LedgerLine {
        id: &intent.id,
        order_id: &intent.order_id,
        payment_id: &intent.payment_id,
        amount: intent.amount,
        currency: &intent.currency,
        token: intent.token.name(),
        status: intent.status.name(),
        captured: intent.captured,
        refunded: intent.refunded,
        created_ms: intent.created_ms,
        events: &intent.entries,
    }
}
