//! A Restate server of this program's own: its data in a new folder, its ports free ones on the loopback address.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long the server may take to be healthy, and to accept the service.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often it is asked whether it is healthy.
const POLL: Duration = Duration::from_millis(200);
/// Characters of the log that are shown when it did not start.
const LOG_TAIL: usize = 2_000;

/// A running server.
pub struct Server {
    child: Child,
    ingress: u16,
    admin: u16,
    version: String,
    folder: TempDir,
}

impl Server {
    /// Starts `binary` with its data below `beside`. `setpriv` ends it even if this program is killed.
    pub async fn start(binary: &Path, beside: &Path) -> Result<Self> {
        let version = Command::new(binary).arg("--version").output().await;
        let version = version.with_context(|| format!("{} does not run", binary.display()))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let folder = tempfile::Builder::new().prefix("souk-bench-restate-").tempdir_in(beside)?;
        let log = File::create(folder.path().join("log"))?;
        let [ingress, admin, node] = free_ports()?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary)
            .arg("--base-dir")
            .arg(folder.path().join("data"))
            .env("RESTATE_BIND_IP", "127.0.0.1")
            .env("RESTATE_LISTEN_MODE", "tcp")
            .env("RESTATE_BIND_PORT", node.to_string())
            .env("RESTATE_INGRESS__BIND_PORT", ingress.to_string())
            .env("RESTATE_ADMIN__BIND_PORT", admin.to_string())
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RESTATE_LOG_FILTER", "warn")
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("setpriv cannot be started")?;
        let mut server = Self { child, ingress, admin, version, folder };
        server.until_healthy().await?;
        Ok(server)
    }

    /// Where orders are placed.
    pub fn ingress(&self) -> String {
        format!("http://127.0.0.1:{}", self.ingress)
    }

    /// What runs, for the table: nothing but ports, the log and telemetry differs from the defaults.
    pub fn settings(&self) -> String {
        format!(
            "{}, Rust SDK 0.13.0; one node, default settings (24 partitions, replication 1, log synced)",
            self.version
        )
    }

    /// Makes the service at `address` known.
    pub async fn register(&self, address: SocketAddr) -> Result<()> {
        let body = serde_json::json!({ "uri": format!("http://{address}") }).to_string();
        let request = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/deployments", self.admin))
            .header("content-type", "application/json")
            .timeout(START_LIMIT)
            .body(body);
        let answer = request.send().await.context("the admin port does not answer")?;
        if !answer.status().is_success() {
            bail!("the service was refused: {} {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// Ends the server and removes its folder.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await.context("the server cannot be ended")?;
        }
        Ok(())
    }

    async fn until_healthy(&mut self) -> Result<()> {
        let health = [
            format!("http://127.0.0.1:{}/health", self.admin),
            format!("{}/restate/health", self.ingress()),
        ];
        let started = Instant::now();
        for url in health {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the server ended with {status}:\n{}", self.log_tail());
                }
                if started.elapsed() > START_LIMIT {
                    bail!("the server is not healthy after {START_LIMIT:?}:\n{}", self.log_tail());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }
}

/// Ports that were free a moment ago; all are held until all are found, so that they differ.
fn free_ports() -> Result<[u16; 3]> {
    let holders = [free()?, free()?, free()?];
    let port = |holder: &TcpListener| holder.local_addr().map(|address| address.port());
    Ok([port(&holders[0])?, port(&holders[1])?, port(&holders[2])?])
}

fn free() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").context("no port is free")
}
