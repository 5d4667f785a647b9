//! A provider on a free port, and a client that says what it wants in one line.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use souk_mesh::clock::ManualClock;
use souk_sandbox_provider::{Options, Provider};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const NOON_MS: i64 = 1_750_000_000_000;

/// A provider that runs until it is stopped, on a data folder that outlives it.
pub(crate) struct Running {
    pub(crate) url: String,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    client: reqwest::Client,
}

/// An answer: status and JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("no error")
    }
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) async fn start(data: &Path) -> Running {
    start_at(data, NOON_MS).await
}

pub(crate) async fn start_at(data: &Path, now_ms: i64) -> Running {
    let options = Options {
        clock: Arc::new(ManualClock::new(now_ms)),
        slow: Duration::from_millis(300),
        public_url: None,
    };
    let provider = Provider::open(listener().await, data, options).unwrap();
    let url = provider.url().to_owned();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let serving = tokio::spawn(async move { provider.serve(token).await.unwrap() });
    Running { url, shutdown, serving, client: reqwest::Client::new() }
}

pub(crate) async fn fresh() -> (TempDir, Running) {
    let folder = TempDir::new().unwrap();
    let running = start(folder.path()).await;
    (folder, running)
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        key: &str,
        body: Value,
    ) -> Result<Answer, reqwest::Error> {
        let request = self.client.post(format!("{}{path}", self.url)).json(&body);
        let response = request.header("Idempotency-Key", key).send().await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: response.json().await? })
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        self.try_post(path, key, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = response.status().as_u16();
        Answer { status, body: response.json().await.unwrap() }
    }

    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn submit(&self, path: &str) -> (u16, String) {
        let response = self.client.post(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Creates an intent over 10.00 EUR and gives its id; `name` is order, payment and key.
    pub(crate) async fn create(&self, token: &str, name: &str) -> String {
        let answer = self.post("/v1/payment_intents", name, create_body(token, name)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn act(&self, id: &str, action: &str, key: &str) -> Answer {
        self.post(&format!("/v1/payment_intents/{id}/{action}"), key, json!({})).await
    }

    pub(crate) async fn refund(&self, id: &str, amount: i64, key: &str) -> Answer {
        self.post("/v1/refunds", key, json!({"payment_intent": id, "amount": amount})).await
    }

    pub(crate) async fn captured(&self, token: &str, name: &str) -> String {
        let id = self.create(token, name).await;
        assert_eq!(self.act(&id, "confirm", &format!("{name}-confirm")).await.status, 200);
        assert_eq!(self.act(&id, "capture", &format!("{name}-capture")).await.status, 200);
        id
    }
}

pub(crate) fn create_body(token: &str, name: &str) -> Value {
    json!({
        "amount": 1_000,
        "currency": "EUR",
        "token": token,
        "metadata": {"order_id": format!("order-{name}"), "payment_id": format!("payment-{name}")},
    })
}
