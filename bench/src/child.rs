//! This program, or another build of it, as a child: started, listened to until it says where it is, and ended.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdout, Command};

/// How long a child may take to say where it listens; the shop draws and seeds its products first.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Lines of the log that are shown when a child did not start.
const LOG_TAIL: usize = 20;

/// A running child. Killed when it is dropped.
pub struct Child {
    process: Process,
    log: PathBuf,
}

impl Child {
    /// Starts `program`, which logs into `log`, and waits until it has said everything that `said` wants to hear. Its
    /// standard input stays open for as long as the handle: the provider ends with it.
    ///
    /// # Errors
    /// When it cannot be started, ends, or says nothing for too long; with the end of its log.
    pub async fn start<T>(
        program: &Path,
        arguments: &[String],
        log: &Path,
        said: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Child, T)> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("{} cannot be written", log.display()))?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let output = process.stdout.take().context("the child's output is not piped")?;
        let mut lines = BufReader::new(output).lines();
        let child = Child { process, log: log.to_owned() };
        let heard = tokio::time::timeout(START_LIMIT, hear(&mut lines, said)).await;
        let heard = heard.map_err(|_| anyhow::anyhow!("nothing was said within {START_LIMIT:?}"));
        let heard = heard.and_then(|heard| heard).with_context(|| {
            format!(
                "`{}` did not start; the end of its log:\n{}",
                arguments.join(" "),
                child.tail()
            )
        })?;
        // A pipe that nobody reads would stop the child at its next line.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((child, heard))
    }

    /// Its process id, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When the system does not let it.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("a child cannot be ended")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When the system cannot tell, or it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<std::process::ExitStatus> {
        let ended = tokio::time::timeout(limit, self.process.wait()).await;
        Ok(ended.with_context(|| format!("it runs on for more than {limit:?}"))??)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

async fn hear<T>(
    lines: &mut Lines<BufReader<ChildStdout>>,
    mut said: impl FnMut(&str) -> Option<T>,
) -> Result<T> {
    while let Some(line) = lines.next_line().await? {
        if let Some(heard) = said(&line) {
            return Ok(heard);
        }
    }
    bail!("it ended without saying where it listens")
}

/// The address on `line`, if that is the line of `name`.
pub fn address_on(line: &str, name: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(name)?;
    rest.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}

/// This very program.
///
/// # Errors
/// When the system does not tell.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("this program's own path is not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_their_own_lines() {
        let edge = "  the shop       http://127.0.0.1:8080   (page, gRPC-web, gRPC)";
        assert_eq!(address_on(edge, "the shop").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(address_on(edge, "internal gRPC"), None);
        assert_eq!(address_on("  the shop       nowhere", "the shop"), None);
    }
}
