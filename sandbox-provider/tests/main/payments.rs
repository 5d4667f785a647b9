//! Payments from creation to refund, and what is refused on the way.

use serde_json::{Value, json};

use crate::support::{NOON_MS, create_body, fresh};

#[tokio::test]
async fn a_payment_is_created_confirmed_captured_and_refunded_in_parts() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_visa", "a").await;
    let confirmed = provider.act(&id, "confirm", "k1").await;
    assert_eq!(confirmed.body["status"], "requires_capture");
    let captured = provider.act(&id, "capture", "k2").await;
    assert_eq!(captured.body["status"], "succeeded");
    assert_eq!(captured.body["amount_received"], 1_000);
    assert_eq!(provider.refund(&id, 400, "k3").await.body["amount_refunded"], 400);
    let rest = provider.post("/v1/refunds", "k4", json!({"payment_intent": id})).await;
    assert_eq!((&rest.body["amount"], &rest.body["amount_refunded"]), (&json!(600), &json!(1_000)));
    let beyond = provider.refund(&id, 1, "k5").await;
    assert_eq!((beyond.status, beyond.code()), (400, "charge_already_refunded"));

    let ledger = provider.get("/v1/ledger?order_id=order-a").await;
    let line = &ledger.body["data"][0];
    assert_eq!((&line["captured"], &line["refunded"]), (&json!(1_000), &json!(1_000)));
    assert_eq!((&line["payment_id"], &line["currency"]), (&json!("payment-a"), &json!("eur")));
    assert_eq!(
        line["events"],
        json!([
            {"type": "created", "amount": 1_000, "at_ms": NOON_MS},
            {"type": "authorized", "amount": 1_000, "at_ms": NOON_MS},
            {"type": "captured", "amount": 1_000, "at_ms": NOON_MS},
            {"type": "refunded", "amount": 400, "at_ms": NOON_MS},
            {"type": "refunded", "amount": 600, "at_ms": NOON_MS},
        ])
    );
    provider.stop().await;
}

#[tokio::test]
async fn a_decline_is_402_with_its_code_and_charges_nothing() {
    let (_folder, provider) = fresh().await;
    for (token, code) in
        [("tok_declined", "generic_decline"), ("tok_insufficient_funds", "insufficient_funds")]
    {
        let id = provider.create(token, token).await;
        let declined = provider.act(&id, "confirm", &format!("{token}-c")).await;
        assert_eq!(declined.status, 402);
        let error = &declined.body["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("card_error"), &json!("card_declined"))
        );
        assert_eq!(error["decline_code"], code);
        assert!(error["message"].is_string());
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        let capture = provider.act(&id, "capture", &format!("{token}-k")).await;
        assert_eq!((capture.status, capture.code()), (400, "payment_intent_unexpected_state"));
        let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
        assert_eq!(now.body["amount_received"], 0);
        assert_eq!(now.body["last_payment_error"]["decline_code"], code);
    }
    provider.stop().await;
}

#[tokio::test]
async fn a_challenge_is_passed_or_failed_on_its_page() {
    let (_folder, provider) = fresh().await;
    for (decision, status) in
        [("approve", "requires_capture"), ("decline", "requires_payment_method")]
    {
        let id = provider.create("tok_3ds", decision).await;
        let challenged = provider.act(&id, "confirm", &format!("{decision}-c")).await;
        assert_eq!(challenged.body["status"], "requires_action");
        let url = challenged.body["next_action"]["redirect_to_url"]["url"].as_str().unwrap();
        assert_eq!(url, format!("{}/challenge/{id}", provider.url));
        let (_, page) = provider.page(&format!("/challenge/{id}")).await;
        assert!(
            page.contains("EUR 10.00") && page.contains(&format!("order-{decision}")),
            "{page}"
        );
        assert!(page.contains(&format!("/challenge/{id}?decision={decision}")), "{page}");

        let (code, _) = provider.submit(&format!("/challenge/{id}?decision=maybe")).await;
        assert_eq!(code, 400);
        let (code, page) = provider.submit(&format!("/challenge/{id}?decision={decision}")).await;
        assert_eq!(code, 200);
        assert!(!page.contains("<form"), "{page}");
        // A second click, and a change of mind, change nothing.
        assert_eq!(provider.submit(&format!("/challenge/{id}?decision=approve")).await.0, 200);
        let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
        assert_eq!(now.body["status"], status);
        assert_eq!(now.body["next_action"], Value::Null);
    }
    assert_eq!(provider.page("/challenge/pi_none").await.0, 404);
    provider.stop().await;
}

#[tokio::test]
async fn what_was_not_captured_can_be_canceled_and_then_nothing_else() {
    let (_folder, provider) = fresh().await;
    let held = provider.create("tok_visa", "held").await;
    provider.act(&held, "confirm", "k1").await;
    assert_eq!(provider.act(&held, "cancel", "k2").await.body["status"], "canceled");
    let capture = provider.act(&held, "capture", "k3").await;
    assert_eq!(capture.code(), "payment_intent_unexpected_state");
    let paid = provider.captured("tok_visa", "paid").await;
    assert_eq!(provider.act(&paid, "cancel", "k4").await.code(), "payment_intent_unexpected_state");
    provider.stop().await;
}

#[tokio::test]
async fn malformed_requests_get_precise_errors() {
    let (_folder, provider) = fresh().await;
    let with = |field: &str, value: Value| {
        let mut body = create_body("tok_visa", "x");
        body[field] = value;
        body
    };
    let cases = [
        (with("amount", json!(0)), "amount_too_small"),
        (with("amount", json!(-5)), "amount_too_small"),
        (with("amount", json!(100_000_000)), "amount_too_large"),
        (with("amount", json!(1.5)), "parameter_invalid"),
        (with("currency", json!("euro")), "parameter_invalid"),
        (with("token", json!("4242424242424242")), "token_invalid"),
        (with("metadata", json!({"order_id": "x".repeat(501)})), "parameter_invalid"),
        (with("card", json!("4242424242424242")), "parameter_invalid"),
    ];
    for (index, (body, code)) in cases.into_iter().enumerate() {
        let answer = provider.post("/v1/payment_intents", &format!("bad{index}"), body).await;
        assert_eq!((answer.status, answer.code()), (400, code));
    }
    let missing = provider.act("pi_none", "confirm", "m1").await;
    assert_eq!((missing.status, missing.code()), (404, "resource_missing"));
    let missing = provider.get("/v1/payment_intents/pi_none").await;
    assert_eq!((missing.status, missing.code()), (404, "resource_missing"));
    let id = provider.create("tok_visa", "route").await;
    assert_eq!(provider.act(&id, "explode", "m2").await.code(), "route_missing");
    assert_eq!(provider.get("/v2/none").await.code(), "route_missing");
    assert_eq!(provider.get("/v1/ledger?limit=0").await.code(), "parameter_invalid");
    assert_eq!(provider.get("/v1/ledger?color=red").await.code(), "parameter_invalid");
    let lines = provider.get("/v1/ledger").await;
    assert_eq!(lines.body["data"].as_array().unwrap().len(), 1, "refused requests leave nothing");
    provider.stop().await;
}

#[tokio::test]
async fn lists_are_paged_in_the_order_of_creation() {
    let (_folder, provider) = fresh().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        ids.push(provider.create("tok_visa", name).await);
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned().unwrap_or_default();
        let page = provider.get(&format!("/v1/ledger?limit=2&starting_after={after}")).await;
        for line in page.body["data"].as_array().unwrap() {
            seen.push(line["id"].as_str().unwrap().to_owned());
        }
        if page.body["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, ids);
    let found = provider.get("/v1/payment_intents?payment_id=payment-c").await;
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["data"][0]["id"], json!(ids[2]));
    provider.stop().await;
}
