//! Around the service of a node: what means a run of another node is passed on to that node.
//!
//! The node that a client has called waits while a partition moves, for as long as the client does, and asks again
//! whoever serves it then: a move is latency and nothing else. A node that is asked by another one waits for nothing: it
//! serves the request, or passes it on if it knows better who does, or refuses it, and the first node looks again. Nothing
//! goes round in circles: each request counts how often it was passed on.
//!
//! Requests go on as the bytes that they came in, with their caller, trace and what is left of their deadline. A stream is
//! handed out as it comes; when its run moves away, it ends with UNAVAILABLE `NOT_OWNER` and `RetryInfo`, and its client
//! resumes it, anywhere.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use souk_mesh::client::{CONNECTION_LOST, UNREACHABLE};
use souk_mesh::context::CallContext;
use souk_mesh::error::{reason_of, status, unavailable};
use souk_mesh::identity::Caller;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::named::{self, Names};
use super::nodes::Nodes;
use super::owners::{Owners, Whose};
use crate::error::NOT_OWNER;

/// How often a request was passed on.
pub const FORWARDS_HEADER: &str = "souk-forwards";
/// How often it may be: the node that a client calls may know an owner that was, and that one knows the next.
pub const MAX_FORWARDS: u32 = 2;
/// The pause before the owner is looked for again, the first time; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a stream, which has no deadline of its own, is kept waiting for an owner.
const STREAM_PATIENCE: Duration = Duration::from_secs(20);
/// What is left of a deadline when waiting ends: enough for the answer to arrive.
const ANSWER_TIME: Duration = Duration::from_millis(100);
/// The largest request that the service takes: tonic's bound, and what stands before the message.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024 + 5;

const FORWARDS: HeaderName = HeaderName::from_static(FORWARDS_HEADER);

/// A service whose requests reach the node that serves them. Clones are the same.
#[derive(Clone)]
pub struct Routed<S> {
    inner: S,
    owners: Arc<dyn Owners>,
    nodes: Nodes,
}

impl<S> Routed<S> {
    /// Around `inner`, which serves what is this node's.
    #[must_use]
    pub fn new(inner: S, owners: impl Owners, nodes: Nodes) -> Self {
        Self { inner, owners: Arc::new(owners), nodes }
    }
}

impl<S: NamedService> NamedService for Routed<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Routed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(names) = named::of(request.uri().path()) else {
            return Box::pin(self.inner.clone().oneshot(request));
        };
        let routed = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let message = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
                Ok(message) => message.to_bytes(),
                Err(error) => return Ok(unread(&*error).into_http()),
            };
            let Some(workflow_id) = names.workflow_id(message.clone()) else {
                return routed.inner.oneshot(whole(&parts, &message)).await;
            };
            Ok(Call { parts, message, names, workflow_id }.answer(&routed).await)
        })
    }
}

/// A request about one run.
struct Call {
    parts: Parts,
    message: Bytes,
    names: Names,
    workflow_id: String,
}

/// What came of one try.
enum Tried {
    Answered(Response<Body>),
    /// Nothing was done, or it may be done again: it is tried again soon.
    NotNow,
}

impl Call {
    async fn answer<S>(&self, routed: &Routed<S>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let forwards = forwards(&self.parts.headers);
        let end = CallContext::current().and_then(|context| context.deadline);
        let end = end.map_or_else(|| Instant::now() + STREAM_PATIENCE, |end| end - ANSWER_TIME);
        let mut pause = FIRST_PAUSE;
        loop {
            let tried = match routed.owners.whose(&self.workflow_id) {
                Whose::Here => {
                    let served = routed.inner.clone().oneshot(whole(&self.parts, &self.message));
                    match served.await {
                        Ok(answer) if is_not_owner(&answer) => Tried::NotNow,
                        Ok(answer) => Tried::Answered(answer),
                        Err(never) => match never {},
                    }
                }
                Whose::At(address) if forwards < MAX_FORWARDS => {
                    self.forward(&routed.nodes, &address, forwards + 1).await
                }
                Whose::At(_) | Whose::Moving => Tried::NotNow,
            };
            match tried {
                Tried::Answered(answer) => return answer,
                Tried::NotNow if forwards > 0 || Instant::now() + pause >= end => {
                    return not_owner().into_http();
                }
                Tried::NotNow => {
                    metrics::counter!("souk_workflow_owner_waits_total").increment(1);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn forward(&self, nodes: &Nodes, address: &http::Uri, forwards: u32) -> Tried {
        let mut request = whole(&self.parts, &self.message);
        // The stack of this node has said who calls. The next one finds out for itself.
        let caller = request.extensions_mut().remove::<Caller>();
        let caller = caller.unwrap_or_else(Caller::anonymous);
        request.headers_mut().insert(FORWARDS, HeaderValue::from(forwards));
        let has_token = request.headers().contains_key(AUTHORIZATION);
        metrics::counter!("souk_workflow_forwarded_total").increment(1);
        match nodes.channel_for(address, &caller, has_token).call(request).await {
            Ok(answer) if is_not_owner(&answer) => Tried::NotNow,
            Ok(answer) => Tried::Answered(answer),
            Err(error) if self.may_try_again(&error) => {
                tracing::debug!(workflow_id = self.workflow_id, %address, %error,
                    "a request could not be passed on; it is tried again");
                Tried::NotNow
            }
            Err(error) => Tried::Answered(error.into_http()),
        }
    }

    /// Whether the request has not left, or may be served twice.
    fn may_try_again(&self, error: &Status) -> bool {
        match reason_of(error).as_deref() {
            Some(UNREACHABLE) => true,
            Some(CONNECTION_LOST) => self.names.is_repeatable,
            _ => false,
        }
    }
}

fn whole(parts: &Parts, message: &Bytes) -> Request<Body> {
    Request::from_parts(parts.clone(), Body::new(Full::new(message.clone())))
}

/// How often a request was passed on already. Whoever sends what is no number has it passed on no more.
fn forwards(headers: &HeaderMap) -> u32 {
    let header = headers.get(FORWARDS);
    header.map_or(0, |value| {
        value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(MAX_FORWARDS)
    })
}

/// Whether a node says that it does not serve the run: nothing was done.
fn is_not_owner(answer: &Response<Body>) -> bool {
    let status = Status::from_header_map(answer.headers());
    status.is_some_and(|status| {
        status.code() == Code::Unavailable && reason_of(&status).as_deref() == Some(NOT_OWNER)
    })
}

fn not_owner() -> Status {
    unavailable(NOT_OWNER, "the run is on its way to another node; ask again", LONGEST_PAUSE)
}

fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Status {
    if error.is::<LengthLimitError>() {
        let message = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
        return status(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message);
    }
    tracing::debug!(%error, "a request ended before it was whole");
    status(Code::Cancelled, "CANCELLED", "the request ended before it was whole")
}
