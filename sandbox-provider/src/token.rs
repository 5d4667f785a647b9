//! The test tokens a shop can pay with, and how the bank behind each of them behaves.

use std::fmt;
use std::str::FromStr;

/// A test payment token. No card number ever reaches this provider's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Approves at once.
    Visa,
    /// Approves at once.
    Mastercard,
    /// Declines without a particular reason.
    Declined,
    /// Declines for want of funds.
    InsufficientFunds,
    /// Asks the customer to pass a 3-D Secure challenge.
    ThreeDSecure,
    /// Approves and captures durably, then hangs up without an answer, once per idempotency key.
    ChargeThenDropReply,
    /// Approves, and holds the answer to the confirmation back for a while.
    Slow,
    /// Approves; the first refund of the payment fails with a server error.
    RefundFailsOnce,
}

/// Every token with its name on the wire.
const NAMES: [(Token, &str); 8] = [
    (Token::Visa, "tok_visa"),
    (Token::Mastercard, "tok_mastercard"),
    (Token::Declined, "tok_declined"),
    (Token::InsufficientFunds, "tok_insufficient_funds"),
    (Token::ThreeDSecure, "tok_3ds"),
    (Token::ChargeThenDropReply, "tok_charge_then_drop_reply"),
    (Token::Slow, "tok_slow"),
    (Token::RefundFailsOnce, "tok_refund_fails_once"),
];

/// What the bank says when a payment is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The amount is held on the customer's account.
    Approved,
    /// The customer has to pass a challenge first.
    Challenge,
    /// Refused, with Stripe's decline code.
    Declined(Decline),
}

/// Why a bank refuses; the names are Stripe's decline codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decline {
    /// The bank gives no reason.
    Generic,
    /// Too little on the account.
    InsufficientFunds,
    /// The customer failed, or refused, the 3-D Secure challenge.
    AuthenticationFailed,
}

impl Token {
    /// The bank's verdict on a confirmation with this token.
    pub fn verdict(self) -> Verdict {
        match self {
            Token::Declined => Verdict::Declined(Decline::Generic),
            Token::InsufficientFunds => Verdict::Declined(Decline::InsufficientFunds),
            Token::ThreeDSecure => Verdict::Challenge,
            Token::Visa
            | Token::Mastercard
            | Token::ChargeThenDropReply
            | Token::Slow
            | Token::RefundFailsOnce => Verdict::Approved,
        }
    }

    /// The token's name on the wire.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(token, _)| *token == self).expect("every token is named").1
    }
}

impl FromStr for Token {
    type Err = UnknownToken;

    fn from_str(name: &str) -> Result<Self, UnknownToken> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(token, _)| *token).ok_or(UnknownToken)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The name is none of the test tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownToken;

impl Decline {
    /// Stripe's `code` of the card error.
    pub fn code(self) -> &'static str {
        match self {
            Decline::Generic | Decline::InsufficientFunds => "card_declined",
            Decline::AuthenticationFailed => "payment_intent_authentication_failure",
        }
    }

    /// Stripe's `decline_code` of the card error.
    pub fn decline_code(self) -> &'static str {
        match self {
            Decline::Generic => "generic_decline",
            Decline::InsufficientFunds => "insufficient_funds",
            Decline::AuthenticationFailed => "authentication_failed",
        }
    }

    /// A sentence for people.
    pub fn message(self) -> &'static str {
        match self {
            Decline::Generic => "Your card was declined.",
            Decline::InsufficientFunds => "Your card has insufficient funds.",
            Decline::AuthenticationFailed => "The bank's check of the customer failed.",
        }
    }

    /// The decline of that code, as the ledger stores it.
    pub fn of_code(decline_code: &str) -> Option<Decline> {
        [Decline::Generic, Decline::InsufficientFunds, Decline::AuthenticationFailed]
            .into_iter()
            .find(|decline| decline.decline_code() == decline_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_token() {
        for (token, name) in NAMES {
            assert_eq!(name.parse(), Ok(token));
            assert_eq!(token.to_string(), name);
        }
        assert_eq!("4242424242424242".parse::<Token>(), Err(UnknownToken));
    }
}
