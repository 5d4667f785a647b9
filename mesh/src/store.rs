//! The embedded store: one SQLite file per service, written by group commit.
//!
//! [`Store::write`] hands a closure to the one writer thread. All closures that wait are run in
//! one transaction, a savepoint each, and answered after one sync of the disk: an `Err` or a
//! panic undoes only its own closure, and no answer leaves before it is durable. Closures of a
//! group see each other's effects, as if they had been committed one after the other.
//! [`Store::read`] runs on read-only connections, each closure on one snapshot.
//!
//! docs/STORES.md tells the rest: settings, bounds, what ends the process.

mod checkpoint;
mod connection;
mod job;
mod migration;
mod reader;
mod status;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use rusqlite::Connection;
use tokio::sync::watch;

use job::{Job, Write};
pub use migration::Migration;
use reader::Readers;

/// Writes that may wait for the writer; beyond it a write is refused as [`Error::Overloaded`].
const WAITING_WRITES: usize = 4096;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The file cannot have a write-ahead log (a network file system, most likely).
    #[error(
        "the database stays in journal mode {mode}: its file system cannot hold a write-ahead log"
    )]
    NoWal {
        /// The mode that SQLite keeps.
        mode: String,
    },
    /// A thread could not be started.
    #[error("cannot start a thread of the store: {0}")]
    Thread(std::io::Error),
    /// The file was written by a newer build.
    #[error(
        "the database holds version {found} of the {component} tables, this build knows {known}: run the newer build, or restore a backup of before the upgrade"
    )]
    Newer {
        /// Whose tables.
        component: &'static str,
        /// The version in the file.
        found: u32,
        /// The newest version of this build.
        known: u32,
    },
    /// The migrations given are not numbered 1, 2, 3 …
    #[error("the migrations of the {component} tables are not numbered 1, 2, 3 without gaps")]
    MigrationOrder {
        /// Whose tables.
        component: &'static str,
    },
    /// A migration failed; nothing of it, or of those after it, was applied.
    #[error("migration {version} ({name}) of the {component} tables failed: {source}")]
    Migration {
        /// Whose tables.
        component: &'static str,
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Too much waits already; nothing was written. Worth trying again.
    #[error("the store has too much waiting")]
    Overloaded,
    /// The whole group was undone; nothing was written. Worth trying again.
    #[error("the write was undone with its group: {0}")]
    RolledBack(String),
    /// The commit failed: whether the write is durable is not known.
    #[error("the commit failed, its outcome is unknown: {0}")]
    CommitFailed(String),
    /// The closure panicked; its effects were undone.
    #[error("a database closure panicked: {0}")]
    Panicked(String),
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// How far the store has come in this process; see [`Store::commits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// Groups committed that wrote something.
    pub total: u64,
    /// Of these, the ones that put events into the outbox.
    pub with_events: u64,
}

/// What is done when a commit or a sync fails, given the cause.
pub type FailedCommit = Arc<dyn Fn(&str) + Send + Sync>;

/// One database file; clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    queue: SyncSender<Box<dyn Job>>,
    readers: Readers,
    commits: watch::Receiver<Commits>,
}

impl Store {
    /// Opens or creates the file and brings its tables up to date: the service's, by
    /// `migrations`, and the mesh's own (outbox, inbox, request answers).
    pub fn open(path: &Path, migrations: &'static [Migration]) -> Result<Store, Error> {
        Store::open_with(path, migrations, Arc::new(end_process))
    }

    /// As [`Store::open`], with another reaction to a failed commit than ending the process.
    /// Should it return, the store is closed.
    pub fn open_with(
        path: &Path,
        migrations: &'static [Migration],
        failed_commit: FailedCommit,
    ) -> Result<Store, Error> {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let mut connection = connection::open_writer(path)?;
        migration::migrate(
            &mut connection,
            &[("mesh", crate::mesh_tables::MIGRATIONS), ("service", migrations)],
        )?;
        let readers = Readers::open(path)?;
        let (queue, jobs) = sync_channel(WAITING_WRITES);
        let (sender, commits) = watch::channel(Commits::default());
        let checkpointer = checkpoint::Checkpointer::start(&name, path, failed_commit.clone())?;
        let writer =
            writer::Writer::new(&name, connection, jobs, sender, checkpointer, failed_commit)?;
        std::thread::Builder::new()
            .name(format!("{name}-write"))
            .spawn(move || writer.run())
            .map_err(Error::Thread)?;
        let shared = Shared { path: path.to_owned(), queue, readers, commits };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Runs a closure on the writer and answers once its group is durable.
    ///
    /// `Err`, or a panic, undoes what the closure wrote and nothing else. The closure must not
    /// begin or end transactions, and must not wait for anything: everyone's writes stand behind
    /// it. A caller that goes away before its turn takes its write along; one that goes away
    /// later does not.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = Write::new(work);
        match self.shared.queue.try_send(Box::new(job)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Error::Overloaded.into()),
            Err(TrySendError::Disconnected(_)) => return Err(Error::Closed.into()),
        }
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Runs a closure on a read-only connection; all of it sees one snapshot, which holds every
    /// write that was answered before.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let shared = self.shared.clone();
        let turn = shared.readers.turn().await?;
        let reading = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || reading.readers.run(work)).await;
        drop(turn);
        read.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// As [`Store::read`], on the caller's own thread: for closures that find a few rows by their keys, which takes
    /// less time than to hand them to another thread.
    pub async fn look_up<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.shared.readers.turn().await?;
        self.shared.readers.run(work)
    }

    /// Changes after each commit of this process; for those who wait for news instead of polling.
    pub fn commits(&self) -> watch::Receiver<Commits> {
        self.shared.commits.clone()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

fn end_process(cause: &str) {
    tracing::error!(cause, "a commit failed: ending the process, a restart reads what is durable");
    // Standard error too: the log may be buffered.
    eprintln!("souk: a commit failed ({cause}): ending the process");
    std::process::abort();
}
