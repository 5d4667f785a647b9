//! The provider's durable ledger: every operation is one write that either happens whole, with its
//! answer remembered under its idempotency key, or not at all.

mod rows;

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use rusqlite::Connection;
use souk_mesh::store::{self, Store};
use uuid::Uuid;

use crate::error::{ApiError, decline_body};
use crate::intent::{Entry, Event, Intent, Status};
use crate::token::Token;
use crate::wire::{self, NewIntent};

/// How long an idempotency key is remembered at least, in milliseconds (Stripe: 24 hours).
pub const KEY_RETENTION_MS: i64 = 24 * 60 * 60 * 1_000;
/// Expired keys removed in one write, so that sweeping never holds payments up for long.
const SWEEP_BATCH: usize = 500;

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A statement failed.
    #[error("a statement failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// An answer could not be written as JSON.
    #[error("JSON failed: {0}")]
    Json(#[from] serde_json::Error),
}

/// An idempotency key and what it was sent with.
#[derive(Debug, Clone)]
pub struct Key {
    /// The `Idempotency-Key` header.
    pub name: String,
    /// A digest of path and body.
    pub fingerprint: Uuid,
}

/// What a client asks for; intents are named by their `pi_…` id, amounts are minor units.
#[derive(Debug)]
pub enum Operation {
    /// A new intent.
    Create(NewIntent),
    /// Ask the bank to hold the amount.
    Confirm(String),
    /// Take the held amount, or that much of it.
    Capture(String, Option<i64>),
    /// Give up before anything was captured.
    Cancel(String),
    /// Give back what was captured, or that much of it.
    Refund(String, Option<i64>),
}

/// How the answer is to be spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Close the connection instead of answering.
    DropReply,
    /// Answer late.
    Delay,
}

/// An answer that is durable by the time the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON.
    pub body: String,
    /// How the answer is to be spoiled; never set on a replay.
    pub fault: Option<Fault>,
}

/// The ledger.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    public_url: Arc<str>,
}

impl Ledger {
    /// Opens or creates the ledger's file; `public_url` is where customers reach challenge pages.
    pub fn open(file: &Path, public_url: &str) -> Result<Ledger, Error> {
        let store = Store::open(file, rows::MIGRATIONS)?;
        Ok(Ledger { store, public_url: public_url.into() })
    }

    /// Does `operation`, or gives the answer that its key already has.
    pub async fn execute(
        &self,
        key: Option<Key>,
        operation: Operation,
        now_ms: i64,
    ) -> Result<Answer, Error> {
        let url = self.public_url.clone();
        self.store
            .write(move |conn| {
                let Some(key) = key else {
                    return Ok(perform(conn, &url, operation, now_ms)?.answer);
                };
                match rows::remembered(conn, &key.name)? {
                    Some(known) if known.fingerprint != key.fingerprint => {
                        return Ok(Answer::refusal(&ApiError::key_reused()));
                    }
                    Some(known) => return Ok(known.answer),
                    None => {}
                }
                let done = perform(conn, &url, operation, now_ms)?;
                if done.definite {
                    rows::remember(conn, &key, &done.answer, now_ms)?;
                }
                Ok(done.answer)
            })
            .await
    }

    /// Decides an open challenge as the customer says.
    pub async fn resolve_challenge(
        &self,
        id: String,
        approve: bool,
        now_ms: i64,
    ) -> Result<Result<Intent, ApiError>, Error> {
        self.store
            .write(move |conn| {
                let Some(intent) = rows::intent(conn, &id)? else {
                    return Ok(Err(ApiError::missing(&id)));
                };
                let next = intent.after(Event::ChallengeResolved(approve), now_ms);
                if let Ok(next) = &next {
                    rows::update(conn, next)?;
                }
                Ok(next)
            })
            .await
    }

    /// The intent of that id.
    pub async fn intent(&self, id: String) -> Result<Option<Intent>, Error> {
        self.store.look_up(move |conn| Ok(rows::intent(conn, &id)?)).await
    }

    /// The intents of an order, a payment, or all, in the order of their creation, after the id
    /// `after`; at most `limit`.
    pub async fn intents(
        &self,
        filter: Filter,
        after: String,
        limit: usize,
    ) -> Result<Vec<Intent>, Error> {
        self.store.read(move |conn| Ok(rows::intents(conn, &filter, &after, limit)?)).await
    }

    /// Where customers reach this provider's pages.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Forgets keys older than [`KEY_RETENTION_MS`], in batches.
    pub async fn sweep(&self, now_ms: i64) -> Result<usize, Error> {
        let mut forgotten = 0;
        loop {
            let batch: usize = self
                .store
                .write(move |conn| {
                    Ok::<_, Error>(rows::forget(conn, now_ms - KEY_RETENTION_MS, SWEEP_BATCH)?)
                })
                .await?;
            forgotten += batch;
            if batch < SWEEP_BATCH {
                return Ok(forgotten);
            }
        }
    }
}

/// Which intents to list.
#[derive(Debug, Clone)]
pub enum Filter {
    /// All of them.
    All,
    /// Those whose `metadata.order_id` is this.
    Order(String),
    /// Those whose `metadata.payment_id` is this.
    Payment(String),
}

impl Answer {
    fn ok(body: String) -> Answer {
        Answer { status: StatusCode::OK, body, fault: None }
    }

    fn refusal(error: &ApiError) -> Answer {
        Answer { status: error.status, body: error.body(), fault: None }
    }
}

/// An answer, and whether it stands for good.
struct Done {
    answer: Answer,
    definite: bool,
}

fn perform(conn: &Connection, url: &str, operation: Operation, now_ms: i64) -> Result<Done, Error> {
    let (id, event) = match operation {
        Operation::Create(new) => return create(conn, url, new, now_ms),
        Operation::Confirm(id) => (id, Step::Confirm),
        Operation::Capture(id, amount) => (id, Step::Capture(amount)),
        Operation::Cancel(id) => (id, Step::Cancel),
        Operation::Refund(id, amount) => (id, Step::Refund(amount)),
    };
    let Some(intent) = rows::intent(conn, &id)? else {
        return Ok(Done { answer: Answer::refusal(&ApiError::missing(&id)), definite: false });
    };
    if intent.token == Token::RefundFailsOnce
        && matches!(event, Step::Refund(_))
        && rows::spend_refund_fault(conn, &id)?
    {
        return Ok(Done { answer: Answer::refusal(&ApiError::internal()), definite: false });
    }
    match intent.after(event.on(&intent), now_ms) {
        Err(refusal) => Ok(Done { answer: Answer::refusal(&refusal), definite: true }),
        Ok(next) => {
            rows::update(conn, &next)?;
            let mut answer = answer_of(event, &intent, &next, url)?;
            answer.fault = fault(next.token, event);
            Ok(Done { answer, definite: true })
        }
    }
}

/// An operation on an existing intent, its amount perhaps left to the provider.
#[derive(Clone, Copy)]
enum Step {
    Confirm,
    Capture(Option<i64>),
    Cancel,
    Refund(Option<i64>),
}

impl Step {
    fn on(self, intent: &Intent) -> Event {
        match self {
            Step::Confirm => Event::Confirm,
            Step::Capture(amount) => Event::Capture(amount.unwrap_or(intent.amount)),
            Step::Cancel => Event::Cancel,
            Step::Refund(amount) => Event::Refund(amount.unwrap_or(intent.refundable())),
        }
    }
}

fn create(conn: &Connection, url: &str, new: NewIntent, now_ms: i64) -> Result<Done, Error> {
    let intent = Intent {
        id: format!("pi_{}", Uuid::now_v7().simple()),
        order_id: new.metadata.order_id,
        payment_id: new.metadata.payment_id,
        amount: new.amount,
        currency: new.currency,
        token: new.token,
        status: Status::RequiresConfirmation,
        captured: 0,
        refunded: 0,
        decline: None,
        created_ms: now_ms,
        entries: vec![Entry { kind: "created".to_owned(), amount: new.amount, at_ms: now_ms }],
    };
    rows::insert(conn, &intent)?;
    let body = serde_json::to_string(&wire::intent(&intent, url))?;
    Ok(Done { answer: Answer::ok(body), definite: true })
}

fn answer_of(step: Step, before: &Intent, after: &Intent, url: &str) -> Result<Answer, Error> {
    if let (Status::RequiresPaymentMethod, Some(decline)) = (after.status, after.decline) {
        let body = decline_body(decline, after);
        return Ok(Answer { status: StatusCode::PAYMENT_REQUIRED, body, fault: None });
    }
    let body = match step {
        Step::Refund(_) => serde_json::to_string(&wire::RefundView {
            id: format!("re_{}", Uuid::now_v7().simple()),
            object: "refund",
            amount: after.refunded - before.refunded,
            currency: &after.currency,
            payment_intent: &after.id,
            amount_refunded: after.refunded,
            status: "succeeded",
        })?,
        Step::Confirm | Step::Capture(_) | Step::Cancel => {
            serde_json::to_string(&wire::intent(after, url))?
        }
    };
    Ok(Answer::ok(body))
}

fn fault(token: Token, step: Step) -> Option<Fault> {
    match (token, step) {
        (Token::ChargeThenDropReply, Step::Confirm | Step::Capture(_)) => Some(Fault::DropReply),
        (Token::Slow, Step::Confirm) => Some(Fault::Delay),
        _ => None,
    }
}
