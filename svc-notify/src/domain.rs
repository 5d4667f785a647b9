//! Which event is worth a mail, and what the mail says; knows neither gRPC nor SQL nor files.

use souk_mesh::money::Money;
use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, OrderChanged, PaymentChanged};
use souk_proto::order::v1::{Order, OrderState};
use uuid::Uuid;

/// Where a notification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits to be sent, or to be tried again.
    Queued,
    /// Written to the mailbox.
    Sent,
    /// Given up: nobody to send it to.
    Failed,
}

/// One mail to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Made by the service, time-ordered; also the name of the mail's file.
    pub id: Uuid,
    /// Whom it is for; `None` when only an address is known.
    pub user_id: Option<Uuid>,
    /// Where to; empty until it is looked up.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// Where it stands.
    pub state: State,
    /// The event that caused it; empty when it was asked for.
    pub event_id: String,
    /// The order it is about; empty for none.
    pub order_id: String,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    /// Unix milliseconds; `None` until then.
    pub sent_at_ms: Option<i64>,
}

/// What a mail says, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whom it is for.
    pub user_id: Option<Uuid>,
    /// The address, where the event names one.
    pub recipient: Option<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The order it is about; empty for none.
    pub order_id: String,
}

/// The mail that `event` calls for, if it calls for one.
pub fn compose(event: &Event) -> Option<Draft> {
    match event.payload.as_ref()? {
        Payload::Order(changed) => of_order(changed),
        Payload::Payment(changed) => of_refund(changed),
        Payload::User(registered) => {
            let user = registered.user.as_ref()?;
            Some(Draft {
                user_id: user.user_id.parse().ok(),
                recipient: Some(user.email.clone()),
                subject: "Welcome to Souk".to_owned(),
                body: format!(
                    "Hello {},\n\nyour account is ready. We will write to this address about your \
                     orders, and about nothing else.\n",
                    user.display_name
                ),
                order_id: String::new(),
            })
        }
        Payload::Product(_) | Payload::Inventory(_) | Payload::Notification(_) => None,
    }
}

fn of_order(changed: &OrderChanged) -> Option<Draft> {
    let order = changed.order.as_ref()?;
    if changed.previous_state() == order.state() {
        return None;
    }
    let short = short_id(&order.order_id);
    let (subject, body) = match order.state() {
        OrderState::Processing => (
            format!("Your order {short} is confirmed"),
            format!(
                "Thank you for your order.\n\n{}\nWe are packing it now and write again when it is \
                 on its way.\n",
                bill(order)
            ),
        ),
        OrderState::Shipped => (
            format!("Your order {short} is on its way"),
            format!("Your parcel has left.\n\n{}\n{}", parcel(order), bill(order)),
        ),
        OrderState::Delivered => (
            format!("Your order {short} has arrived"),
            format!("Your parcel was delivered. Enjoy it!\n\n{}", bill(order)),
        ),
        OrderState::Cancelled => (
            format!("Your order {short} is cancelled"),
            format!(
                "Your order is cancelled: {}.\n\nNothing stays charged: what was reserved on your \
                 card is released, what was taken is refunded.\n\n{}",
                why(order),
                bill(order)
            ),
        ),
        _ => return None,
    };
    Some(Draft {
        user_id: order.user_id.parse().ok(),
        recipient: Some(order.email.clone()).filter(|email| !email.is_empty()),
        subject,
        body,
        order_id: order.order_id.clone(),
    })
}

fn of_refund(changed: &PaymentChanged) -> Option<Draft> {
    let payment = changed.payment.as_ref()?;
    let amount = changed.refund.as_ref()?.amount.clone()?;
    let amount = Money::try_from(amount).ok()?;
    let short = short_id(&payment.order_id);
    Some(Draft {
        user_id: payment.user_id.parse().ok(),
        recipient: None,
        subject: format!("We have refunded {amount} of your order {short}"),
        body: format!(
            "{amount} are on their way back to your card. Banks take a few days to show it.\n"
        ),
        order_id: payment.order_id.clone(),
    })
}

/// The lines and the total, one to a row.
fn bill(order: &Order) -> String {
    let money = |amount: &Option<_>| {
        amount
            .clone()
            .and_then(|m| Money::try_from(m).ok())
            .map_or_else(String::new, |m| m.to_string())
    };
    let mut text = String::new();
    for line in &order.lines {
        text.push_str(&format!("{} × {}  {}\n", line.quantity, line.name, money(&line.line_total)));
    }
    text.push_str(&format!("Total  {}\n\nOrder {}\n", money(&order.total), order.order_id));
    text
}

fn parcel(order: &Order) -> String {
    order.tracking.as_ref().map_or_else(String::new, |tracking| {
        format!("Carrier {}, tracking number {}\n", tracking.carrier, tracking.tracking_number)
    })
}

fn why(order: &Order) -> &str {
    match (order.cancel_message.as_str(), order.cancel_reason.as_str()) {
        ("", "") => "as asked for",
        ("", reason) => reason,
        (message, _) => message.trim_end_matches('.'),
    }
}

/// What people read out on the phone: the end of the id, which differs most between orders of one day.
fn short_id(order_id: &str) -> String {
    let start = order_id.char_indices().rev().nth(7).map_or(0, |(index, _)| index);
    order_id[start..].to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk_proto::google::r#type::Money as WireMoney;
    use souk_proto::order::v1::OrderLine;

    fn order(state: OrderState) -> Order {
        Order {
            order_id: "0199d0e0-0000-7000-8000-0000deadbeef".to_owned(),
            user_id: "0199d0e0-0000-7000-8000-000000000001".to_owned(),
            state: state.into(),
            lines: vec![OrderLine {
                name: "Teapot".to_owned(),
                quantity: 2,
                line_total: Some(euros(51)),
                ..OrderLine::default()
            }],
            total: Some(euros(51)),
            email: "amina@example.com".to_owned(),
            cancel_message: "the card has no funds.".to_owned(),
            ..Order::default()
        }
    }

    fn euros(units: i64) -> WireMoney {
        WireMoney { currency_code: "EUR".to_owned(), units, nanos: 0 }
    }

    fn changed(from: OrderState, to: OrderState) -> Event {
        let order = OrderChanged { order: Some(order(to)), previous_state: from.into() };
        Event { payload: Some(Payload::Order(order)), ..Event::default() }
    }

    #[test]
    fn a_mail_is_due_when_the_customer_learns_something() {
        use OrderState::{Cancelled, Delivered, Pending, Processing, Shipped, Unspecified};
        for (from, to, due) in [
            (Unspecified, Pending, false),
            (Pending, Processing, true),
            (Processing, Shipped, true),
            (Shipped, Delivered, true),
            (Pending, Cancelled, true),
            (Processing, Processing, false),
        ] {
            assert_eq!(compose(&changed(from, to)).is_some(), due, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_cancellation_says_why_and_what_becomes_of_the_money() {
        let draft = compose(&changed(OrderState::Pending, OrderState::Cancelled)).expect("due");
        assert_eq!(draft.subject, "Your order DEADBEEF is cancelled");
        assert!(draft.body.contains("cancelled: the card has no funds.\n"), "{}", draft.body);
        assert!(draft.body.contains("2 × Teapot"), "{}", draft.body);
        assert_eq!(draft.recipient.as_deref(), Some("amina@example.com"));
    }
}
