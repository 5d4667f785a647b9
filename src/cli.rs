//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::backends::Kind;
use crate::config::Config;
use crate::role::Role;
use crate::{demo, doctor, events, operator, process, provider, replay, schedule, workflow};

/// A whole shop in one binary.
#[derive(Parser)]
#[command(name = "souk", version, about, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration comes from. Later ones win: defaults, file, environment (SOUK_EDGE__…), flags.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct Settings {
    /// A configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: data].
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Where state and events are: in the data folder, or in the stores and the broker that the section `backends` names.
    #[arg(long, global = true, value_enum)]
    backends: Option<Kind>,
    /// One setting, for example `--set listen.edge=127.0.0.1:8081`; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole shop in this process (the default).
    Up,
    /// Runs some roles of the shop; the others are found by `mesh.services`.
    Serve {
        /// What this process is.
        #[arg(required = true)]
        roles: Vec<Role>,
    },
    /// Places orders as a customer, through the edge, and shows each step.
    Demo {
        /// Where the edge is [default: http:// and the configured port].
        #[arg(long, value_name = "URL")]
        edge: Option<String>,
    },
    /// Looks at runs and acts on them.
    #[command(subcommand)]
    Workflow(workflow::Command),
    /// Has the clock start runs.
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Looks after events that a service gave up on.
    #[command(subcommand)]
    Events(events::Command),
    /// Says which open runs this build would leave stuck, before it is rolled out. Changes nothing.
    Replay(replay::Replay),
    /// Says what is wrong with this machine, the configuration or a running shop.
    Doctor,
    /// Measures, and checks the invariants afterwards.
    #[command(subcommand)]
    Bench(Bench),
    /// Prints a token for an operator, signed with the key in the data folder.
    Token(operator::TokenRequest),
    /// Runs the sandbox payment provider alone.
    SandboxProvider(provider::Flags),
}

#[derive(Subcommand)]
enum Bench {
    /// Orders through the edge: throughput, waits, and whether everything adds up behind them.
    Orders(souk_bench::orders::Options),
    /// One product that everybody wants: reservations, waits, and whether every piece is accounted for behind them.
    Stock(souk_bench::stock::Options),
    /// The durable engine alone: orders of five trivial steps, beside the raw limit of the disk.
    Engine(souk_bench::engine::Options),
}

impl Cli {
    /// Does what is asked.
    pub async fn run(self) -> Result<()> {
        let config = || self.settings.load();
        match self.command.unwrap_or(Command::Up) {
            Command::Up => Box::pin(process::up(config()?)).await,
            Command::Serve { roles } => Box::pin(process::serve(config()?, &roles)).await,
            Command::Demo { edge } => {
                let edge = edge.map_or_else(|| config().map(|c| c.listen.edge_url()), Ok)?;
                demo::run(&edge).await
            }
            Command::Workflow(command) => workflow::run(&config()?, command).await,
            Command::Schedule(command) => schedule::run(&config()?, command).await,
            Command::Events(command) => events::run(&config()?, command).await,
            Command::Replay(replay) => replay::run(&config()?, replay).await,
            Command::Doctor => doctor::run(config).await,
            Command::Bench(Bench::Orders(options)) => {
                souk_bench::orders::run(options, &config()?.data).await
            }
            Command::Bench(Bench::Stock(options)) => {
                souk_bench::stock::run(options, &config()?.data).await
            }
            Command::Bench(Bench::Engine(options)) => {
                souk_bench::engine::run(options, &config()?.data).await
            }
            Command::Token(request) => operator::print_token(&config()?, request),
            Command::SandboxProvider(flags) => provider::run(flags).await,
        }
    }
}

impl Settings {
    fn load(&self) -> Result<Config> {
        let mut flags = self.set.clone();
        if let Some(data) = &self.data {
            flags.push(("data".to_owned(), data.display().to_string()));
        }
        if let Some(kind) = self.backends {
            flags.push(("backends.kind".to_owned(), kind.name().to_owned()));
        }
        Config::load(self.config.as_deref(), flags).context("the configuration cannot be used")
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
