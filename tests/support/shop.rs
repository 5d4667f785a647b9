//! A whole shop of a test's own, and the payment provider beside it, which outlives it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use souk_mesh::identity::{Keys, Role};
use tempfile::TempDir;

use super::{Caller, Ledger, Program, Way};

/// How long a token for staff works: longer than any test.
const TOKEN_TTL: Duration = Duration::from_secs(60 * 60);
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
        let mut settings: Vec<String> =
            settings.iter().map(|setting| (*setting).to_owned()).collect();
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
        self.program.kill_9();
    }

    /// Tells the shop to stop, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.program.signal("TERM");
        self.program.ended().await
    }

    /// Opens the shop again after it has ended, on other ports; who calls by [`Way`] finds them.
    pub async fn restart(&mut self) {
        self.program = open(self.folder.path(), &self.settings);
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
        let keys = Keys::load_or_create(&self.data().join("keys")).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = i64::try_from(now.as_millis()).unwrap();
        keys.signer.sign(STAFF, role, TOKEN_TTL, now_ms).unwrap()
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
        Self::on("127.0.0.1:0", folder.to_owned()).await
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
