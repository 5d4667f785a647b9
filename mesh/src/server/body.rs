//! The answer's body on its way out: what a stream may still meet after its handler returned, and the call's end.

use std::future::Future as _;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::metrics::Observed;
use super::{deadline, stack};
use crate::context::CallContext;
use crate::error;

/// When a client of a draining server should go on elsewhere: at once, by another connection.
const DRAINED_RETRY: Duration = Duration::from_millis(50);

/// What a call holds until its last byte is handed over.
pub(super) struct Held {
    pub(super) observed: Observed,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) context: CallContext,
    pub(super) span: Span,
    pub(super) drain: CancellationToken,
    pub(super) streaming: bool,
}

/// Hands the call's answer out: an answer without a body ends the call here, any other when its body does.
pub(super) fn hand_out(response: Response<Body>, mut held: Held) -> Response<Body> {
    if let Some(code) = code_in(response.headers()) {
        held.observed.end(code);
        return response;
    }
    response.map(|inner| {
        let ends = held.streaming.then(|| {
            let deadline = held.context.deadline.map(|at| Box::pin(sleep_until(at)));
            Ends { drained: Box::pin(held.drain.clone().cancelled_owned()), deadline }
        });
        if !held.streaming {
            // A unary answer is complete: its place is free for the next call.
            held.permit = None;
        }
        Body::new(Outgoing { inner, held, ends, done: false })
    })
}

/// What ends a stream from outside.
struct Ends {
    drained: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Ends {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(deadline::exceeded());
        }
        self.drained.as_mut().poll(cx).map(|()| {
            let message = "this server is going away: resume the stream elsewhere";
            error::unavailable("DRAINING", message, DRAINED_RETRY)
        })
    }
}

struct Outgoing {
    inner: Body,
    held: Held,
    ends: Option<Ends>,
    done: bool,
}

impl Outgoing {
    /// Ends the answer with this status.
    fn finish(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.done = true;
        self.inner = Body::empty();
        self.held.observed.end(status.code());
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        // First, so that a stream which always has something ready ends as well.
        if let Some(Poll::Ready(status)) = this.ends.as_mut().map(|ends| ends.poll(cx)) {
            return this.finish(&status);
        }
        let (context, span, inner) = (this.held.context, &this.held.span, &mut this.inner);
        let polled = panic::catch_unwind(AssertUnwindSafe(|| {
            span.in_scope(|| context.sync_scope(|| Pin::new(inner).poll_frame(cx)))
        }));
        let frame = match polled {
            Ok(frame) => frame,
            Err(panic) => return this.finish(&stack::panicked(panic.as_ref())),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    this.held.observed.end(code);
                }
            }
            Poll::Ready(Some(Err(status))) => this.held.observed.end(status.code()),
            Poll::Ready(None) => this.held.observed.end(Code::Unknown),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The code in headers or trailers, if they have one.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
