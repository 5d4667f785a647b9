//! Logs: a line per event, for people on a terminal, JSON for machines, with the trace that it belongs to.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::traces;
use crate::context::{CallContext, TraceContext};

/// How logs are written, to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The layer that writes logs.
pub(super) fn layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Human => Box::new(layer.event_format(Human)),
        LogFormat::Json => Box::new(layer.event_format(Json)),
        LogFormat::Auto if io::stderr().is_terminal() => Box::new(layer.event_format(Human)),
        LogFormat::Auto => Box::new(layer.event_format(Json)),
    }
}

/// The trace that is being worked on.
fn trace() -> Option<TraceContext> {
    traces::current_trace().or_else(|| CallContext::current().map(|context| context.trace))
}

struct Human;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = jiff::Timestamp::now().strftime("%H:%M:%S%.3f");
        let metadata = event.metadata();
        write!(writer, "{now} {:>5} {}: ", metadata.level(), metadata.target())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        if let Some(trace) = trace() {
            write!(writer, " trace_id={:032x}", trace.trace_id)?;
        }
        writeln!(writer)
    }
}

struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut object = Map::new();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        object.insert("time".into(), now.into());
        object.insert("level".into(), metadata.level().as_str().into());
        object.insert("target".into(), metadata.target().into());
        if let Some(trace) = trace() {
            object.insert("trace_id".into(), format!("{:032x}", trace.trace_id).into());
            object.insert("span_id".into(), format!("{:016x}", trace.span_id).into());
        }
        event.record(&mut Fields(&mut object));
        writeln!(writer, "{}", Value::Object(object))
    }
}

/// An event's fields as JSON. Numbers and booleans stay what they are, the rest is text.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only if the value's own formatting does; then what there is is logged.
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// What is logged through `format`, inside the call of `trace`.
    fn logged<F>(format: F, trace: TraceContext) -> String
    where
        F: FormatEvent<
                tracing_subscriber::Registry,
                tracing_subscriber::fmt::format::DefaultFields,
            > + Send
            + Sync
            + 'static,
    {
        #[derive(Clone)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink(Arc::default());
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(format)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            CallContext { trace, deadline: None }.sync_scope(|| {
                tracing::info!(order = "o-1", attempts = 3, late = true, "order \"placed\"");
            });
        });
        let bytes = sink.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_holds_fields_and_the_trace() {
        let trace = TraceContext::new_root();
        let line: Value = serde_json::from_str(&logged(Json, trace)).unwrap();
        assert_eq!(line["message"], "order \"placed\"");
        assert_eq!(line["order"], "o-1");
        assert_eq!(line["attempts"], 3);
        assert_eq!(line["late"], true);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["trace_id"], format!("{:032x}", trace.trace_id));
    }

    #[test]
    fn a_line_for_people_holds_the_trace_too() {
        let trace = TraceContext::new_root();
        let line = logged(Human, trace);
        assert!(line.contains("order \"placed\" order=\"o-1\" attempts=3"), "{line}");
        assert!(line.ends_with(&format!("trace_id={:032x}\n", trace.trace_id)), "{line}");
    }
}
