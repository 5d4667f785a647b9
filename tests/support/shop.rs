//! A whole shop of a test's own, and the payment provider beside it, which outlives it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use souk_bench::invariants::{Baseline, Places, Rule, Verdict};
use souk_mesh::clock::{Clock as _, SystemClock};
use souk_mesh::identity::{Keys, Role};
use tempfile::TempDir;

use super::{Caller, Ledger, Program, Way};

/// How long a token for staff works: longer than any test.
const TOKEN_TTL: Duration = Duration::from_secs(60 * 60);
/// How long the shop may take to come to rest: a step that failed often is tried again after long pauses.
const REST_LIMIT: Duration = Duration::from_secs(120);
/// Broken cases of which everything is told.
const SHOWN: usize = 3;
const UUID_CHARS: usize = 36;
/// Who staff is in histories and logs.
const STAFF: &str = "service:test";

/// A payment provider with its own ledger.
pub struct Provider {
    /// `http://host:port`; the same after a restart.
    pub url: String,
    folder: PathBuf,
    program: Program,
}

/// A shop. It, its provider and everything that they wrote are gone when it is dropped.
pub struct Shop {
    /// The payment provider.
    pub provider: Provider,
    /// What is in its books.
    pub ledger: Ledger,
    /// The way to the port of browsers and phones.
    pub edge: Way,
    /// The way to the port of internal teams.
    pub internal: Way,
    /// The port of Prometheus, `http://host:port`.
    pub ops: String,
    program: Program,
    settings: Vec<String>,
    // Last: removed after the processes are gone.
    folder: TempDir,
}

impl Shop {
    /// A shop that is open.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same, with settings (`KEY=VALUE`) of its own.
    pub async fn with(settings: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let provider = Provider::start(folder.path()).await;
        // All customers of a test come from one address. A later setting wins.
        let unlimited = ["edge.rate_limits=off"];
        let mut settings: Vec<String> =
            unlimited.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        settings.push(format!("payment.provider_url={}", provider.url));
        let program = open(folder.path(), &settings);
        let edge = Way::new(&program.address("the shop").await);
        let internal = Way::new(&program.address("internal gRPC").await);
        let ops = program.address("metrics").await.trim_end_matches("/metrics").to_owned();
        let ledger = Ledger::new(&provider.url);
        Self { provider, ledger, edge, internal, ops, program, settings, folder }
    }

    /// The shop's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The shop's process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Ends the shop as a power cut would. The provider stays.
    pub fn kill_9(&mut self) {
        // The ports are free now for any other test's shop, which our callers must not take for ours.
        self.edge.lead_nowhere();
        self.internal.lead_nowhere();
        self.program.kill_9();
    }

    /// Tells the shop to stop, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.program.signal("TERM");
        self.program.ended().await
    }

    /// Opens the shop again after it has ended, on other ports; who calls by [`Way`] finds them.
    pub async fn restart(&mut self) {
        self.reopen();
        self.opened().await;
    }

    /// Starts the shop's process again, and does not wait for it.
    pub fn reopen(&mut self) {
        self.program = open(self.folder.path(), &self.settings);
    }

    /// Waits until the shop that was started again is open.
    pub async fn opened(&mut self) {
        self.edge.lead_to(&self.program.address("the shop").await);
        self.internal.lead_to(&self.program.address("internal gRPC").await);
        self.ops = self.program.address("metrics").await.trim_end_matches("/metrics").to_owned();
    }

    /// A customer, just registered, who calls through the edge.
    pub async fn customer(&self) -> Caller {
        Caller::register(&self.edge).await
    }

    /// Somebody without a token, who calls through the edge.
    pub fn stranger(&self) -> Caller {
        Caller::stranger(&self.edge)
    }

    /// Staff, who call through the internal port.
    pub fn staff(&self) -> Caller {
        Caller::with_token(&self.internal, &self.token(Role::Staff))
    }

    /// A token of the shop's own key, as `souk token` prints.
    pub fn token(&self, role: Role) -> String {
        let keys = Keys::load(&self.data()).unwrap();
        keys.signer.sign(STAFF, role, TOKEN_TTL, SystemClock.now_ms()).unwrap()
    }

    /// How the shop stands before a load.
    pub async fn baseline(&self) -> Baseline {
        self.checker().baseline().await.unwrap()
    }

    /// Waits until the shop has come to rest, and makes sure that every invariant holds; `acknowledged` are all orders
    /// that were answered.
    pub async fn settle(&self, baseline: &Baseline, acknowledged: &[String]) -> Verdict {
        let verdict = self.checker().settle(baseline, acknowledged, REST_LIMIT).await.unwrap();
        println!("{} orders acknowledged\n{verdict}", acknowledged.len());
        if !verdict.holds() {
            for case in verdict.broken(Rule::AtRest).iter().take(SHOWN) {
                println!("{case}");
                let words = case.split([' ', '/', ':']);
                words.filter(|word| word.len() == UUID_CHARS).for_each(|id| self.tell_of(id));
            }
            panic!("the shop does not hold what it promises");
        }
        verdict
    }

    /// What a command of `souk` says about this shop.
    pub fn souk(&self, arguments: &[&str], input: &str) -> Output {
        let internal = self.internal.url();
        let internal = internal.trim_start_matches("http://");
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_souk"))
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .args(["--set", &format!("listen.internal={internal}")])
            // Settings in the environment of who runs the tests are not the test's.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading; what it was for shows in what it says.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Prints everything that has happened to an order.
    fn tell_of(&self, order_id: &str) {
        let arguments = ["workflow", "show", &format!("order/{order_id}")];
        let told = self.souk(&arguments, "");
        println!("{}", String::from_utf8_lossy(&[told.stdout, told.stderr].concat()));
    }

    fn checker(&self) -> souk_bench::invariants::Shop {
        let places = Places::together(&self.internal.url());
        souk_bench::invariants::Shop::new(&places, &self.provider.url, &self.data()).unwrap()
    }
}

fn open(folder: &Path, settings: &[String]) -> Program {
    let data = folder.join("data").display().to_string();
    let mut arguments = vec!["up".to_owned(), "--data".to_owned(), data];
    let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
    for setting in ports.iter().chain(settings) {
        arguments.extend(["--set".to_owned(), setting.clone()]);
    }
    Program::start(arguments, &folder.join("shop.log"))
}

impl Provider {
    /// A provider whose books are in `folder`.
    pub async fn start(folder: &Path) -> Self {
        Self::on(&super::steady_address(), folder.to_owned()).await
    }

    async fn on(listen: &str, folder: PathBuf) -> Self {
        let ledger = folder.join("ledger").display().to_string();
        let arguments =
            ["sandbox-provider", "--with-parent", "--listen", listen, "--ledger", &ledger];
        let program = Program::start(arguments, &folder.join("provider.log"));
        let url = program.said("sandbox-provider listens on ").await.trim().to_owned();
        Self { url, folder, program }
    }

    /// Ends it as a power cut would.
    pub fn kill_9(&mut self) {
        self.program.kill_9();
    }

    /// Starts it again, with its books, where it was.
    pub async fn restart(&mut self) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        *self = Self::on(&listen, self.folder.clone()).await;
    }
}
