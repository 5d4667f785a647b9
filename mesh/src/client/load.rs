//! How much a replica has to do, in the balancer's eyes.
//!
//! That is its calls under way times the peak-sensitive moving average of how long it took to answer (Peak EWMA, as in
//! Finagle). But a replica that refuses at once is the fastest of all, and would draw every call to itself: so one that has
//! just said "try later" comes after all that have not.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;
use tower::load::completion::{TrackCompletion, TrackCompletionFuture};
use tower::load::peak_ewma::{Cost, Handle};
use tower::load::{Load, PeakEwma};

use super::connection::{Answer, Connection, Ended};

/// How long a replica is taken to need for an answer before it has given one: long enough that a new one does not get
/// every call at once, short enough that it gets some.
const FIRST_ESTIMATE: Duration = Duration::from_millis(5);
/// In which time an estimate comes down to what is measured, by a factor of e.
const DECAY: Duration = Duration::from_secs(2);
/// For how long a refusal counts: what this shop's refusals ask their callers to wait.
const REFUSAL: Duration = Duration::from_millis(250);

/// A connection whose load is known.
pub(super) struct Measured {
    connection: PeakEwma<Connection, Refusals>,
    refusals: Refusals,
}

impl Measured {
    pub(super) fn new(connection: Connection) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "two seconds in nanoseconds fit")]
        let decay_ns = DECAY.as_nanos() as f64;
        let refusals = Refusals::default();
        let connection = PeakEwma::new(connection, FIRST_ESTIMATE, decay_ns, refusals.clone());
        Self { connection, refusals }
    }
}

impl Load for Measured {
    /// Whether it refuses calls, and what it has to do.
    type Metric = (bool, Cost);

    fn load(&self) -> (bool, Cost) {
        (self.refusals.are_recent(), self.connection.load())
    }
}

impl Service<Request<Body>> for Measured {
    type Response = Answer;
    type Error = Ended;
    type Future =
        TrackCompletionFuture<<Connection as Service<Request<Body>>>::Future, Refusals, Handle>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.connection.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.connection.call(request)
    }
}

/// When a replica has last refused a call.
#[derive(Clone, Default)]
pub(super) struct Refusals {
    last: Arc<Mutex<Option<Instant>>>,
}

impl Refusals {
    fn are_recent(&self) -> bool {
        self.last.lock().is_some_and(|last| last.elapsed() < REFUSAL)
    }
}

impl TrackCompletion<Handle, Answer> for Refusals {
    type Output = Answer;

    fn track_completion(&self, _ends_here: Handle, answer: Answer) -> Answer {
        if is_refusal(&answer) {
            *self.last.lock() = Some(Instant::now());
        }
        answer
    }
}

/// Whether nothing was done: no room, not there, or no gRPC at all.
fn is_refusal(answer: &Answer) -> bool {
    let Ok(response) = answer else { return true };
    let code = response.headers().get(Status::GRPC_STATUS);
    let code = code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    response.status() != StatusCode::OK
        || matches!(code, Code::ResourceExhausted | Code::Unavailable)
}
