//! Calls over sockets, spread over the replicas of a service by their load.
//!
//! Of two replicas taken at random, the one with less to do gets the call ("power of two choices"; [`super::load`] says
//! what that is). Replicas that are away are not among them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use http::{Request, Response, Uri};
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;
use tower::balance::p2c::Balance;
use tower::discover::Change;

use super::connection::Failure;
use super::load::Measured;
use super::replica::Replicas;
use crate::error;
use crate::server::deadline;

/// The reason of a call that was certainly not served: it may be made again, whatever it does.
pub const UNREACHABLE: &str = "UNREACHABLE";
/// The reason of a call that broke on its way: it may have been served, and is repeated under the same request id.
pub const CONNECTION_LOST: &str = "CONNECTION_LOST";
/// How often a call is handed to a replica: once more if it was certainly not served.
const MAX_SENDS: usize = 2;
/// Calls to one service that wait for their answers to begin.
const MAX_UNANSWERED: usize = 16_384;
/// When to try again a service that could not be reached, or has no room.
const UNREACHABLE_RETRY: Duration = Duration::from_millis(250);

/// A service over sockets.
pub(super) struct Balancer {
    service: &'static str,
    replicas: Arc<Replicas>,
    balance: Mutex<Balance<Arrivals, Request<Body>>>,
    unanswered: Semaphore,
    resent: Counter,
    _stop: DropGuard,
}

impl Balancer {
    /// Connects to every address, and again when it went away, until the balancer is dropped.
    pub(super) fn new(service: &'static str, addresses: Vec<Uri>) -> Self {
        let stop = CancellationToken::new();
        let replicas = Replicas::keep(service, addresses, &stop);
        Self {
            service,
            balance: Mutex::new(Balance::new(Arrivals(Arc::clone(&replicas)))),
            replicas,
            unanswered: Semaphore::new(MAX_UNANSWERED),
            resent: counter!("grpc_client_resent_total", "service" => service),
            _stop: stop.drop_guard(),
        }
    }

    /// Makes one call, for as long as its deadline allows; what happens below gRPC becomes a status with a reason.
    pub(super) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let Ok(_place) = self.unanswered.try_acquire() else {
            let message = format!("too many calls to the {} service at once", self.service);
            let code = Code::ResourceExhausted;
            return Err(error::retriable(code, "OVERLOADED", message, UNREACHABLE_RETRY));
        };
        match deadline::of_headers(request.headers()) {
            Some(left) => match timeout(left, self.send(request)).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(deadline::exceeded()),
            },
            None => self.send(request).await,
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let mut request = Box::new(request);
        for _ in 0..MAX_SENDS {
            let under_way = match self.hand_over(request) {
                Ok(under_way) => under_way,
                Err(back) => {
                    if !self.replicas.find_one().await {
                        break;
                    }
                    match self.hand_over(back) {
                        Ok(under_way) => under_way,
                        Err(_) => break,
                    }
                }
            };
            match under_way.await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(Failure::Unserved(back))) => {
                    self.resent.increment(1);
                    request = back;
                }
                Ok(Err(Failure::Broken(error))) => {
                    tracing::debug!(service = self.service, ?error, "a call broke on its way");
                    let message = format!("the connection to the {} service broke", self.service);
                    return Err(error::unavailable(CONNECTION_LOST, message, UNREACHABLE_RETRY));
                }
                Err(error) => {
                    tracing::debug!(service = self.service, %error, "a call met no connection");
                    break;
                }
            }
        }
        let message = format!("the {} service cannot be reached", self.service);
        Err(error::unavailable(UNREACHABLE, message, UNREACHABLE_RETRY))
    }

    /// Gives the call to a replica; the call comes back when none is up.
    fn hand_over(&self, request: Box<Request<Body>>) -> Result<UnderWay, Box<Request<Body>>> {
        // Connections take calls or have ended, and arrivals are looked at with each call: nobody needs to be woken.
        let mut context = Context::from_waker(Waker::noop());
        let mut balance = self.balance.lock();
        match balance.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => Ok(balance.call(*request)),
            Poll::Ready(Err(_)) | Poll::Pending => Err(request),
        }
    }
}

/// A call that a replica has.
type UnderWay = <Balance<Arrivals, Request<Body>> as tower::Service<Request<Body>>>::Future;

/// The connections that came up, as the balancer takes them in. One that ended is left out by itself.
struct Arrivals(Arc<Replicas>);

impl Stream for Arrivals {
    type Item = Result<Change<usize, Measured>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((replica, connection)) = self.0.arrived() else { return Poll::Pending };
        Poll::Ready(Some(Ok(Change::Insert(replica, Measured::new(connection)))))
    }
}
