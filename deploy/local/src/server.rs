//! One server process: started, waited for, killed, frozen, and never left behind.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Between two looks whether a server answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// How long a server may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Lines of its log that are shown when it does not come up.
const LOG_TAIL: usize = 30;

/// Runs a program in a session of its own, and kills all of that session when the standard input ends: whoever holds the
/// other end of it may be killed in any way. What the program prints goes where its errors go: standard output is for the
/// process id alone, which a fast program would be ahead of.
const KEEPER: &str = r#"trap '' INT TERM HUP
if [ -n "$SOUK_TIMER_SLACK_NS" ]; then { echo "$SOUK_TIMER_SLACK_NS" >/proc/$$/timerslack_ns; } 2>/dev/null; fi
setsid "$@" </dev/null >&2 & server=$!
echo "$server"
cat >/dev/null
kill -s KILL -- "-$server" 2>/dev/null
wait
if [ -n "$SOUK_DISPOSABLE" ]; then rm -rf -- "$SOUK_DISPOSABLE"; fi"#;

/// The variable with how late the system may wake a server's threads, in nanoseconds: they inherit it
/// (<https://man7.org/linux/man-pages/man5/proc_pid_timerslack_ns.5.html>). Where it cannot be set they do with the system's own.
pub(crate) const TIMER_SLACK: &str = "SOUK_TIMER_SLACK_NS";

/// How a server is started, and how it is seen that it is there.
pub(crate) struct Recipe {
    /// For messages and the name of the log file.
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// What it keeps, and its log.
    pub folder: PathBuf,
    pub address: SocketAddr,
    /// What is sent to see whether it answers.
    pub hello: &'static [u8],
    /// What its answer begins with then.
    pub answer: &'static [u8],
    /// How long it may take to come up.
    pub patience: Duration,
    /// A folder that is removed when the server ends, however its holder ends.
    pub disposable: Option<PathBuf>,
}

/// A running server. It is killed when this is dropped; [`Server::stop`] is gentler.
pub struct Server {
    recipe: Recipe,
    keeper: Option<(Child, u32)>,
}

impl Server {
    pub(crate) fn start(recipe: Recipe) -> Result<Server> {
        let mut server = Server { recipe, keeper: None };
        server.start_again()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.recipe.address
    }

    /// The file that it logs into.
    pub fn log(&self) -> PathBuf {
        self.recipe.folder.join(format!("{}.log", self.recipe.name))
    }

    /// Starts it with what it had, after it was stopped or killed. It answers when this returns.
    ///
    /// # Errors
    /// When it is running, ends at once, or does not answer in time; with the end of its log.
    pub fn start_again(&mut self) -> Result<()> {
        let name = &self.recipe.name;
        ensure!(self.keeper.is_none(), "{name} is running");
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&self.recipe.program)
            .args(&self.recipe.arguments)
            .envs(self.recipe.environment.iter().cloned())
            .env("SOUK_DISPOSABLE", self.recipe.disposable.as_deref().unwrap_or(Path::new("")))
            .current_dir(&self.recipe.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut lines = BufReader::new(keeper.stdout.take().context("standard output is a pipe")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let process = line.trim().parse().with_context(|| format!("{name}: no process id"))?;
        self.keeper = Some((keeper, process));
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + self.recipe.patience;
        while !self.answers() {
            let has_ended = self.process().is_none_or(|process| !is_alive(process));
            if has_ended || Instant::now() > until {
                let what = if has_ended { "has ended" } else { "does not answer" };
                bail!("{} {what}; the end of its log:\n{}", self.recipe.name, self.log_tail());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Whether it answers now.
    pub fn answers(&self) -> bool {
        self.greet().unwrap_or(false)
    }

    fn greet(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&self.recipe.address, LOOK_LIMIT)?;
        stream.set_read_timeout(Some(LOOK_LIMIT))?;
        stream.write_all(self.recipe.hello)?;
        let mut answer = vec![0; self.recipe.answer.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer == self.recipe.answer)
    }

    fn process(&self) -> Option<u32> {
        self.keeper.as_ref().map(|(_, process)| *process)
    }

    /// Ends it as a crash does: SIGKILL.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.end("KILL")
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn stop(&mut self) -> Result<()> {
        self.end("TERM")
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        let Some(process) = self.process() else { return Ok(()) };
        self.signal(signal)?;
        let until = Instant::now() + STOP_LIMIT;
        while is_alive(process) {
            if Instant::now() > until {
                self.let_go();
                bail!("{} did not end by SIG{signal}", self.recipe.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.let_go();
        Ok(())
    }

    /// Stops it in the middle of whatever it does, as a machine that hangs. Its connections stay open.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`Server::freeze`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// To the server and all that it has started.
    fn signal(&self, signal: &str) -> Result<()> {
        let process = self.process().with_context(|| format!("{} is away", self.recipe.name))?;
        let target = format!("-{process}");
        let status = Command::new("kill").args(["-s", signal, "--", &target]).status()?;
        ensure!(status.success(), "{}: SIG{signal} could not be sent", self.recipe.name);
        Ok(())
    }

    fn let_go(&mut self) {
        if let Some((mut keeper, _)) = self.keeper.take() {
            drop(keeper.stdin.take());
            // Whatever it returns, it has ended.
            let _ = keeper.wait();
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Makes the folder of a server, and its path absolute: servers run in it.
pub(crate) fn make_folder(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    folder.canonicalize().with_context(|| folder.display().to_string())
}

/// A process that has ended but was not waited for counts as ended.
fn is_alive(process: u32) -> bool {
    let state = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    let is_zombie = |stat: &String| {
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.trim_start().starts_with('Z')
    };
    state.is_ok_and(|stat| !is_zombie(&stat))
}
