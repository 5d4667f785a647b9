//! A payment intent and the rules of its life: pure, no clock, no storage.
//!
//! The states and their names are those of Stripe's PaymentIntents with manual capture:
//! `requires_confirmation → requires_action → requires_capture → succeeded`, `canceled` from every
//! state before `succeeded`, and `requires_payment_method` after a decline.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::token::{Decline, Token, Verdict};

/// The most refunds that one payment takes; Stripe's practice is a few.
pub const MAX_REFUNDS: usize = 100;

/// Where an intent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created; nothing was asked of the bank.
    RequiresConfirmation,
    /// The customer has to pass a challenge.
    RequiresAction,
    /// The bank declined; this intent will not be charged.
    RequiresPaymentMethod,
    /// The amount is held and can be captured.
    RequiresCapture,
    /// Captured.
    Succeeded,
    /// Given up before anything was captured.
    Canceled,
}

impl Status {
    /// The state's name on the wire and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Status::RequiresConfirmation => "requires_confirmation",
            Status::RequiresAction => "requires_action",
            Status::RequiresPaymentMethod => "requires_payment_method",
            Status::RequiresCapture => "requires_capture",
            Status::Succeeded => "succeeded",
            Status::Canceled => "canceled",
        }
    }

    /// The state of that name.
    pub fn of_name(name: &str) -> Option<Status> {
        [
            Status::RequiresConfirmation,
            Status::RequiresAction,
            Status::RequiresPaymentMethod,
            Status::RequiresCapture,
            Status::Succeeded,
            Status::Canceled,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }
}

/// What can happen to an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The merchant confirms.
    Confirm,
    /// The customer passed (`true`) or failed the challenge.
    ChallengeResolved(bool),
    /// The merchant captures that much (minor units); the rest of the hold is let go.
    Capture(i64),
    /// The merchant gives up.
    Cancel,
    /// The merchant gives back that much (minor units).
    Refund(i64),
}

/// One line of an intent's history in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `created`, `authorized`, `challenged`, `declined`, `captured`, `canceled` or `refunded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Minor units that the entry is about.
    pub amount: i64,
    /// Unix milliseconds.
    pub at_ms: i64,
}

/// A payment intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// `pi_…`, chosen by the provider.
    pub id: String,
    /// The shop's order (`metadata.order_id`).
    pub order_id: String,
    /// The shop's payment (`metadata.payment_id`).
    pub payment_id: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217, three lowercase letters as in Stripe's API.
    pub currency: String,
    /// What the customer pays with.
    pub token: Token,
    /// Where the intent is in its life.
    pub status: Status,
    /// Minor units captured so far.
    pub captured: i64,
    /// Minor units given back so far; never beyond `captured`.
    pub refunded: i64,
    /// Why the bank declined, if it did.
    pub decline: Option<Decline>,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// All that happened, oldest first.
    pub entries: Vec<Entry>,
}

impl Intent {
    /// The intent after `event`, or why it cannot happen now.
    pub fn after(&self, event: Event, now_ms: i64) -> Result<Intent, ApiError> {
        let mut next = self.clone();
        let (status, kind, amount) = match (self.status, event) {
            (Status::RequiresConfirmation, Event::Confirm) => next.confirmed(),
            (Status::RequiresAction, Event::ChallengeResolved(true)) => {
                (Status::RequiresCapture, "authorized", self.amount)
            }
            (Status::RequiresAction, Event::ChallengeResolved(false)) => {
                next.declined(Decline::AuthenticationFailed)
            }
            (Status::RequiresCapture, Event::Capture(amount)) => {
                check_amount("amount_to_capture", amount, self.amount)?;
                next.captured = amount;
                (Status::Succeeded, "captured", amount)
            }
            (
                Status::RequiresConfirmation
                | Status::RequiresAction
                | Status::RequiresPaymentMethod
                | Status::RequiresCapture,
                Event::Cancel,
            ) => (Status::Canceled, "canceled", 0),
            (Status::Succeeded, Event::Refund(amount)) => {
                self.check_refund(amount)?;
                next.refunded += amount;
                (Status::Succeeded, "refunded", amount)
            }
            (status, event) => return Err(ApiError::unexpected_state(status, event)),
        };
        next.status = status;
        next.entries.push(Entry { kind: kind.to_owned(), amount, at_ms: now_ms });
        Ok(next)
    }

    /// Minor units that can still be given back.
    pub fn refundable(&self) -> i64 {
        self.captured - self.refunded
    }

    fn confirmed(&mut self) -> (Status, &'static str, i64) {
        match self.token.verdict() {
            Verdict::Approved => (Status::RequiresCapture, "authorized", self.amount),
            Verdict::Challenge => (Status::RequiresAction, "challenged", self.amount),
            Verdict::Declined(decline) => self.declined(decline),
        }
    }

    fn declined(&mut self, decline: Decline) -> (Status, &'static str, i64) {
        self.decline = Some(decline);
        (Status::RequiresPaymentMethod, "declined", self.amount)
    }

    fn check_refund(&self, amount: i64) -> Result<(), ApiError> {
        if self.refundable() == 0 {
            return Err(ApiError::already_refunded());
        }
        if self.entries.iter().filter(|entry| entry.kind == "refunded").count() >= MAX_REFUNDS {
            return Err(ApiError::too_many_refunds());
        }
        check_amount("amount", amount, self.refundable())
    }
}

fn check_amount(field: &'static str, amount: i64, most: i64) -> Result<(), ApiError> {
    if amount < 1 {
        return Err(ApiError::amount_too_small(field));
    }
    if amount > most {
        return Err(ApiError::amount_too_large(field, most));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(token: Token) -> Intent {
        Intent {
            id: "pi_1".into(),
            order_id: "order".into(),
            payment_id: "payment".into(),
            amount: 1_000,
            currency: "eur".into(),
            token,
            status: Status::RequiresConfirmation,
            captured: 0,
            refunded: 0,
            decline: None,
            created_ms: 0,
            entries: vec![],
        }
    }

    fn run(token: Token, events: &[Event]) -> Result<Intent, ApiError> {
        events.iter().try_fold(intent(token), |intent, event| intent.after(*event, 7))
    }

    #[test]
    fn an_approved_payment_is_captured_and_given_back_in_parts() {
        use Event::*;
        let paid = run(Token::Visa, &[Confirm, Capture(800), Refund(300), Refund(500)])
            .expect("every event fits");
        assert_eq!((paid.status, paid.captured, paid.refunded), (Status::Succeeded, 800, 800));
        let kinds: Vec<_> = paid.entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["authorized", "captured", "refunded", "refunded"]);
    }

    #[test]
    fn a_refund_never_goes_beyond_what_was_captured() {
        use Event::*;
        let beyond = run(Token::Visa, &[Confirm, Capture(800), Refund(300), Refund(501)]);
        assert_eq!(beyond.expect_err("only 500 are left").code, "amount_too_large");
        let none = run(Token::Visa, &[Confirm, Capture(800), Refund(800), Refund(1)]);
        assert_eq!(none.expect_err("nothing is left").code, "charge_already_refunded");
        let zero = run(Token::Visa, &[Confirm, Capture(800), Refund(0)]);
        assert_eq!(zero.expect_err("nothing was asked for").code, "amount_too_small");
    }

    #[test]
    fn the_number_of_refunds_is_bounded() {
        let mut events = vec![Event::Confirm, Event::Capture(1_000)];
        events.extend([Event::Refund(1); MAX_REFUNDS]);
        let full = run(Token::Visa, &events).expect("up to the bound");
        let refused = full.after(Event::Refund(1), 7).expect_err("beyond the bound");
        assert_eq!(refused.code, "too_many_refunds");
    }

    #[test]
    fn capture_is_bounded_by_the_authorized_amount() {
        let refused = run(Token::Visa, &[Event::Confirm, Event::Capture(1_001)]);
        assert_eq!(refused.expect_err("too much").code, "amount_too_large");
    }

    #[test]
    fn a_challenge_decides_between_hold_and_decline() {
        use Event::*;
        let passed = run(Token::ThreeDSecure, &[Confirm, ChallengeResolved(true)]);
        assert_eq!(passed.expect("passed").status, Status::RequiresCapture);
        let failed =
            run(Token::ThreeDSecure, &[Confirm, ChallengeResolved(false)]).expect("failed");
        assert_eq!(failed.status, Status::RequiresPaymentMethod);
        assert_eq!(failed.decline, Some(Decline::AuthenticationFailed));
    }

    #[test]
    fn what_does_not_fit_the_state_is_refused() {
        use Event::*;
        let misfits: [(Token, &[Event]); 7] = [
            (Token::Visa, &[Capture(1)]),
            (Token::Visa, &[Refund(1)]),
            (Token::Visa, &[Confirm, Confirm]),
            (Token::Visa, &[Confirm, ChallengeResolved(true)]),
            (Token::Visa, &[Confirm, Capture(1_000), Cancel]),
            (Token::Visa, &[Cancel, Confirm]),
            (Token::Declined, &[Confirm, Capture(1_000)]),
        ];
        for (token, events) in misfits {
            let refused = run(token, events).expect_err("the last event does not fit");
            assert_eq!(refused.code, "payment_intent_unexpected_state", "{events:?}");
        }
    }
}
