//! A request of which a copy is kept until it is answered, so that one which a server refused to take can go elsewhere.
//!
//! Copies cost little: the parts of a body are shared, not copied. Large ones are not kept.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

/// The largest body that is kept, in bytes: beyond it a refused call is a broken one.
const MAX_KEPT_BYTES: usize = 256 * 1_024;

/// What is needed to make the request again.
pub(super) struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Arc<Mutex<Recorded>>,
}

/// A body, and what was read from it.
struct Recorded {
    rest: Body,
    read: Vec<Bytes>,
    read_bytes: usize,
    /// Whether `read` is all that was read.
    is_whole: bool,
    /// Who reads: the copy that was made last.
    reader: usize,
}

/// Keeps a copy of the request, which is sent as it is.
pub(super) fn keep(request: Request<Body>) -> (Request<Body>, Copy) {
    let (parts, rest) = request.into_parts();
    let recorded = Recorded { rest, read: Vec::new(), read_bytes: 0, is_whole: true, reader: 0 };
    let body = Arc::new(Mutex::new(recorded));
    let copy = Copy {
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        headers: parts.headers.clone(),
        body: Arc::clone(&body),
    };
    (Request::from_parts(parts, Body::new(Reading { body, reader: 0, position: 0 })), copy)
}

impl Copy {
    /// The request once more, from its beginning; nothing if it was too large to be kept, or has failed itself.
    pub(super) fn into_request(self) -> Option<Request<Body>> {
        let reader = {
            let mut recorded = self.body.lock();
            if !recorded.is_whole {
                return None;
            }
            recorded.reader += 1;
            recorded.reader
        };
        let body = Body::new(Reading { body: self.body, reader, position: 0 });
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}

/// The body of a request of which a copy is kept.
struct Reading {
    body: Arc<Mutex<Recorded>>,
    reader: usize,
    position: usize,
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let mut recorded = this.body.lock();
        if recorded.reader != this.reader {
            return Poll::Ready(Some(Err(Status::cancelled("the call is made elsewhere"))));
        }
        if let Some(bytes) = recorded.read.get(this.position).cloned() {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let frame = ready!(Pin::new(&mut recorded.rest).poll_frame(context));
        if let Some(frame) = &frame {
            recorded.record(frame.as_ref().ok().and_then(Frame::data_ref));
            this.position += 1;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let recorded = self.body.lock();
        self.position >= recorded.read.len() && recorded.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let recorded = self.body.lock();
        let ahead = recorded.read.iter().skip(self.position).map(|bytes| bytes.len() as u64);
        let (ahead, rest) = (ahead.sum::<u64>(), recorded.rest.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(ahead)) {
            hint.set_upper(upper);
            hint.set_lower((rest.lower() + ahead).min(upper));
        }
        hint
    }
}

impl Recorded {
    /// Remembers what was read; what is no data, or too much of it, cannot be read again.
    fn record(&mut self, bytes: Option<&Bytes>) {
        let fits = bytes.filter(|bytes| self.read_bytes + bytes.len() <= MAX_KEPT_BYTES);
        match fits {
            Some(bytes) if self.is_whole => {
                self.read_bytes += bytes.len();
                self.read.push(bytes.clone());
            }
            _ => {
                self.is_whole = false;
                self.read = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::poll_fn;

    use super::*;

    /// A body of these parts.
    struct Parts(Vec<&'static [u8]>);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|part| Ok(Frame::data(Bytes::from_static(part)))))
        }
    }

    fn kept(parts: Vec<&'static [u8]>) -> (Request<Body>, Copy) {
        let mut request =
            Request::post("/souk.Service/Method").body(Body::new(Parts(parts))).unwrap();
        request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
        keep(request)
    }

    fn next(request: &mut Request<Body>) -> Option<Result<Bytes, Status>> {
        let frame = block_on(poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)));
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    fn all(mut request: Request<Body>) -> Vec<u8> {
        let parts = std::iter::from_fn(|| next(&mut request));
        parts.flat_map(|part| part.unwrap()).collect()
    }

    #[test]
    fn a_request_that_was_read_in_part_is_made_again_whole() {
        let (mut request, copy) = kept(vec![b"one ", b"two ", b"three"]);
        assert_eq!(next(&mut request).unwrap().unwrap(), "one ");
        assert_eq!(next(&mut request).unwrap().unwrap(), "two ");
        let again = copy.into_request().unwrap();
        assert_eq!((again.method(), again.uri().path()), (&Method::POST, "/souk.Service/Method"));
        assert_eq!(again.headers()["grpc-timeout"], "1S");
        assert_eq!(again.body().size_hint().lower(), 0, "how long the rest is nobody knows");
        assert!(next(&mut request).unwrap().is_err(), "nobody else reads any more");
        assert_eq!(all(again), b"one two three");
    }

    #[test]
    fn a_body_that_is_too_large_is_passed_on_and_not_kept() {
        static LARGE: [u8; MAX_KEPT_BYTES] = [7; MAX_KEPT_BYTES];
        let (request, copy) = kept(vec![&LARGE, b"more"]);
        assert_eq!(all(request).len(), MAX_KEPT_BYTES + 4);
        assert!(copy.into_request().is_none());
        let (request, copy) = kept(vec![&LARGE]);
        assert_eq!(all(request).len(), MAX_KEPT_BYTES);
        assert_eq!(all(copy.into_request().unwrap()).len(), MAX_KEPT_BYTES);
    }
}
