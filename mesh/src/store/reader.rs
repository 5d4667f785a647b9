//! A bounded pool of read-only connections, used from the runtime's blocking threads, and for look-ups in place.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::job::run_caught;
use super::{Error, connection};

/// Reads that run at once.
const READERS: usize = 4;
/// Reads that may wait for a reader; beyond it a read is refused.
const WAITING_READS: usize = 4096;

/// Idle connections, and the right to use one.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    present: AtomicUsize,
}

/// Counts a read as present for as long as it lives.
struct Presence<'a>(&'a AtomicUsize);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Readers {
    /// Opens the first connection, so that a file that cannot be read is found at start.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let first = connection::open_reader(path)?;
        Ok(Readers {
            path: path.to_owned(),
            idle: Mutex::new(vec![first]),
            permits: Semaphore::new(READERS),
            present: AtomicUsize::new(0),
        })
    }

    /// Waits for a turn; bounded by [`WAITING_READS`].
    pub(super) async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let present = self.present.fetch_add(1, Ordering::Relaxed);
        let _presence = Presence(&self.present);
        if present >= WAITING_READS {
            return Err(Error::Overloaded);
        }
        self.permits.acquire().await.map_err(|_| Error::Closed)
    }

    /// Runs a closure on one snapshot of the database.
    pub(super) fn run<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::open_reader(&self.path)?,
        };
        begin(&connection, "BEGIN").map_err(Error::from)?;
        let result = run_caught(work, &connection);
        // Only a connection that is surely outside a transaction goes back to the pool.
        if connection.is_autocommit() || begin(&connection, "ROLLBACK").is_ok() {
            self.idle.lock().push(connection);
        }
        result
    }
}

fn begin(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
