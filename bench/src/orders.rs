//! `souk bench orders`: customers who order through the edge, how long they wait, what an order costs in CPU, and
//! whether everything adds up afterwards.

mod customers;
mod load;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::backends;
use crate::child::this_program;
use crate::invariants::{Baseline, Places, Shop};
use crate::mesh::{Mesh, Plan};
use crate::metrics::Sources;
use crate::own_shop::{OwnShop, folder_in};
use customers::Customers;
use load::{Load, Pace, Processes};

/// Pieces that every product is given, so that nothing sells out.
const ADDED_PIECES: i64 = 100_000_000;
/// Where all services of a shop are that was started with defaults.
const DEFAULT_INTERNAL: &str = "http://127.0.0.1:50051";

/// How to load the shop. Without --edge, a whole shop is started for the run and removed afterwards.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The edge of a running shop, to which nobody else may be ordering, with `edge.rate_limits=off`; its --data folder
    /// must be readable.
    #[arg(long, value_name = "URL", requires = "provider")]
    edge: Option<String>,
    /// Where all services of that shop are.
    #[arg(long, value_name = "URL", requires = "edge", default_value = DEFAULT_INTERNAL)]
    internal: String,
    /// The payment provider of that shop, as `souk up` prints it.
    #[arg(long, value_name = "URL", requires = "edge")]
    provider: Option<String>,
    /// Start a shop for the run that has a process for each role, with this configuration (TOML) for all of them: where the
    /// stores are, for one.
    #[arg(long, value_name = "FILE", conflicts_with = "edge")]
    mesh: Option<PathBuf>,
    /// Processes of the orchestrator in such a shop.
    #[arg(long, default_value_t = 1, requires = "mesh", value_parser = clap::value_parser!(u8).range(1..=9))]
    orchestrators: u8,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How long to order before that; counts for the invariants only.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up_seconds: u64,
    /// Orders sent a second, whatever the shop does (open loop); 0: as many as --in-flight brings.
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    rate: f64,
    /// Orders in flight, each followed by the next when it is answered (closed loop).
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Connections to the edge.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Customers who order in turn.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    users: u32,
    /// How long the shop may take afterwards until all orders are settled.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    settle_seconds: u64,
}

/// A rate that can be kept: at most a million orders a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1_000_000.0).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("must be a number from 0 to 1000000".to_owned()),
    }
}

/// Where a shop is.
struct Target {
    edge: String,
    places: Places,
    provider: String,
    data: PathBuf,
    processes: Processes,
}

/// Runs the benchmark and prints what it found. `data` is the data folder of the running shop, or is beside the one of
/// a shop that is started for the run.
///
/// # Errors
/// When no shop answers or none can be started, and when an invariant is broken.
pub async fn run(options: Options, data: &Path) -> Result<()> {
    tokio::select! {
        outcome = measure(&options, data) => outcome,
        // By returning, so that a shop of our own is ended and removed.
        _ = tokio::signal::ctrl_c() => bail!("stopped before the end"),
    }
}

async fn measure(options: &Options, data: &Path) -> Result<()> {
    let (Some(edge), Some(provider)) = (options.edge.clone(), options.provider.clone()) else {
        return match &options.mesh {
            Some(config) => measure_mesh(options, config, data).await,
            None => measure_own(options, data).await,
        };
    };
    let places = Places::together(&options.internal);
    let (data, processes) = (data.to_owned(), Processes::default());
    measure_at(options, &Target { edge, places, provider, data, processes }).await
}

/// The folder in which a shop of the benchmark's own is, beside the one that is configured.
fn beside(data: &Path) -> &Path {
    match data.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

async fn measure_mesh(options: &Options, config: &Path, data: &Path) -> Result<()> {
    let config = std::fs::read_to_string(config)
        .with_context(|| format!("{} cannot be read", config.display()))?;
    let folder = folder_in(beside(data))?;
    let replicas = [("workflow".to_owned(), usize::from(options.orchestrators))].into();
    // The children are started in a folder of their own.
    let path = folder.path().canonicalize()?;
    let backends = backends::on_this_machine(&config);
    let mesh =
        Mesh::start(Plan { program: this_program()?, folder: path, config, replicas }).await?;
    let target = Target {
        edge: mesh.edge.clone(),
        places: mesh.places(),
        provider: mesh.provider.clone(),
        data: mesh.data(),
        processes: Processes {
            shop: mesh.pids(),
            provider: mesh.provider_pid(),
            backends,
            metrics: Sources::new(mesh.ops()),
        },
    };
    let outcome = measure_at(options, &target).await;
    outcome.with_context(|| format!("the ends of the shop's logs:\n{}", mesh.log_tails()))
}

async fn measure_own(options: &Options, data: &Path) -> Result<()> {
    let own = OwnShop::start(beside(data)).await?;
    let target = Target {
        edge: own.edge.clone(),
        places: Places::together(&own.internal),
        provider: own.provider.clone(),
        data: own.data(),
        processes: Processes {
            shop: own.shop_pid().map(|pid| ("shop", pid)).into_iter().collect(),
            provider: own.provider_pid(),
            ..Processes::default()
        },
    };
    let outcome = measure_at(options, &target).await;
    let outcome =
        outcome.with_context(|| format!("the end of the shop's log:\n{}", own.log_tail()));
    own.stop().await?;
    outcome
}

async fn measure_at(options: &Options, target: &Target) -> Result<()> {
    let shop = Shop::new(&target.places, &target.provider, &target.data)?;
    let mut baseline: Baseline = shop.baseline().await?;
    shop.add_stock(&mut baseline, ADDED_PIECES).await?;
    let customers = Customers::register(&target.edge, options.connections, options.users).await?;
    let pace = match options.rate {
        0.0 => Pace::Closed { in_flight: options.in_flight as usize },
        per_second => Pace::Open { per_second },
    };
    let load = Load {
        pace,
        warm_up: Duration::from_secs(options.warm_up_seconds),
        measured: Duration::from_secs(options.seconds),
        processes: target.processes.clone(),
    };
    let outcome = load.run(customers).await;
    print!("{}", report::Report::of(&load, &outcome));

    let limit = Duration::from_secs(options.settle_seconds);
    let verdict = shop.settle(&baseline, &outcome.acknowledged, limit).await?;
    println!("\n{verdict}");
    match verdict.holds() {
        true => Ok(()),
        false => bail!("invariants are broken"),
    }
}
