//! The HTTP API: paths, headers and bodies into ledger operations, and answers back.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use souk_mesh::clock::SharedClock;
use uuid::Uuid;

use crate::challenge;
use crate::connection::HangUp;
use crate::error::ApiError;
use crate::ledger::{self, Answer, Fault, Filter, Key, Ledger, Operation};
use crate::wire::{self, CaptureBody, CreateBody, NoBody, Page, RefundBody};

/// The largest request body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// The longest idempotency key, in bytes (as Stripe's).
const MAX_KEY_BYTES: usize = 255;
/// Items of a page when the client does not say (as Stripe's).
const DEFAULT_PAGE: usize = 10;
/// The most items of a page.
const MAX_PAGE: usize = 1_000;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// The durable state.
    pub ledger: Ledger,
    /// Time for entries and keys.
    pub clock: SharedClock,
    /// How late `tok_slow` answers.
    pub slow: Duration,
}

type Reply = Response<Body>;

/// The routes of the API.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/payment_intents", post(create).get(list))
        .route("/v1/payment_intents/{id}", get(read))
        .route("/v1/payment_intents/{id}/{action}", post(act))
        .route("/v1/refunds", post(refund))
        .route("/v1/ledger", get(ledger_page))
        .route("/challenge/{id}", get(show_challenge).post(resolve_challenge))
        .route("/health", get(|| async { "ok" }))
        .fallback(|| async { refusal(&ApiError::no_route()) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

async fn create(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Reply {
    let operation = parse::<CreateBody>(&body).and_then(CreateBody::checked).map(Operation::Create);
    run(&app, &headers, "create", &body, operation).await
}

async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let path = format!("{action}/{id}");
    let operation = match action.as_str() {
        "confirm" => parse::<NoBody>(&body).map(|_| Operation::Confirm(id)),
        "cancel" => parse::<NoBody>(&body).map(|_| Operation::Cancel(id)),
        "capture" => parse::<CaptureBody>(&body)
            .map(|capture| Operation::Capture(id, capture.amount_to_capture)),
        _ => Err(ApiError::no_route()),
    };
    run(&app, &headers, &path, &body, operation).await
}

async fn refund(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Reply {
    let operation = parse::<RefundBody>(&body)
        .map(|refund| Operation::Refund(refund.payment_intent, refund.amount));
    run(&app, &headers, "refund", &body, operation).await
}

/// Runs an operation and spoils the answer as its token wants.
async fn run(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    body: &Bytes,
    operation: Result<Operation, ApiError>,
) -> Reply {
    let checked = operation.and_then(|operation| Ok((operation, key_of(headers, path, body)?)));
    let (operation, key) = match checked {
        Ok(checked) => checked,
        Err(error) => return refusal(&error),
    };
    match app.ledger.execute(key, operation, app.clock.now_ms()).await {
        Ok(Answer { fault: Some(Fault::DropReply), .. }) => HangUp::reply(),
        Ok(answer) => {
            if answer.fault == Some(Fault::Delay) {
                tokio::time::sleep(app.slow).await;
            }
            json(answer.status, answer.body)
        }
        Err(error) => broken(&error),
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ApiError::parameter(error.to_string()))
}

fn key_of(headers: &HeaderMap, path: &str, body: &Bytes) -> Result<Option<Key>, ApiError> {
    let Some(name) = headers.get("idempotency-key") else { return Ok(None) };
    let name = name.to_str().ok().filter(|name| (1..=MAX_KEY_BYTES).contains(&name.len()));
    let Some(name) = name else {
        return Err(ApiError::parameter("the idempotency key must be 1 to 255 ASCII characters."));
    };
    let mut request = Vec::with_capacity(path.len() + 1 + body.len());
    request.extend_from_slice(path.as_bytes());
    request.push(b'\n');
    request.extend_from_slice(body);
    let fingerprint = Uuid::new_v5(&Uuid::NAMESPACE_URL, &request);
    Ok(Some(Key { name: name.to_owned(), fingerprint }))
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Reply {
    match app.ledger.intent(id.clone()).await {
        Ok(Some(intent)) => view(&wire::intent(&intent, app.ledger.public_url())),
        Ok(None) => refusal(&ApiError::missing(&id)),
        Err(error) => broken(&error),
    }
}

/// Query of the lists.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    order_id: Option<String>,
    payment_id: Option<String>,
    starting_after: String,
    limit: Option<usize>,
}

impl ListQuery {
    fn limit(&self) -> Result<usize, ApiError> {
        match self.limit {
            None => Ok(DEFAULT_PAGE),
            Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(ApiError::parameter(format!("limit must be 1 to {MAX_PAGE}."))),
        }
    }

    fn filter(&self) -> Result<Filter, ApiError> {
        match (&self.order_id, &self.payment_id) {
            (None, None) => Ok(Filter::All),
            (Some(order), None) => Ok(Filter::Order(order.clone())),
            (None, Some(payment)) => Ok(Filter::Payment(payment.clone())),
            (Some(_), Some(_)) => {
                Err(ApiError::parameter("give order_id or payment_id, not both."))
            }
        }
    }
}

type Listing = Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>;

async fn list(State(app): State<App>, query: Listing) -> Reply {
    let intents = match listed(&app, query).await {
        Ok(intents) => intents,
        Err(reply) => return *reply,
    };
    let url = app.ledger.public_url();
    page(intents.0.iter().map(|intent| wire::intent(intent, url)).collect::<Vec<_>>(), intents.1)
}

async fn ledger_page(State(app): State<App>, query: Listing) -> Reply {
    let intents = match listed(&app, query).await {
        Ok(intents) => intents,
        Err(reply) => return *reply,
    };
    page(intents.0.iter().map(wire::ledger_line).collect::<Vec<_>>(), intents.1)
}

/// A page of intents, and whether more follow.
async fn listed(
    app: &App,
    query: Listing,
) -> Result<(Vec<crate::intent::Intent>, bool), Box<Reply>> {
    let refuse = |error: ApiError| Box::new(refusal(&error));
    let Query(query) = query.map_err(|error| refuse(ApiError::parameter(error.body_text())))?;
    let limit = query.limit().map_err(refuse)?;
    let filter = query.filter().map_err(refuse)?;
    let mut intents = app
        .ledger
        .intents(filter, query.starting_after, limit + 1)
        .await
        .map_err(|error| Box::new(broken(&error)))?;
    let has_more = intents.len() > limit;
    intents.truncate(limit);
    Ok((intents, has_more))
}

async fn show_challenge(State(app): State<App>, Path(id): Path<String>) -> Reply {
    match app.ledger.intent(id).await {
        Ok(Some(intent)) => html(StatusCode::OK, challenge::page(&intent)),
        Ok(None) => html(StatusCode::NOT_FOUND, challenge::missing()),
        Err(error) => broken(&error),
    }
}

/// The customer's decision.
#[derive(Debug, Deserialize)]
struct DecisionQuery {
    decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Decline,
}

async fn resolve_challenge(
    State(app): State<App>,
    Path(id): Path<String>,
    query: Result<Query<DecisionQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply {
    let Ok(Query(DecisionQuery { decision })) = query else {
        return refusal(&ApiError::parameter("decision must be approve or decline."));
    };
    let approve = decision == Decision::Approve;
    match app.ledger.resolve_challenge(id.clone(), approve, app.clock.now_ms()).await {
        Ok(Ok(intent)) => html(StatusCode::OK, challenge::page(&intent)),
        // Decided before, perhaps by a second click: the page shows how it stands.
        Ok(Err(_)) => show_challenge(State(app), Path(id)).await,
        Err(error) => broken(&error),
    }
}

fn page<T: serde::Serialize>(data: Vec<T>, has_more: bool) -> Reply {
    view(&Page { object: "list", data, has_more })
}

fn view(value: &impl serde::Serialize) -> Reply {
    match serde_json::to_string(value) {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => broken(&ledger::Error::Json(error)),
    }
}

fn refusal(error: &ApiError) -> Reply {
    json(error.status, error.body())
}

fn broken(error: &ledger::Error) -> Reply {
    tracing::error!(%error, "the ledger failed");
    refusal(&ApiError::internal())
}

fn json(status: StatusCode, body: String) -> Reply {
    reply(status, HeaderValue::from_static("application/json"), body)
}

fn html(status: StatusCode, body: String) -> Reply {
    reply(status, HeaderValue::from_static("text/html; charset=utf-8"), body)
}

fn reply(status: StatusCode, content_type: HeaderValue, body: String) -> Reply {
    let mut reply = Response::new(Body::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}
