//! The provider as a process: its folder, its restart, its drain.

use serde_json::json;
use souk_sandbox_provider::{Error, Options, Provider};

use crate::support::{fresh, listener, start};

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let (folder, provider) = fresh().await;
    let id = provider.captured("tok_mastercard", "a").await;
    let before = provider.get("/v1/ledger").await;
    provider.stop().await;
    let provider = start(folder.path()).await;
    assert_eq!(provider.get("/v1/ledger").await, before);
    assert_eq!(provider.refund(&id, 1_000, "r").await.status, 200);
    provider.stop().await;
}

#[tokio::test]
async fn a_data_folder_serves_one_process() {
    let (folder, provider) = fresh().await;
    let second = Provider::open(listener().await, folder.path(), Options::default());
    let Err(error) = second else { panic!("two providers on one folder") };
    assert!(matches!(error, Error::FolderInUse { .. }), "{error}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    provider.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_answered_at_the_drain() {
    let (_folder, provider) = fresh().await;
    let id = provider.create("tok_slow", "a").await;
    let client = reqwest::Client::new();
    let confirm = client
        .post(format!("{}/v1/payment_intents/{id}/confirm", provider.url))
        .header("Idempotency-Key", "c")
        .json(&json!({}))
        .send();
    let confirm = tokio::spawn(confirm);
    loop {
        let now = provider.get(&format!("/v1/payment_intents/{id}")).await;
        if now.body["status"] == "requires_capture" {
            break;
        }
    }
    provider.stop().await;
    assert_eq!(confirm.await.unwrap().unwrap().status().as_u16(), 200);
}
