//! `souk bench stock`: one product that everybody wants at once. How many reservations a second its catalog gives, how
//! long callers wait, how many of them share a write to the store, and whether every piece is accounted for afterwards.

mod callers;
mod catalog;
mod check;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::own_shop::folder_in;
use callers::Callers;
use catalog::{Catalog, HotProduct};
use check::{Piece, Tally};

/// Pieces that are more than any run takes.
const PLENTY: i64 = 1_000_000_000;

/// How to load the catalog. Without --catalog, one is started for the run and removed afterwards.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A running catalog; the --data folder must be its own.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Start the catalog with this configuration (TOML): where the stores are, for one. Without it, an embedded store.
    #[arg(long, value_name = "FILE", conflicts_with = "catalog")]
    mesh: Option<PathBuf>,
    /// Processes of that catalog, which share its store; callers take them in turn.
    #[arg(long, default_value_t = 1, requires = "mesh", value_parser = clap::value_parser!(u8).range(1..=9))]
    catalogs: u8,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How long to reserve before that; counts for the stock only.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up_seconds: u64,
    /// Callers, each with one reservation under way at a time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: u32,
    /// Connections to each process.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Pieces of the product that is sold out at the end; twice as many are wanted, all at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    scarce: u32,
}

/// Runs the benchmark and prints what it found. `data` is the data folder of the running catalog, or is beside the one of
/// a catalog that is started for the run.
///
/// # Errors
/// When no catalog answers or none can be started, and when a piece is missing or was sold twice.
pub async fn run(options: Options, data: &Path) -> Result<()> {
    tokio::select! {
        outcome = measure(&options, data) => outcome,
        // By returning, so that a catalog of our own is ended and removed.
        _ = tokio::signal::ctrl_c() => bail!("stopped before the end"),
    }
}

async fn measure(options: &Options, data: &Path) -> Result<()> {
    if let Some(address) = &options.catalog {
        return measure_at(options, &Catalog::running(address, data)?).await;
    }
    let config = match &options.mesh {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read", file.display()))?,
        None => String::new(),
    };
    let folder = folder_in(
        data.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")),
    )?;
    // The children are started in a folder of their own.
    let path = folder.path().canonicalize()?;
    let catalog = Catalog::start(&path, &config, options.catalogs).await?;
    let outcome = measure_at(options, &catalog).await;
    outcome.with_context(|| format!("the ends of the catalog's logs:\n{}", catalog.log_tails()))
}

async fn measure_at(options: &Options, catalog: &Catalog) -> Result<()> {
    let callers = Callers::connect(catalog, options.connections, options.callers).await?;
    let hot = HotProduct::create(catalog, PLENTY).await?;
    let (warm_up, measured) = (options.warm_up_seconds, options.seconds);
    let (warm_up, measured) = (Duration::from_secs(warm_up), Duration::from_secs(measured));
    let load = callers.reserve_for(&hot, warm_up, measured, catalog).await?;
    print!("{}", report::Report { load: &load, measured, callers: options.callers });
    let after = hot.stock().await?;
    let mut problems = check::held(PLENTY, &load.tally, after);

    let pieces = i64::from(options.scarce);
    let scarce = HotProduct::create(catalog, pieces).await?;
    let tally: Tally = callers.sell_out(&scarce, 2 * pieces.unsigned_abs()).await?;
    println!("sold out: {pieces} pieces, {} wanted", 2 * pieces);
    println!("  {:>9} sold", tally.of(Piece::Sold));
    println!("  {:>9} refused", tally.of(Piece::Refused));
    problems.extend(check::sold_out(pieces, &tally, scarce.stock().await?));

    if problems.is_empty() {
        println!("\nevery piece is accounted for, none was sold twice");
        return Ok(());
    }
    bail!("stock does not add up: {}", problems.join("; "))
}
