//! The stack itself: the order in which a call meets everything else in this folder.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::body::{Held, hand_out};
use super::method::Method;
use super::metrics::Observed;
use super::overload::{Admission, Limits};
use super::{access, authenticate, deadline, details, trace};
use crate::client::InProcess;
use crate::clock::SharedClock;
use crate::context::CallContext;
use crate::error;
use crate::identity::Keys;
use crate::telemetry;

/// What every server of a process shares; put around a service's routes, it makes them a [`Stacked`] service.
#[derive(Clone)]
pub struct ServerStack {
    shared: Arc<Shared>,
}

struct Shared {
    keys: Arc<Keys>,
    clock: SharedClock,
    drain: CancellationToken,
    limits: Limits,
}

impl ServerStack {
    /// A stack that believes tokens of `keys`. When `drain` is cancelled, open streams end, so that their clients go
    /// on elsewhere.
    #[must_use]
    pub fn new(
        keys: Arc<Keys>,
        clock: SharedClock,
        drain: CancellationToken,
        limits: Limits,
    ) -> Self {
        telemetry::install_recorder();
        Method::prepare();
        Self { shared: Arc::new(Shared { keys, clock, drain, limits }) }
    }

    /// Cancelled when the process drains.
    #[must_use]
    pub fn drain(&self) -> CancellationToken {
        self.shared.drain.clone()
    }

    /// Puts the stack around a service, with its own count of calls.
    #[must_use]
    pub fn wrap(&self, routes: Routes) -> Stacked {
        Stacked {
            shared: Arc::clone(&self.shared),
            admission: Arc::new(Admission::new(self.shared.limits)),
            routes: routes.prepare(),
        }
    }
}

impl Layer<Routes> for ServerStack {
    type Service = Stacked;

    fn layer(&self, routes: Routes) -> Stacked {
        self.wrap(routes)
    }
}

/// A service behind its server stack. Clones are the same service.
#[derive(Clone)]
pub struct Stacked {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    routes: Routes,
}

/// A call being served. It never fails: errors are answers.
pub type StackedFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Body>> for Stacked {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = StackedFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> StackedFuture {
        let method = Method::of(request.uri().path());
        let in_process = request.extensions_mut().remove::<InProcess>();
        let (trace, span) = trace::begin(method, request.headers(), in_process.as_ref());
        let carried = in_process.as_ref().and_then(|call| call.deadline);
        let deadline = deadline::of_call(method, request.headers(), carried);
        let context = CallContext { trace, deadline };
        let observed = Observed::begin(method);
        let mut stacked = self.clone();
        let scoped_span = span.clone();
        let work = context.scope(async move {
            let (response, permit) = match stacked.admit(method, in_process, &mut request) {
                Ok(permit) => (stacked.serve(request, deadline).await, Some(permit)),
                Err(status) => (status.into_http(), None),
            };
            let response = details::complete(method, response);
            let (drain, streaming) = (stacked.shared.drain.clone(), method.streaming);
            Ok(hand_out(response, Held { observed, permit, context, span, drain, streaming }))
        });
        if scoped_span.is_none() { Box::pin(work) } else { Box::pin(work.instrument(scoped_span)) }
    }
}

impl Stacked {
    /// Whether the call may go on to its handler: a place for it, and its caller in the request's extensions.
    fn admit(
        &self,
        method: &Method,
        in_process: Option<InProcess>,
        request: &mut Request<Body>,
    ) -> Result<OwnedSemaphorePermit, Status> {
        let permit = self.admission.enter(method)?;
        let (verifier, clock) = (&self.shared.keys.verifier, self.shared.clock.as_ref());
        let caller = authenticate::caller(request.headers(), in_process.as_ref(), verifier, clock)?;
        access::check(method, &caller)?;
        request.extensions_mut().insert(caller);
        Ok(permit)
    }

    /// Runs the handler, for as long as its caller waits.
    async fn serve(&mut self, request: Request<Body>, deadline: Option<Instant>) -> Response<Body> {
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return deadline::exceeded().into_http();
        }
        // Inside the caught part, because a router's synchronous part may panic as well.
        let handled = AssertUnwindSafe(async { self.routes.call(request).await }).catch_unwind();
        let outcome = match deadline {
            Some(at) => timeout_at(at, handled).await,
            None => Ok(handled.await),
        };
        match outcome {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => panicked(panic.as_ref()).into_http(),
            Err(_elapsed) => deadline::exceeded().into_http(),
        }
    }
}

/// The answer to a call whose handler panicked: its message goes to the log, not to the caller.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Status {
    tracing::error!(panic = crate::panic::message(panic), "a handler panicked");
    error::status(Code::Internal, "INTERNAL_ERROR", "something went wrong here")
}
