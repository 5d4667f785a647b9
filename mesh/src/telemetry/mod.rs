//! What people see of a running shop: logs with trace ids, traces over OTLP, metrics and probes.
//!
//! Trace context exists always, as W3C `traceparent`; spans are made only when an OTLP endpoint is configured, so that
//! a call costs nothing for what nobody looks at.

mod logs;
mod metrics;
mod probes;
mod traces;

pub use logs::LogFormat;
pub(crate) use metrics::install_recorder;
pub use metrics::render as render_metrics;
pub use probes::{Readiness, probes, router};
pub use traces::{TRACEPARENT, current_traceparent, in_trace};
pub(crate) use traces::{continue_in, current_trace, exporting, trace_of_headers};

use std::panic;

use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Ours from info; what stores and servers beneath us do from warnings. A channel of RabbitMQ that closes is nobody's error
/// but ours, and we tell of it where it is one: looking whether something exists closes a channel.
const DEFAULT_LOG: &str = "info,fjall=warn,lsm_tree=warn,tantivy=warn,h2=warn,hyper=warn,scylla=warn,lapin=warn,lapin::channel=off";

/// What to log, and where traces go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to log, in the syntax of `tracing_subscriber`'s `EnvFilter`: `info`, or `info,souk_mesh=debug`.
    pub log: String,
    /// How to write it.
    pub log_format: LogFormat,
    /// Where traces go by OTLP over gRPC, for example `http://127.0.0.1:4317`. None are made when it is empty.
    pub otlp_endpoint: String,
    /// The share of traces to record, from 0 to 1, where the caller has not decided yet.
    pub sample_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: String::from(DEFAULT_LOG),
            log_format: LogFormat::Auto,
            otlp_endpoint: String::new(),
            sample_ratio: 1.0,
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What to log is not a filter.
    #[error("telemetry.log: {0:?} is not a log filter: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The share is not between 0 and 1.
    #[error("telemetry.sample_ratio: {0} is not between 0 and 1")]
    SampleRatio(f64),
    /// The exporter could not be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// It was started before, in this process.
    #[error("telemetry was started before in this process")]
    StartedBefore,
}

/// Keeps traces flowing; what is still under way leaves by [`Guard::flush`].
#[must_use]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends what is still under way, and ends. A collector that is away costs its timeout, nothing else.
    pub async fn flush(self) {
        let Some(provider) = self.provider else { return };
        // The SDK blocks its caller until its own thread is done.
        let done = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Starts logs, traces and metrics of this process; `service` is the name that traces show, for example `souk`. Panics
/// are logged from now on. To be called once, in `main`, within the tokio runtime.
///
/// # Errors
/// Every variant of [`Error`].
pub fn init(service: &'static str, config: &Config) -> Result<Guard, Error> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Error::Filter(config.log.clone(), error))?;
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(Error::SampleRatio(config.sample_ratio));
    }
    let provider = match config.otlp_endpoint.as_str() {
        "" => None,
        endpoint => Some(traces::provider(service, endpoint, config.sample_ratio)?),
    };
    let export = provider.as_ref().map(|provider| traces::layer(service, provider));
    tracing_subscriber::registry()
        .with(export)
        .with(logs::layer(config.log_format).with_filter(filter))
        .try_init()
        .map_err(|_| Error::StartedBefore)?;
    traces::set_exporting(provider.is_some());
    install_recorder();
    panic::set_hook(Box::new(|info| {
        let what = crate::panic::message(info.payload());
        let place = info.location().map(ToString::to_string);
        tracing::error!(panic = what, place, "panic");
    }));
    Ok(Guard { provider })
}
