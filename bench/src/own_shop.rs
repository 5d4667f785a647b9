//! A whole shop of a benchmark's own: this very program as a child, with data of its own on free ports, and the payment
//! provider as another child. Both end and everything is removed when the handle is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a child may take to say where it listens; the shop draws and seeds its products first.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What the provider prints before its address.
const PROVIDER_GREETING: &str = "sandbox-provider listens on ";
/// How the lines begin on which the shop says where its ports are.
const EDGE_LINE: &str = "the shop";
const INTERNAL_LINE: &str = "internal gRPC";
/// Lines of the log that are shown when a child did not start.
const LOG_TAIL: usize = 20;

/// A running shop.
pub struct OwnShop {
    /// Where the edge is.
    pub edge: String,
    /// Where all services are.
    pub internal: String,
    /// Where the payment provider is.
    pub provider: String,
    shop: Child,
    provider_child: Child,
    folder: TempDir,
}

impl OwnShop {
    /// Starts it. Its data is below `beside`, so that it is on the disk on which a shop would be.
    ///
    /// # Errors
    /// When a child cannot be started or does not say where it listens.
    pub async fn start(beside: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("souk-bench-")
            .tempdir_in(beside)
            .with_context(|| format!("no folder can be made in {}", beside.display()))?;
        let ledger = folder.path().join("provider");
        let mut command = this_program()?;
        command.args(["sandbox-provider", "--with-parent", "--listen", "127.0.0.1:0", "--ledger"]);
        let (mut provider_child, mut lines) =
            spawn(command.arg(ledger), &folder.path().join("provider.log"))?;
        let provider = match within(START_LIMIT, lines.next_line()).await? {
            Some(line) => line
                .strip_prefix(PROVIDER_GREETING)
                .with_context(|| format!("the provider did not start: {line}"))?
                .trim()
                .to_owned(),
            None => bail!("the provider did not start: {}", ended(&mut provider_child)),
        };

        let log = folder.path().join("shop.log");
        let mut command = this_program()?;
        command.arg("--data").arg(folder.path().join("data"));
        for port in ["edge", "ops", "internal"] {
            command.arg("--set").arg(format!("listen.{port}=127.0.0.1:0"));
        }
        command.arg("--set").arg(format!("payment.provider_url={provider}")).arg("up");
        let (shop, mut lines) = spawn(&mut command, &log)?;
        let found = within(START_LIMIT, addresses(&mut lines)).await;
        let (edge, internal) = found.with_context(|| {
            format!("the shop did not start; the end of its log:\n{}", tail(&log))
        })?;
        // A pipe that nobody reads would stop the shop at its next line.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { edge, internal, provider, shop, provider_child, folder })
    }

    /// The shop's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The shop's process id, unless it has ended.
    pub fn shop_pid(&self) -> Option<u32> {
        self.shop.id()
    }

    /// The provider's process id, unless it has ended.
    pub fn provider_pid(&self) -> Option<u32> {
        self.provider_child.id()
    }

    /// Ends both and waits until they are gone, so that the folder can be removed.
    pub async fn stop(mut self) -> Result<()> {
        self.shop.kill().await.context("the shop cannot be ended")?;
        self.provider_child.kill().await.context("the provider cannot be ended")?;
        self.folder.close().context("the benchmark's folder cannot be removed")
    }

    /// The end of the shop's log.
    pub fn log_tail(&self) -> String {
        tail(&self.folder.path().join("shop.log"))
    }
}

fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("this program's own path is not known")?))
}

/// The provider ends with its standard input (`--with-parent`); the shop does not look at its own.
fn spawn(command: &mut Command, log: &Path) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let log = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("this program cannot be started again")?;
    let output = child.stdout.take().context("the child's output is not piped")?;
    Ok((child, BufReader::new(output).lines()))
}

async fn within<T, E: Into<anyhow::Error>>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    let answer = tokio::time::timeout(limit, answer).await;
    answer.with_context(|| format!("nothing was said within {limit:?}"))?.map_err(Into::into)
}

/// The edge's and the internal port's address, from what the shop prints.
async fn addresses(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<(String, String)> {
    let (mut edge, mut internal) = (None, None);
    while let Some(line) = lines.next_line().await? {
        edge = edge.or_else(|| address_on(&line, EDGE_LINE));
        internal = internal.or_else(|| address_on(&line, INTERNAL_LINE));
        if let (Some(edge), Some(internal)) = (&edge, &internal) {
            return Ok((edge.clone(), internal.clone()));
        }
    }
    bail!("it ended without saying where it listens")
}

/// The address on `line`, if that is the line of `name`.
fn address_on(line: &str, name: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(name)?;
    rest.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}

fn ended(child: &mut Child) -> String {
    match child.try_wait() {
        Ok(Some(status)) => status.to_string(),
        Ok(None) | Err(_) => "it closed its output".to_owned(),
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_their_own_lines() {
        let edge = "  the shop       http://127.0.0.1:8080   (page, gRPC-web, gRPC)";
        assert_eq!(address_on(edge, EDGE_LINE).as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(address_on(edge, INTERNAL_LINE), None);
        assert_eq!(address_on("  the shop       nowhere", EDGE_LINE), None);
    }
}
