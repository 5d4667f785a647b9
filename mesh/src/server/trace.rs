//! The trace of a call: continued from its caller, or begun here.

use http::HeaderMap;
use tracing::Span;

use super::method::Method;
use crate::client::InProcess;
use crate::context::TraceContext;
use crate::telemetry;

/// The call's position in its trace, and its span. Without an exporter nobody would see the span, and it is none.
pub(super) fn begin(
    method: &'static Method,
    headers: &HeaderMap,
    in_process: Option<&InProcess>,
) -> (TraceContext, Span) {
    let parent =
        in_process.and_then(|call| call.trace).or_else(|| telemetry::trace_of_headers(headers));
    if !telemetry::exporting() {
        return (parent.map_or_else(TraceContext::new_root, TraceContext::child), Span::none());
    }
    let span = tracing::debug_span!(
        target: "souk::rpc",
        "rpc",
        otel.name = method.path,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = method.service,
        rpc.method = method.name,
    );
    let trace = telemetry::continue_in(&span, parent);
    (trace, span)
}
