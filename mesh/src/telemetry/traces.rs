//! Traces: W3C context always, spans over OTLP when an endpoint is configured.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Instrument as _, Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::context::{CallContext, TraceContext};

/// The header of W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// Our targets, `souk::…` and `souk_…::…`: spans of libraries would show their insides, and the exporter's own would
/// feed on themselves.
const TARGETS: &str = "souk";

static EXPORTING: AtomicBool = AtomicBool::new(false);

/// Whether spans go anywhere.
pub(crate) fn exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

pub(super) fn set_exporting(exporting: bool) {
    EXPORTING.store(exporting, Ordering::Relaxed);
}

/// Sends finished spans in batches.
pub(super) fn provider(
    service: &'static str,
    endpoint: &str,
    sample_ratio: f64,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio)));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build())
}

/// Makes spans of ours OpenTelemetry's; events of level info and above go along.
pub(super) fn layer<S>(
    service: &'static str,
    provider: &SdkTracerProvider,
) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let wanted = filter_fn(|metadata| {
        let least = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
        metadata.target().starts_with(TARGETS) && *metadata.level() <= least
    });
    tracing_opentelemetry::layer().with_tracer(provider.tracer(service)).with_filter(wanted)
}

/// The trace that a request's headers say it belongs to. A malformed header says nothing, as the standard asks.
pub(crate) fn trace_of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// Makes `span` part of the trace of `parent`, or the beginning of one, and says where it is.
pub(crate) fn continue_in(span: &Span, parent: Option<TraceContext>) -> TraceContext {
    if let Some(parent) = parent {
        let remote = SpanContext::new(
            TraceId::from(parent.trace_id),
            SpanId::from(parent.span_id),
            TraceFlags::default().with_sampled(parent.sampled),
            true,
            TraceState::default(),
        );
        // It fails only for a span that nobody records, whose place is then made up below.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
    trace_of_span(span)
        .unwrap_or_else(|| parent.map_or_else(TraceContext::new_root, TraceContext::child))
}

/// Where the innermost running span is, if spans go anywhere.
pub(crate) fn current_trace() -> Option<TraceContext> {
    exporting().then(|| trace_of_span(&Span::current())).flatten()
}

fn trace_of_span(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let position = context.span().span_context().clone();
    position.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(position.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(position.span_id().to_bytes()),
        sampled: position.is_sampled(),
    })
}

/// The running call's place in its trace, as W3C `traceparent`: what events and workflow inputs carry.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    current_trace()
        .or_else(|| CallContext::current().map(|context| context.trace))
        .map(|trace| trace.to_string())
}

/// Runs background work (a consumer's handler, a workflow's step) as a span `name` of the trace that it belongs to;
/// with none, or a malformed one, it begins its own. The work has no deadline but those that it sets itself.
pub fn in_trace<F: Future>(
    name: &str,
    traceparent: Option<&str>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let parent = traceparent.and_then(|text| text.parse().ok());
    let (trace, span) = if exporting() {
        let span =
            tracing::debug_span!(target: "souk::work", parent: None, "work", otel.name = name);
        (continue_in(&span, parent), span)
    } else {
        (parent.map_or_else(TraceContext::new_root, TraceContext::child), Span::none())
    };
    CallContext { trace, deadline: None }.scope(work).instrument(span)
}
