//! The provider over HTTP: a thin client of a Stripe-like API (see sandbox-provider/README.md).

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use souk_mesh::money::{Currency, Money};
use tokio::sync::Semaphore;

use super::{Error, NewIntent, Provider};
use crate::domain::{Observed, Snapshot};

/// Calls in flight at the same time, and so connections at most.
const MAX_CALLS: usize = 256;
/// How long an unused connection is kept; shorter than the provider keeps it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// More than one payment under one payment id is never made; two are asked for to notice it.
const FIND_LIMIT: usize = 2;

/// A client with a bounded pool of connections; each call ends within a time limit.
pub struct HttpProvider {
    client: reqwest::Client,
    base_url: String,
    room: Semaphore,
    call_timeout: Duration,
}

impl HttpProvider {
    /// A client of the provider at `base_url` (without a slash at its end) whose calls, waiting for
    /// a free connection included, end within `call_timeout`.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(base_url: &str, call_timeout: Duration) -> Result<HttpProvider, reqwest::Error> {
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(MAX_CALLS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        Ok(HttpProvider {
            client,
            base_url: base_url.trim_end_matches('/').to_owned(),
            room: Semaphore::new(MAX_CALLS),
            call_timeout,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base_url))
    }

    fn post(&self, path: &str, key: &str) -> RequestBuilder {
        self.request(Method::POST, path).header("idempotency-key", key)
    }

    /// Sends, and reads the answer whole, within the time limit.
    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Error> {
        let exchange = async {
            let permit = self.room.acquire().await.map_err(|closed| closed.to_string())?;
            let response = request.send().await.map_err(|error| root_cause(&error))?;
            let status = response.status();
            let body = response.bytes().await.map_err(|error| root_cause(&error))?;
            drop(permit);
            Ok((status, body.to_vec()))
        };
        match tokio::time::timeout(self.call_timeout, exchange).await {
            Ok(answer) => answer.map_err(Error::Unknown),
            Err(_) => Err(Error::Unknown(format!("no answer within {:?}", self.call_timeout))),
        }
    }

    /// Sends a request that answers with an intent; a decline carries it too.
    async fn intent(&self, request: RequestBuilder) -> Result<Snapshot, Error> {
        match self.send(request).await? {
            (StatusCode::OK, body) => read::<Intent>(&body)?.snapshot(),
            (StatusCode::PAYMENT_REQUIRED, body) => match read::<Failure>(&body)?.error {
                Problem { payment_intent: Some(intent), .. } => intent.snapshot(),
                problem => Err(problem.refusal()),
            },
            (status, body) => Err(failure(status, &body)),
        }
    }
}

#[async_trait]
impl Provider for HttpProvider {
    async fn create(&self, key: &str, intent: &NewIntent) -> Result<Snapshot, Error> {
        let body = json!({
            "amount": intent.amount.minor,
            "currency": intent.amount.currency.code(),
            "token": intent.token,
            "metadata": {"order_id": intent.order_id, "payment_id": intent.payment_id},
        });
        self.intent(self.post("/v1/payment_intents", key).json(&body)).await
    }

    async fn confirm(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        self.intent(self.post(&format!("/v1/payment_intents/{provider_id}/confirm"), key)).await
    }

    async fn capture(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        self.intent(self.post(&format!("/v1/payment_intents/{provider_id}/capture"), key)).await
    }

    async fn cancel(&self, key: &str, provider_id: &str) -> Result<Snapshot, Error> {
        self.intent(self.post(&format!("/v1/payment_intents/{provider_id}/cancel"), key)).await
    }

    async fn refund(&self, key: &str, provider_id: &str, minor: i64) -> Result<i64, Error> {
        let body = json!({"payment_intent": provider_id, "amount": minor});
        match self.send(self.post("/v1/refunds", key).json(&body)).await? {
            (StatusCode::OK, body) => Ok(read::<RefundAnswer>(&body)?.amount_refunded),
            (status, body) => Err(failure(status, &body)),
        }
    }

    async fn get(&self, provider_id: &str) -> Result<Snapshot, Error> {
        let path = format!("/v1/payment_intents/{provider_id}");
        self.intent(self.request(Method::GET, &path)).await
    }

    async fn find(&self, payment_id: &str) -> Result<Option<Snapshot>, Error> {
        let path = format!("/v1/payment_intents?payment_id={payment_id}&limit={FIND_LIMIT}");
        match self.send(self.request(Method::GET, &path)).await? {
            (StatusCode::OK, body) => match read::<Page>(&body)?.data.as_slice() {
                [] => Ok(None),
                [one] => one.snapshot().map(Some),
                _ => Err(Error::Refused {
                    code: "several_payments".to_owned(),
                    message: format!("several payments carry the payment id {payment_id}"),
                }),
            },
            (status, body) => Err(failure(status, &body)),
        }
    }
}

/// An intent in the provider's words.
#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    amount: i64,
    amount_received: i64,
    amount_refunded: i64,
    currency: String,
    status: Status,
    last_payment_error: Option<LastError>,
    next_action: Option<NextAction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    RequiresConfirmation,
    RequiresAction,
    RequiresPaymentMethod,
    RequiresCapture,
    Succeeded,
    Canceled,
}

#[derive(Debug, Deserialize)]
struct LastError {
    decline_code: Option<String>,
    code: String,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Redirect,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

#[derive(Debug, Deserialize)]
struct RefundAnswer {
    amount_refunded: i64,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Intent>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error: Problem,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    message: String,
    payment_intent: Option<Intent>,
}

impl Problem {
    fn refusal(self) -> Error {
        Error::Refused { code: self.code, message: self.message }
    }
}

impl Intent {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        let currency = Currency::from_code(&self.currency.to_ascii_uppercase())
            .map_err(|error| Error::Unknown(format!("illegible currency: {error}")))?;
        let seen = match self.status {
            Status::RequiresConfirmation => Observed::Created,
            Status::RequiresAction => Observed::RequiresAction,
            Status::RequiresPaymentMethod => Observed::Declined,
            Status::RequiresCapture => Observed::Authorized,
            Status::Succeeded if self.amount_refunded >= self.amount_received => Observed::Refunded,
            Status::Succeeded => Observed::Captured,
            Status::Canceled => Observed::Cancelled,
        };
        Ok(Snapshot {
            provider_id: self.id.clone(),
            seen,
            amount: Money { minor: self.amount, currency },
            captured: self.amount_received,
            refunded: self.amount_refunded,
            challenge_url: self.next_action.as_ref().map(|next| next.redirect_to_url.url.clone()),
            decline_code: self
                .last_payment_error
                .as_ref()
                .map(|error| error.decline_code.as_ref().unwrap_or(&error.code).clone()),
        })
    }
}

/// An answer that cannot be read tells nothing about what was done.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Unknown(format!("illegible answer: {error}")))
}

/// What an answer other than success means: their failures, time-outs, conflicts and limits (5xx,
/// 408, 409, 429) leave the outcome open, everything else is a definite refusal.
fn failure(status: StatusCode, body: &[u8]) -> Error {
    let open = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        );
    if open || !status.is_client_error() {
        return Error::Unknown(format!("HTTP {status}"));
    }
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => failure.error.refusal(),
        Err(_) => Error::Refused {
            code: format!("http_{}", status.as_u16()),
            message: "an answer without an error object".to_owned(),
        },
    }
}

/// The innermost cause: the outer ones only repeat that sending failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
