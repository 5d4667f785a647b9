//! The program under test: what it prints, and every way in which it can end.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::sync::watch;

use super::PATIENCE;

/// Lines of the log that are shown when something is wrong.
const LOG_TAIL: usize = 30;

/// A running `souk`. Killed when dropped.
pub struct Program {
    child: Child,
    output: watch::Receiver<Output>,
    log: PathBuf,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    over: bool,
}

impl Program {
    /// Starts `souk` with `arguments`; what it logs is appended to `log`. Its standard input stays open for as long as
    /// this handle, so that a provider which goes with its parent stays.
    pub fn start<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_souk"))
            .args(arguments.into_iter().map(|argument| argument.as_ref().to_owned()))
            // Settings in the environment of who runs the tests are not the test's.
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (sender, output) = watch::channel(Output::default());
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                sender.send_modify(|output| output.lines.push(line));
            }
            sender.send_modify(|output| output.over = true);
        });
        Self { child, output, log: log.to_owned() }
    }

    /// What follows `beginning` on the line that begins with it, as soon as it is printed.
    pub async fn said(&self, beginning: &str) -> String {
        let rest = |line: &String| line.trim_start().strip_prefix(beginning).map(str::to_owned);
        let mut output = self.output.clone();
        let said = tokio::time::timeout(
            PATIENCE,
            output.wait_for(|output| {
                output.over || output.lines.iter().any(|line| rest(line).is_some())
            }),
        );
        let found = match said.await {
            Ok(Ok(output)) => output.lines.iter().find_map(rest),
            _ => None,
        };
        found.unwrap_or_else(|| {
            panic!("it never said {beginning:?}; its log ends:\n{}", self.log_tail())
        })
    }

    /// The first address on the line that begins with `beginning`.
    pub async fn address(&self, beginning: &str) -> String {
        let said = self.said(beginning).await;
        let address = said.split_whitespace().find(|word| word.starts_with("http://"));
        address.unwrap_or_else(|| panic!("no address in {said:?}")).to_owned()
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal by name (`TERM`).
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// How it ended, as soon as it has.
    pub async fn ended(&mut self) -> ExitStatus {
        super::eventually("the program has ended", async || self.child.try_wait().unwrap()).await
    }

    /// What it logged last; errors that end it are there too.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, and a test that fails must not fail again here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the end of {}:\n{}", self.log.display(), self.log_tail());
        }
    }
}
