//! From the domain to the wire: payments, refunds, and the events that tell of them.

use souk_mesh::money::Money;
use souk_mesh::telemetry::current_traceparent;
use souk_proto::event::v1::{Event, PaymentChanged, event};
use souk_proto::payment::v1::{self as proto, PaymentState};
use souk_proto::time::timestamp;
use uuid::Uuid;

use crate::domain::{Change, Happened, Payment, Refund, State};

/// A payment as staff and services see it.
pub fn payment(payment: &Payment) -> proto::Payment {
    let money = |minor| Some(Money::new(minor, payment.amount.currency).into());
    proto::Payment {
        payment_id: payment.payment_id.to_string(),
        order_id: payment.order_id.to_string(),
        user_id: payment.user_id.map(|id| id.to_string()).unwrap_or_default(),
        state: state(payment.state).into(),
        amount: money(payment.amount.minor),
        captured: money(payment.captured),
        refunded: money(payment.refunded),
        challenge_url: payment.challenge_url.clone().unwrap_or_default(),
        decline_code: payment.decline_code.clone().unwrap_or_default(),
        provider_payment_id: payment.provider_id.clone().unwrap_or_default(),
        // The provider's tokens stand for no particular card.
        card_last4: String::new(),
        version: payment.version,
        create_time: Some(timestamp(payment.created_ms)),
        update_time: Some(timestamp(payment.updated_ms)),
    }
}

/// A payment as its customer sees it: without the provider's id.
pub fn payment_for_customer(payment_seen: &Payment) -> proto::Payment {
    proto::Payment { provider_payment_id: String::new(), ..payment(payment_seen) }
}

/// What is answered about a payment that was undone before it was made: its ids and state.
pub fn tombstone(payment_id: Uuid, order_id: &str) -> proto::Payment {
    proto::Payment {
        payment_id: payment_id.to_string(),
        order_id: order_id.to_owned(),
        state: PaymentState::Cancelled.into(),
        ..proto::Payment::default()
    }
}

/// A refund.
pub fn refund(refund: &Refund) -> proto::Refund {
    proto::Refund {
        refund_id: refund.refund_id.to_string(),
        payment_id: refund.payment_id.to_string(),
        amount: Some(refund.amount.into()),
        reason: refund.reason.clone(),
        create_time: Some(timestamp(refund.created_ms)),
    }
}

/// The answer to a refund that was given.
pub fn refund_response(given: &Refund, after: &Payment) -> proto::RefundPaymentResponse {
    proto::RefundPaymentResponse { refund: Some(refund(given)), payment: Some(payment(after)) }
}

/// The events of a change, in order; the last carries the payment's version.
pub fn events(change: &Change) -> Vec<Event> {
    let count = change.happened.len() as i64;
    let first = change.payment.version + 1 - count;
    change
        .happened
        .iter()
        .zip(first..)
        .map(|(happened, version)| event(&change.payment, happened, version))
        .collect()
}

fn event(changed: &Payment, happened: &Happened, version: i64) -> Event {
    let (topic, refunded) = match happened {
        Happened::Authorized => ("payment.authorized", None),
        Happened::Succeeded => ("payment.succeeded", None),
        Happened::Failed => ("payment.failed", None),
        Happened::Refunded(given) => ("payment.refunded", Some(refund(given))),
    };
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: topic.to_owned(),
        aggregate_id: changed.payment_id.to_string(),
        aggregate_version: version,
        occurred_at: Some(timestamp(changed.updated_ms)),
        trace_parent: current_traceparent().unwrap_or_default(),
        payload: Some(event::Payload::Payment(PaymentChanged {
            payment: Some(payment(changed)),
            refund: refunded,
        })),
    }
}

/// A state on the wire, which does not tell whether the provider has made a payment yet.
fn state(state: State) -> PaymentState {
    match state {
        State::Opening | State::Created => PaymentState::Created,
        State::RequiresAction => PaymentState::RequiresAction,
        State::Authorized => PaymentState::Authorized,
        State::Captured => PaymentState::Captured,
        State::Declined => PaymentState::Declined,
        State::Cancelled => PaymentState::Cancelled,
        State::Refunded => PaymentState::Refunded,
    }
}

/// The states that a state on the wire stands for; `None` for one that no payment has in this
/// build, all for UNSPECIFIED.
pub fn states(wanted: PaymentState) -> Option<Vec<State>> {
    Some(match wanted {
        PaymentState::Unspecified => vec![],
        PaymentState::Created => vec![State::Opening, State::Created],
        PaymentState::RequiresAction => vec![State::RequiresAction],
        PaymentState::InReview => return None,
        PaymentState::Authorized => vec![State::Authorized],
        PaymentState::Captured => vec![State::Captured],
        PaymentState::Declined => vec![State::Declined],
        PaymentState::Cancelled => vec![State::Cancelled],
        PaymentState::Refunded => vec![State::Refunded],
    })
}
