//! `souk bench engine`: what the durable engine does on this machine, beside the limit that the disk sets.
//!
//! | file | what |
//! | --- | --- |
//! | `scenario.rs`, `scenario/` | the scenarios, one file each |
//! | `contender.rs` | what is measured side by side: who can do the workload, and what a round of it gives |
//! | `raw.rs`, `own.rs` | the contenders: the raw limit and our engine |
//! | `peers.rs`, `peers/` | contenders that are programs of their own: other engines, where installed |
//! | `workload.rs` | the order of five trivial steps |
//! | `load.rs`, `usage.rs`, `metered.rs` | clients in a closed loop; CPU and bytes of this process; slots of the log |
//! | `report.rs` | figures of all scenarios, for people and for scripts |

mod contender;
mod load;
mod metered;
mod own;
mod peers;
mod raw;
mod report;
mod scenario;
mod usage;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tempfile::TempDir;

/// What to measure, and for how long. Everything runs in this process; `taskset -c 0,1 souk bench engine` measures on
/// two cores.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which scenario to run.
    #[arg(long, value_enum, default_value_t = Scenario::Orders)]
    scenario: Scenario,
    /// Orders in flight, each followed by the next when it has ended; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 256, 2_000],
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Vec<u32>,
    /// Rounds of each contender, in turn; the medians are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How long a round measures.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How long it orders before that.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warm_up_seconds: f64,
    /// Orders in all, of the scenario `growth`.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    orders: u64,
    /// Open runs, of the scenario `sleeping`.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    runs: u64,
    /// Steps of the one run of the scenario `long`.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    steps: u64,
    /// Where to put the folders, on the disk that is to be measured. They are removed afterwards. Default: beside the
    /// data folder.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Other engines beside it, in the scenario `orders`.
    #[command(flatten)]
    peers: peers::PeerOptions,
    /// How to print the figures.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Orders of five steps beside the raw limit, a fresh store every round.
    Orders,
    /// The same orders into one store, many of them: does an order cost the same when there are a million?
    Growth,
    /// Open runs that wait for signals or timers: memory, restart, and how long one takes to wake.
    Sleeping,
    /// One run of very many steps: time and memory of a step, and the way back by replay.
    Long,
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

/// A time that can be measured: a hundredth of a second to a day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("must be a number from 0.01 to 86400".to_owned()),
    }
}

impl Options {
    /// How long each round orders before it measures, and how long it measures.
    fn times(&self) -> (Duration, Duration) {
        (Duration::from_secs_f64(self.warm_up_seconds), Duration::from_secs_f64(self.seconds))
    }
}

/// Runs a scenario and prints its figures. `data` is the data folder of the shop; the stores that are measured are made
/// beside it, unless the options say where.
///
/// # Errors
/// When no folder can be made, or an engine fails.
pub async fn run(options: Options, data: &Path) -> Result<()> {
    let beside = match (&options.folder, data.parent()) {
        (Some(folder), _) => folder.as_path(),
        (None, Some(parent)) if parent != Path::new("") => parent,
        (None, _) => Path::new("."),
    };
    let folder = new_folder(beside)?;
    let measured = async {
        match options.scenario {
            Scenario::Orders => scenario::orders::measure(&options, folder.path()).await,
            Scenario::Growth => scenario::growth::measure(&options, folder.path()).await,
            Scenario::Sleeping => scenario::sleeping::measure(&options, folder.path()).await,
            Scenario::Long => scenario::long::measure(&options, folder.path()).await,
        }
    };
    let report = tokio::select! {
        report = measured => report?,
        // By returning, so that the folder is removed.
        _ = tokio::signal::ctrl_c() => bail!("stopped before the end"),
    };
    match options.output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(())
}

/// A folder for stores, removed when it is dropped.
fn new_folder(beside: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("souk-bench-")
        .tempdir_in(beside)
        .with_context(|| format!("no folder can be made in {}", beside.display()))
}
