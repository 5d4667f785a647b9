//! The way to one service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::directory::{Slot, Target};
use super::outgoing::{self, Identity};
use crate::error;
use crate::server::StackedFuture;

/// When to try a service again that is not bound: it starts with the process.
const NOT_BOUND_RETRY: Duration = Duration::from_millis(250);

/// The way to one service, for generated clients: `CatalogServiceClient::new(channel)`.
///
/// Every call carries the running call's trace, what is left of its deadline, and the identity of the service that
/// makes it.
#[derive(Clone)]
pub struct Channel {
    slot: Arc<Slot>,
    identity: Option<Arc<Identity>>,
}

impl Channel {
    pub(super) fn new(slot: Arc<Slot>, identity: Option<Arc<Identity>>) -> Self {
        Self { slot, identity }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = ChannelFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ChannelFuture {
        let target = self.slot.target.read().clone();
        ChannelFuture(match target {
            None => Kind::Failed(Some(not_bound(self.slot.service))),
            Some(Target::Local(mut stacked)) => {
                outgoing::attach_local(&mut request, self.identity.as_deref());
                Kind::Local(stacked.call(request))
            }
            Some(Target::Remote(balancer)) => {
                match outgoing::attach_remote(&mut request, self.identity.as_deref()) {
                    Ok(()) => Kind::Remote(Box::pin(async move { balancer.call(request).await })),
                    Err(status) => Kind::Failed(Some(status)),
                }
            }
        })
    }
}

fn not_bound(service: &str) -> Status {
    let message = format!("the {service} service is not running yet");
    error::unavailable("NOT_BOUND", message, NOT_BOUND_RETRY)
}

/// A call under way.
pub struct ChannelFuture(Kind);

type Answer = Result<Response<Body>, Status>;

enum Kind {
    Local(StackedFuture),
    Remote(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Failed(Option<Status>),
}

impl Future for ChannelFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            Kind::Local(future) => future.as_mut().poll(cx).map(|Ok(response)| Ok(response)),
            Kind::Remote(future) => future.as_mut().poll(cx),
            Kind::Failed(status) => {
                Poll::Ready(Err(status.take().expect("not polled after it was ready")))
            }
        }
    }
}
