//! A sandbox payment provider: its own process, ledger and faults, spoken to over HTTP.
//!
//! It stands where Stripe would stand, with Stripe's names and rules as far as the shop needs them:
//! payment intents with manual capture, refunds, idempotency keys, 3-D Secure challenges. The tokens
//! that customers pay with decide what goes wrong (see `token.rs`). What it answered is durable
//! before it answers, so it can be killed at any time, as can the shop.
//!
//! The README of this crate lists paths, tokens and errors.

mod challenge;
mod connection;
mod error;
mod http;
mod intent;
mod ledger;
mod token;
mod wire;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::{SharedClock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use ledger::KEY_RETENTION_MS;

/// How late `tok_slow` answers unless told otherwise.
pub const SLOW: Duration = Duration::from_secs(3);
/// How often expired idempotency keys are swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
const LOCK_FILE: &str = "lock";
const LEDGER_FILE: &str = "ledger.sqlite";

/// What can be chosen about a provider.
#[derive(Clone)]
pub struct Options {
    /// Time for the ledger's entries and the keys' age.
    pub clock: SharedClock,
    /// How late `tok_slow` answers.
    pub slow: Duration,
    /// Where customers reach the challenge pages; `http://` and the listening address when `None`.
    pub public_url: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { clock: Arc::new(SystemClock), slow: SLOW, public_url: None }
    }
}

/// Serves on `listener` from the data folder until `shutdown`, and says on standard output where it
/// listens.
///
/// # Errors
/// When the folder cannot be used, or is used by another process, or the ledger does not open.
pub async fn serve(
    listener: TcpListener,
    data: &Path,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let provider = Provider::open(listener, data, Options::default())?;
    println!("sandbox-provider listens on {}", provider.url());
    provider.serve(shutdown).await
}

/// A provider whose ledger is open and whose address is known.
pub struct Provider {
    listener: TcpListener,
    url: String,
    app: http::App,
    /// Held as long as the provider lives; the system lets go of it even after `kill -9`.
    _lock: File,
}

impl Provider {
    /// Takes the data folder and opens the ledger.
    ///
    /// # Errors
    /// As [`serve`].
    pub fn open(listener: TcpListener, data: &Path, options: Options) -> Result<Provider, Error> {
        let lock = lock(data)?;
        let url = format!("http://{}", listener.local_addr()?);
        let public_url = options.public_url.unwrap_or_else(|| url.clone());
        let ledger = ledger::Ledger::open(&data.join(LEDGER_FILE), &public_url)?;
        let app = http::App { ledger, clock: options.clock, slow: options.slow };
        Ok(Provider { listener, url, app, _lock: lock })
    }

    /// The base address of the API, for example `http://127.0.0.1:9700`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until `shutdown`, then finishes what is in flight.
    ///
    /// # Errors
    /// When expired keys cannot be swept because the ledger fails.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let serving =
            connection::serve(self.listener, http::routes(self.app.clone()), shutdown.clone());
        tokio::pin!(serving);
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = &mut serving => return Ok(()),
                _ = interval.tick() => {
                    let forgotten = self.app.ledger.sweep(self.app.clock.now_ms()).await?;
                    tracing::debug!(forgotten, "swept expired idempotency keys");
                }
            }
        }
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let name = || folder.display().to_string();
    let cannot = |source| Error::Folder { folder: name(), source };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let file = File::create(folder.join(LOCK_FILE)).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::FolderInUse { folder: name() }),
        Err(TryLockError::Error(source)) => Err(cannot(source)),
    }
}
