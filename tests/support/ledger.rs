//! The provider's books, read as its bookkeeper reads them.

use std::time::Instant;

use serde::Deserialize;

/// Most charges of one order that a test can make sense of.
const LIMIT: usize = 100;

/// How long a customer waits until she sends her decision again, in milliseconds.
const AGAIN_AFTER_MS: u64 = 50;

/// The provider's books.
#[derive(Clone)]
pub struct Ledger {
    url: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<LedgerLine>,
}

/// What one charge came to, in minor units.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct LedgerLine {
    /// The provider's id.
    pub id: String,
    /// Our order.
    pub order_id: String,
    /// The provider's word for where it stands.
    pub status: String,
    /// Asked for.
    pub amount: i64,
    /// Taken.
    pub captured: i64,
    /// Given back.
    pub refunded: i64,
}

impl Ledger {
    /// The books of the provider at `url`.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), http: reqwest::Client::new() }
    }

    /// All charges of an order.
    pub async fn of(&self, order_id: &str) -> Vec<LedgerLine> {
        let url = format!("{}/v1/ledger?limit={LIMIT}&order_id={order_id}", self.url);
        let answer = self.http.get(url).send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice::<Page>(&answer.bytes().await.unwrap()).unwrap().data
    }

    /// What an order has cost its customer so far: taken less given back.
    pub async fn net(&self, order_id: &str) -> i64 {
        self.of(order_id).await.iter().map(|line| line.captured - line.refunded).sum()
    }

    /// What the customer decides on the provider's page ("approve", "decline"), sent until the provider shows how the
    /// payment stands; a page that is closed by now, because the order was cancelled, shows it too.
    pub async fn decide(&self, challenge_url: &str, decision: &str) {
        let url = format!("{challenge_url}?decision={decision}");
        let asked = Instant::now();
        loop {
            let answer = self.http.post(&url).send().await;
            if answer.is_ok_and(|answer| answer.status() == reqwest::StatusCode::OK) {
                return;
            }
            assert!(asked.elapsed() < super::PATIENCE, "the provider does not answer");
            super::pause(AGAIN_AFTER_MS).await;
        }
    }
}
