//! The recorder behind every metric of the process, in Prometheus' text format.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How often samples are folded into their buckets when nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds, in seconds, for everything that is named `…_seconds`: dense where the goal of 200 ms lies.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0,
];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder, once; whoever makes handles for metrics calls this first, because handles made before it
/// record nothing.
pub(crate) fn install_recorder() {
    recorder();
}

/// Everything recorded so far, as `/metrics` shows it.
#[must_use]
pub fn render() -> String {
    recorder().map_or_else(String::new, PrometheusHandle::render)
}

fn recorder() -> Option<&'static PrometheusHandle> {
    let installed = RECORDER.get_or_init(|| {
        let built = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix(String::from("_seconds")), SECONDS)
            .and_then(PrometheusBuilder::install_recorder);
        match built {
            Ok(handle) => {
                describe();
                spawn_upkeep(handle.clone());
                Some(handle)
            }
            Err(error) => {
                tracing::error!(%error, "metrics are not recorded");
                None
            }
        }
    });
    installed.as_ref()
}

/// What `/metrics` says of the metrics of every server.
fn describe() {
    describe_counter!("grpc_server_handled_total", "Calls that were answered, by their code.");
    describe_histogram!(
        "grpc_server_handling_seconds",
        "From a call's arrival until its last byte was handed over."
    );
    describe_gauge!("grpc_server_in_flight", "Calls under way, open streams included.");
}

/// Without it, samples of a process that nobody scrapes would pile up.
fn spawn_upkeep(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            thread::sleep(UPKEEP);
            handle.run_upkeep();
        }
    };
    if let Err(error) = thread::Builder::new().name(String::from("metrics-upkeep")).spawn(upkeep) {
        tracing::error!(%error, "metrics are folded only when they are read");
    }
}
