//! The tokens that make trouble: what they break, and that a retry with the same key mends it.

use serde_json::json;

use crate::support::fresh;

#[tokio::test]
async fn a_dropped_reply_did_the_work_once_and_the_retry_gets_its_answer() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_charge_then_drop_reply", "a").await;
    for (action, status) in [("confirm", "requires_capture"), ("capture", "succeeded")] {
        let path = format!("/v1/payment_intents/{id}/{action}");
        let lost = provider.try_post(&path, action, json!({})).await;
        assert!(lost.expect_err("no answer").is_request());
        let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
        assert_eq!(now.body["status"], status, "the work was done");
        let retried = provider.act(&id, action, action).await;
        assert_eq!((retried.status, &retried.body["status"]), (200, &json!(status)));
    }
    let ledger = provider.get("/v1/ledger").await;
    let events = ledger.body["data"][0]["events"].as_array().unwrap().clone();
    assert_eq!(events.iter().filter(|event| event["type"] == "captured").count(), 1);
    assert_eq!(ledger.body["data"][0]["captured"], 1_000);
    provider.stop().await;
}

#[tokio::test]
async fn a_slow_answer_is_late_once_and_its_work_is_done_before() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_slow", "a").await;
    let path = format!("/v1/payment_intents/{id}/confirm");
    let mut slow = Box::pin(provider.post(&path, "c", json!({})));
    // While the first answer is held back, others see the work done and a retry is answered.
    let seen = format!("/v1/payment_intents/{id}");
    loop {
        tokio::select! {
            biased;
            _ = &mut slow => panic!("answered before the retry was"),
            now = provider.get(&seen) => {
                if now.body["status"] == "requires_capture" { break }
            }
        }
    }
    let retried = provider.act(&id, "confirm", "c").await;
    assert_eq!(retried.body["status"], "requires_capture");
    assert_eq!(slow.await, retried);
    provider.stop().await;
}

#[tokio::test]
async fn a_refund_that_fails_once_succeeds_with_the_same_key() {
    let (_folder, provider) = fresh().await;
    let id = provider.captured("tok_refund_fails_once", "a").await;
    let failed = provider.refund(&id, 300, "r").await;
    assert_eq!((failed.status, failed.body["error"]["type"].as_str()), (500, Some("api_error")));
    let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
    assert_eq!(now.body["amount_refunded"], 0);
    let mended = provider.refund(&id, 300, "r").await;
    assert_eq!((mended.status, &mended.body["amount_refunded"]), (200, &json!(300)));
    provider.stop().await;
}
