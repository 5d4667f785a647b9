//! Idempotency keys: one effect and one answer per key, for as long as it is promised.

use std::sync::Arc;

use souk_sandbox_provider::KEY_RETENTION_MS;

use crate::support::{NOON_MS, create_body, fresh, start_at};

#[tokio::test]
async fn the_same_key_and_body_get_the_same_answer_and_one_effect() {
    let (_folder, provider) = fresh().await;
    let provider = Arc::new(provider);
    let posts: Vec<_> = (0..50)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move {
                provider.post("/v1/payment_intents", "once", create_body("tok_visa", "a")).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for post in posts {
        answers.push(post.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(provider.get("/v1/ledger").await.body["data"].as_array().unwrap().len(), 1);

    let id = provider.captured("tok_visa", "b").await;
    let first = provider.refund(&id, 400, "refund").await;
    assert_eq!(provider.refund(&id, 400, "refund").await, first);
    let line = provider.get("/v1/ledger?order_id=order-b").await;
    assert_eq!(line.body["data"][0]["refunded"], 400);
}

#[tokio::test]
async fn the_same_key_with_another_body_or_path_is_refused() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_visa", "a").await;
    let other = provider.post("/v1/payment_intents", "a", create_body("tok_visa", "b")).await;
    assert_eq!(
        (other.status, other.body["error"]["type"].as_str()),
        (400, Some("idempotency_error"))
    );
    let other = provider.act(&id, "confirm", "a").await;
    assert_eq!(other.body["error"]["type"], "idempotency_error");
    let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
    assert_eq!(now.body["status"], "requires_confirmation");
    provider.stop().await;
}

#[tokio::test]
async fn a_decline_and_a_refusal_are_remembered_and_a_malformed_request_is_not() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_declined", "a").await;
    let declined = provider.act(&id, "confirm", "c").await;
    assert_eq!(provider.act(&id, "confirm", "c").await, declined);
    let again = provider.act(&id, "confirm", "c2").await;
    assert_eq!(again.code(), "payment_intent_unexpected_state");

    let malformed = provider.post("/v1/payment_intents", "m", create_body("tok_none", "m")).await;
    assert_eq!(malformed.status, 400);
    let mended = provider.post("/v1/payment_intents", "m", create_body("tok_visa", "m")).await;
    assert_eq!(mended.status, 200);
    provider.stop().await;
}

#[tokio::test]
async fn keys_are_kept_for_a_day_across_restarts_and_forgotten_after() {
    let (folder, provider) = fresh().await;
    let first = provider.create("tok_visa", "a").await;
    provider.stop().await;

    let provider = start_at(folder.path(), NOON_MS + KEY_RETENTION_MS).await;
    assert_eq!(provider.create("tok_visa", "a").await, first);
    provider.stop().await;

    let provider = start_at(folder.path(), NOON_MS + KEY_RETENTION_MS + 1).await;
    // The sweep at the start runs beside the first requests: ask until it has run.
    let mut tries = 0;
    while provider.create("tok_visa", "a").await == first {
        tries += 1;
        assert!(tries < 1_000, "the key is never forgotten");
    }
    provider.stop().await;
}
