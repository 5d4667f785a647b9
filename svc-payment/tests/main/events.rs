//! What others are told: every change of money once, in order, with growing versions.

use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, PaymentChanged};
use souk_proto::payment::v1::PaymentState;

use crate::lossy::Op;
use crate::shop::{Shop, euros, new_id, on_both_stores};

fn changed(event: &Event) -> &PaymentChanged {
    match &event.payload {
        Some(Payload::Payment(changed)) => changed,
        other => panic!("not about a payment: {other:?}"),
    }
}

/// The topics about one payment, whose versions must grow.
fn topics<'a>(events: &'a [Event], payment_id: &str) -> Vec<&'a str> {
    let about: Vec<_> = events.iter().filter(|event| event.aggregate_id == payment_id).collect();
    for pair in about.windows(2) {
        assert!(pair[0].aggregate_version < pair[1].aggregate_version, "{pair:?}");
    }
    about.into_iter().map(|event| event.r#type.as_str()).collect()
}

on_both_stores! {
    events_on_cql:
    every_change_of_money_is_told_once,
}

async fn every_change_of_money_is_told_once(shop: &mut Shop) {
    let refunded = shop.paid("tok_visa").await;
    shop.refund(&new_id(), &refunded, Some(400)).await.unwrap();
    shop.cancel(&refunded).await.unwrap();

    let declined = shop.asked("tok_declined");
    shop.create(&declined).await.unwrap();
    shop.confirm(&declined.payment_id).await.unwrap();
    shop.confirm(&declined.payment_id).await.unwrap();

    let challenged = shop.asked("tok_3ds");
    shop.create(&challenged).await.unwrap();
    let url = shop.confirm(&challenged.payment_id).await.unwrap().challenge_url;
    shop.decide(&url, "approve").await;
    shop.confirm(&challenged.payment_id).await.unwrap();

    let lost = shop.asked("tok_visa");
    shop.create(&lost).await.unwrap();
    shop.confirm(&lost.payment_id).await.unwrap();
    shop.lose(Op::Capture);
    shop.capture(&lost.payment_id).await.unwrap_err();
    shop.restart().await;
    shop.capture(&lost.payment_id).await.unwrap();
    shop.capture(&lost.payment_id).await.unwrap();

    // A last one, so that events too many before it would show.
    let last = shop.paid("tok_visa").await;
    let events = shop.events(7).await;
    assert_eq!(
        topics(&events, &refunded),
        ["payment.succeeded", "payment.refunded", "payment.refunded"]
    );
    assert_eq!(topics(&events, &declined.payment_id), ["payment.failed"]);
    assert_eq!(topics(&events, &challenged.payment_id), ["payment.authorized"]);
    assert_eq!(topics(&events, &lost.payment_id), ["payment.succeeded"]);
    assert_eq!(topics(&events, &last), ["payment.succeeded"]);

    let about: Vec<_> = events.iter().filter(|event| event.aggregate_id == refunded).collect();
    let now = shop.get(&refunded).await.unwrap().payment.unwrap();
    assert_eq!(changed(about[2]).payment.as_ref(), Some(&now), "the whole payment is told");
    assert_eq!(about[2].aggregate_version, now.version);
    let given = changed(about[1]).refund.clone().unwrap();
    assert_eq!((given.amount, given.reason.as_str()), (Some(euros(400)), "broken"));
    assert_eq!(changed(about[1]).payment.as_ref().unwrap().state(), PaymentState::Captured);
    assert!(events.iter().all(|event| event.trace_parent.starts_with("00-")), "traced");
}
