//! The sandbox payment provider: alone as a command, or as a child of the shop where none is configured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::role::Role;

/// How long the child may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What the provider prints before its address.
const GREETING: &str = "sandbox-provider listens on ";
/// The child's data, below the shop's.
const FOLDER: &str = "sandbox-provider";

/// How to run the provider.
#[derive(Args)]
pub struct Flags {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// Where the ledger is kept.
    #[arg(long = "ledger", value_name = "FOLDER", default_value = "data/sandbox-provider")]
    folder: PathBuf,
    /// Ends when its standard input does: with the process that started it, however that ends.
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Runs the provider until it is told to stop.
pub async fn run(flags: Flags) -> Result<()> {
    let listener = TcpListener::bind(flags.listen)
        .await
        .with_context(|| format!("{} cannot be had; --listen chooses another", flags.listen))?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        match flags.with_parent {
            true => drop(tokio::io::stdin().read_to_end(&mut Vec::new()).await),
            false => drop(tokio::signal::ctrl_c().await),
        }
        stop.cancel();
    });
    Ok(souk_sandbox_provider::serve(listener, &flags.folder, shutdown).await?)
}

/// Starts a child where payments are served here and no provider is configured, and puts its address into `config`.
/// The child goes when the returned handle is dropped, or this process ends in whatever way.
pub async fn start_where_none_is_configured(
    config: &mut Config,
    roles: &[Role],
) -> Result<Option<Child>> {
    if !roles.contains(&Role::Payment) || !config.payment.provider_url.is_empty() {
        return Ok(None);
    }
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let mut child = Command::new(program)
        .args(["sandbox-provider", "--with-parent", "--listen", "127.0.0.1:0", "--ledger"])
        .arg(config.data.join(FOLDER))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the sandbox payment provider cannot be started")?;
    let greeting = tokio::time::timeout(START_LIMIT, first_line(&mut child))
        .await
        .context("the sandbox payment provider does not say where it listens")??;
    match greeting.strip_prefix(GREETING) {
        Some(url) => config.payment.provider_url = url.trim().to_owned(),
        None => bail!("the sandbox payment provider did not start; above it says why"),
    }
    Ok(Some(child))
}

async fn first_line(child: &mut Child) -> Result<String> {
    let output = child.stdout.take().context("the child's output is not piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await?;
    Ok(line)
}
