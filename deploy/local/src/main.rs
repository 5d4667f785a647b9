//! `cargo run -p souk-backends -- up`: the real parts for a shop on this machine, until Ctrl-C.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use souk_backends::{All, Part, ensure};

/// The real stores and the real broker on this machine, without containers.
#[derive(Parser)]
#[command(name = "souk-backends", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts Redis, RabbitMQ and Cassandra, prints where they are, and ends them when the standard input ends.
    Up {
        /// Where they keep their data [default: a temporary folder, removed afterwards].
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
        /// Nodes of Cassandra, on 127.0.0.1, 127.0.0.2 …
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
        cassandra_nodes: u8,
        /// Writes the configuration by which `souk` finds them.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Installs what is missing.
    Install,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Up { data, cassandra_nodes, config } => up(data, cassandra_nodes, config),
        Command::Install => Part::ALL.into_iter().try_for_each(ensure),
    }
}

fn up(data: Option<PathBuf>, cassandra_nodes: u8, config: Option<PathBuf>) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = data.unwrap_or_else(|| temporary.path().to_owned());
    let all = All::start(&folder, cassandra_nodes)?;
    println!("redis     {}", all.redis.url());
    println!("rabbitmq  {}", all.rabbitmq.url());
    println!("cassandra {}", all.cassandra.contact_points().join(","));
    if let Some(config) = &config {
        let shown = || config.display().to_string();
        let text = format!("# Written by souk-backends for its servers.\n{}", all.configuration());
        std::fs::write(config, text).with_context(shown)?;
        println!("config    {}   (souk up --config …)", shown());
    }
    println!("ready; they end with Ctrl-C or with the standard input");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
