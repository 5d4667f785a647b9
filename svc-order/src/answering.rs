//! What PlaceOrder answers: made of what never changes (the order as it was placed, the workflow's
//! recorded answer), so that every repeat gets an equal response. Pure.

use souk_proto::order::v1::{self as proto, PlaceOrderResponse};
use tonic::Status;

use crate::domain::Order;
use crate::workflow::{PlaceOrderAnswer, Placement};
use crate::{Error, wire};

/// What every caller with the same request gets.
pub type Outcome = Result<PlaceOrderResponse, Status>;

/// The response to an order whose workflow gave `answer`.
///
/// # Errors
/// When the answer cannot be read.
pub fn answered(order: Order, answer: &[u8]) -> Outcome {
    let answer = serde_json::from_slice::<PlaceOrderAnswer>(answer)
        .map_err(|problem| Error::corrupt("workflow answer", problem))?;
    Ok(respond(order, Some(answer)))
}

/// What the order itself tells of how placing went, when the workflow's own answer was lost.
#[must_use]
pub fn answer_from_state(order: &Order) -> PlaceOrderAnswer {
    let payment_id = order.payment_id.map(|id| id.to_string()).unwrap_or_default();
    let (challenge_url, reason, message) = Default::default();
    let placed = Placement::Placed;
    let answer = PlaceOrderAnswer { placement: placed, challenge_url, payment_id, reason, message };
    match &order.cancellation {
        // Straight from pending, at the second version: it was never placed.
        Some(cancellation) if order.version == 2 => PlaceOrderAnswer {
            placement: Placement::Refused,
            reason: cancellation.reason.clone(),
            message: cancellation.note.clone(),
            ..answer
        },
        _ => answer,
    }
}

/// The response: made of what never changes, so that every repeat gets an equal one.
#[must_use]
pub fn respond(order: Order, answer: Option<PlaceOrderAnswer>) -> PlaceOrderResponse {
    let first = order.first_entry();
    let mut order = wire::order(&order.as_of(&first));
    let Some(answer) = answer else {
        let placement = proto::Placement::Pending.into();
        return PlaceOrderResponse { order: Some(order), placement, ..Default::default() };
    };
    let placement = match answer.placement {
        Placement::Placed => proto::Placement::Placed,
        Placement::Challenge => proto::Placement::Challenge,
        Placement::Refused => proto::Placement::Refused,
    };
    order.payment_id = answer.payment_id;
    PlaceOrderResponse {
        order: Some(order),
        placement: placement.into(),
        challenge_url: answer.challenge_url,
        refusal_reason: answer.reason,
        refusal_message: answer.message,
    }
}
