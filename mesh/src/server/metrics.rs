//! Rate, errors and duration of every method:
//! `grpc_server_handled_total{service,method,code}` and `grpc_server_handling_seconds{service,method}`, and how many
//! calls are under way, `grpc_server_in_flight{service,method}`.

use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tonic::Code;

use super::method::Method;

/// gRPC has the codes 0 to 16.
const CODES: usize = 17;

/// A method's handles: made once, because finding one by its labels costs more than the rest of the stack.
#[derive(Default)]
pub(super) struct Meters {
    handled: [OnceLock<Counter>; CODES],
    seconds: OnceLock<Histogram>,
    in_flight: OnceLock<Gauge>,
}

/// One call, from its beginning until its last byte is handed over. Dropped before that, it counts as CANCELLED.
pub(super) struct Observed {
    method: &'static Method,
    began: Instant,
    ended: bool,
}

impl Observed {
    pub(super) fn begin(method: &'static Method) -> Self {
        in_flight(method).increment(1.0);
        Self { method, began: Instant::now(), ended: false }
    }

    /// Counts the call, once.
    pub(super) fn end(&mut self, code: Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let method = self.method;
        in_flight(method).decrement(1.0);
        seconds(method).record(self.began.elapsed());
        handled(method, code).increment(1);
        let elapsed_us = self.began.elapsed().as_micros();
        tracing::debug!(target: "souk::rpc", method = method.path, ?code, elapsed_us, "served");
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

fn in_flight(method: &'static Method) -> &'static Gauge {
    method.meters.in_flight.get_or_init(|| {
        let (service, name) = (method.service.as_str(), method.name.as_str());
        gauge!("grpc_server_in_flight", "service" => service, "method" => name)
    })
}

fn seconds(method: &'static Method) -> &'static Histogram {
    method.meters.seconds.get_or_init(|| {
        let (service, name) = (method.service.as_str(), method.name.as_str());
        histogram!("grpc_server_handling_seconds", "service" => service, "method" => name)
    })
}

fn handled(method: &'static Method, code: Code) -> &'static Counter {
    let slot = usize::try_from(i32::from(code)).unwrap_or_default().min(CODES - 1);
    method.meters.handled[slot].get_or_init(|| {
        counter!(
            "grpc_server_handled_total",
            "service" => method.service.as_str(),
            "method" => method.name.as_str(),
            "code" => code_name(code),
        )
    })
}

/// The code's name in gRPC's own spelling.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
