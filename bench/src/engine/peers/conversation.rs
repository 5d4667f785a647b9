//! A peer's program, and what is said to it: a line for each round, and a line of JSON back.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::tree;
use crate::engine::load::Load;

/// How long a peer may take until it is ready: a database is made, a server finds that it is alone.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a round may take longer than it measures: its last orders.
const ROUND_GRACE: Duration = Duration::from_secs(120);
/// How long it may take to end its own children and to remove its folders.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Bytes of a line: more orders than any peer does in a round.
const LINE_LIMIT: u64 = 64 * 1024 * 1024;

/// What a peer says when it can be asked.
#[derive(Deserialize)]
struct Ready {
    ready: String,
}

/// What a peer says of a round.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Answer {
    /// How long each order took that ended within the measured time.
    pub latencies_us: Vec<u64>,
    /// All orders, those of the warm-up and the last of each client included.
    pub orders: u64,
}

/// A program that runs. It ends with its standard input, so it ends whatever becomes of this one; it is not killed when
/// this is dropped, as it could then neither end its children nor remove its folders.
pub struct Conversation {
    name: &'static str,
    child: Child,
    /// `None` once it was told to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    /// Starts it and waits until it is ready. Also gives what it says of its settings. What it writes to its standard
    /// error is written to ours.
    ///
    /// # Errors
    /// When it cannot be started, or is not ready in time.
    pub async fn start(name: &'static str, mut command: Command) -> Result<(Conversation, String)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let input = child.stdin.take().context("the peer's input is not piped")?;
        let output = BufReader::new(child.stdout.take().context("the peer's output is not piped")?);
        let mut started = Conversation { name, child, input: Some(input), output };
        let Ready { ready } = started.line(START_LIMIT).await?;
        Ok((started, ready))
    }

    /// Lets it do one round.
    ///
    /// # Errors
    /// When an order fails, or it has ended.
    pub async fn round(&mut self, load: &Load) -> Result<Answer> {
        let (warm_up, measured) = (load.warm_up.as_millis(), load.measured.as_millis());
        let line = format!("round {} {warm_up} {measured}\n", load.in_flight);
        let input = self.input.as_mut().with_context(|| format!("{} was ended", self.name))?;
        let asked = input.write_all(line.as_bytes()).await;
        asked.with_context(|| format!("{} has ended by itself", self.name))?;
        self.line(load.warm_up + load.measured + ROUND_GRACE).await
    }

    /// CPU time of it and its children so far.
    pub fn cpu_time(&self) -> Option<Duration> {
        self.child.id().and_then(tree::cpu_time)
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// When it has to be killed, or reports a failure.
    pub async fn stop(&mut self) -> Result<()> {
        drop(self.input.take());
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            Ok(status) => bail!("{} ended with {}", self.name, status?),
            Err(_) => {
                self.child.kill().await?;
                bail!("{} did not end within {STOP_LIMIT:?} and was killed", self.name)
            }
        }
    }

    async fn line<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T> {
        let mut line = String::new();
        let mut limited = (&mut self.output).take(LINE_LIMIT);
        let read = tokio::time::timeout(limit, limited.read_line(&mut line)).await;
        let read = read.with_context(|| format!("{} said nothing for {limit:?}", self.name))??;
        if read == 0 {
            bail!("{} has ended by itself; what it wrote is above", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that is a few lines of shell.
    async fn peer(script: &str) -> Result<(Conversation, String)> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Conversation::start("peer", command).await
    }

    const LOAD: Load = Load {
        in_flight: 7,
        warm_up: Duration::from_millis(20),
        measured: Duration::from_millis(300),
    };

    #[tokio::test]
    async fn a_peer_is_asked_round_by_round_and_ends_with_its_input() {
        let script = r#"echo '{"ready":"settings"}'
            while read word in_flight warm_up measured; do
                echo "{\"latencies_us\":[$in_flight,$warm_up,$measured],\"orders\":9}"
            done
            echo gone > "$0.ended""#;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let name = folder.path().join("peer");
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&name);
        let (mut peer, settings) = Conversation::start("peer", command).await.expect("it is ready");
        assert_eq!(settings, "settings");
        for _ in 0..2 {
            let answer = peer.round(&LOAD).await.expect("a round");
            assert_eq!(answer, Answer { latencies_us: vec![7, 20, 300], orders: 9 });
        }
        peer.stop().await.expect("it ends");
        assert!(folder.path().join("peer.ended").exists(), "by itself, not by a signal");
    }

    #[tokio::test]
    async fn a_peer_that_fails_is_an_error_and_no_figure() {
        let silent = peer("exit 3").await.err().expect("it was never ready");
        assert!(silent.to_string().contains("ended by itself"), "{silent:#}");
        let (mut failing, _) =
            peer(r#"echo '{"ready":""}'; read round; echo nonsense; exit 3"#).await.expect("ready");
        let error = failing.round(&LOAD).await.expect_err("nonsense is no round");
        assert!(error.to_string().contains("nonsense"), "{error:#}");
        let error = failing.stop().await.expect_err("it has failed");
        assert!(error.to_string().contains("exit status: 3"), "{error:#}");
    }
}
