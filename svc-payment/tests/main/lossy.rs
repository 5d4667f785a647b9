//! A way to the provider on which chosen answers get lost: the work is done, nobody hears of it.

use std::sync::Mutex;

use async_trait::async_trait;
use souk_payment::domain::Snapshot;
use souk_payment::provider::{Error, HttpProvider, NewIntent, Provider};

/// A call whose answer can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Confirm,
    Capture,
    Cancel,
    Refund,
}

/// Loses the answers it is told to lose, each once.
pub(crate) struct Lossy {
    provider: HttpProvider,
    to_lose: Mutex<Vec<Op>>,
}

impl Lossy {
    pub(crate) fn new(provider: HttpProvider) -> Lossy {
        Lossy { provider, to_lose: Mutex::default() }
    }

    /// Loses the next answer to `op`.
    pub(crate) fn lose(&self, op: Op) {
        self.to_lose.lock().unwrap().push(op);
    }

    fn pass<T>(&self, op: Op, answer: Result<T, Error>) -> Result<T, Error> {
        let mut to_lose = self.to_lose.lock().unwrap();
        match to_lose.iter().position(|lost| *lost == op) {
            Some(index) => {
                answer.expect("what is lost was done");
                to_lose.remove(index);
                Err(Error::Unknown("lost on the way".into()))
            }
            None => answer,
        }
    }
}

#[async_trait]
impl Provider for Lossy {
    async fn create(&self, key: &str, intent: &NewIntent) -> Result<Snapshot, Error> {
        let answer = self.provider.create(key, intent).await;
        self.pass(Op::Create, answer)
    }

    async fn confirm(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        let answer = self.provider.confirm(key, provider_id).await;
        self.pass(Op::Confirm, answer)
    }

    async fn capture(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        let answer = self.provider.capture(key, provider_id).await;
        self.pass(Op::Capture, answer)
    }

    async fn cancel(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        let answer = self.provider.cancel(key, provider_id).await;
        self.pass(Op::Cancel, answer)
    }

    async fn refund(&self, key: &str, provider_id: &str, minor: i64) -> Result<i64, Error> {
        let answer = self.provider.refund(key, provider_id, minor).await;
        self.pass(Op::Refund, answer)
    }

    async fn get(&self, provider_id: &str) -> Result<Snapshot, Error> {
        self.provider.get(provider_id).await
    }

    async fn find(&self, payment_id: &str) -> Result<Option<Snapshot>, Error> {
        self.provider.find(payment_id).await
    }
}
