//! Opens the one fjall folder that the log and the keyed tables share, and refuses a damaged one.
//!
//! Layout of the engine's folder: `lock` (held while open), `acknowledged` (see [`super::acknowledged`]), `store/` (fjall's
//! own files) and, after a write was torn by a power failure, `cut-…` copies of the bytes that were cut off. A new store
//! is built beside and renamed, so that a process killed during its very first start leaves nothing half made.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use super::acknowledged::{self, Acknowledged};
use super::check;
use super::error::StorageError;

const LOCK_FILE: &str = "lock";
const STORE_FOLDER: &str = "store";
const CREATING_FOLDER: &str = "store.creating";

/// How often the lock is tried: a process that is just ending, or a child that was just forked, holds it for a moment.
const LOCK_TRIES: u32 = 5;
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Bound on the journals that are kept until what they hold is written to tables; also bounds the replay at a start.
const JOURNAL_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
/// Memory for blocks read back from disk.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Threads that write memtables out and compact.
const WORKER_THREADS: usize = 2;
/// How much of a keyspace is gathered in memory before it is written out: of those that take whole slots and histories …
const LARGE_MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// … and of the indexes.
const SMALL_MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;

/// The engine's folder, open; its log and its tables are [`super::FjallLog`] and
/// [`crate::engine::tables::fjall::FjallTables`].
pub struct Store {
    pub(crate) database: Database,
    pub(crate) keyspaces: Keyspaces,
    pub(super) acknowledged: Mutex<Acknowledged>,
    folder: PathBuf,
    /// Held, not read: dropping it lets another process in.
    _lock: File,
}

/// The keyspaces of the store, each one ordered map.
pub(crate) struct Keyspaces {
    /// (log id, slot) → the slot's bytes.
    pub(crate) log: Keyspace,
    /// Single values: the drain's cursor, how far each log is trimmed.
    pub(crate) meta: Keyspace,
    /// Run id → the row of a run that is open.
    pub(crate) open: Keyspace,
    /// Run id → the row of a run that is closed, and its history if that is short.
    pub(crate) closed: Keyspace,
    /// (run id, first sequence number) → a chunk of history.
    pub(crate) history: Keyspace,
    /// (workflow id, run id) → nothing.
    pub(crate) workflow_ids: Keyspace,
    /// (type, state, run id) → nothing.
    pub(crate) listing: Keyspace,
    /// Run id of an open run that is active → nothing.
    pub(crate) active: Keyspace,
    /// (time, run id, command) → nothing.
    pub(crate) timers: Keyspace,
}

impl Keyspaces {
    fn open(database: &Database) -> fjall::Result<Self> {
        let keyspace = |name, memtable_bytes| {
            database.keyspace(name, || {
                KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes)
            })
        };
        Ok(Self {
            log: keyspace("log", LARGE_MEMTABLE_BYTES)?,
            meta: keyspace("meta", SMALL_MEMTABLE_BYTES)?,
            open: keyspace("open", LARGE_MEMTABLE_BYTES)?,
            closed: keyspace("closed", LARGE_MEMTABLE_BYTES)?,
            history: keyspace("history", LARGE_MEMTABLE_BYTES)?,
            workflow_ids: keyspace("workflow_ids", SMALL_MEMTABLE_BYTES)?,
            listing: keyspace("listing", SMALL_MEMTABLE_BYTES)?,
            active: keyspace("active", SMALL_MEMTABLE_BYTES)?,
            timers: keyspace("timers", SMALL_MEMTABLE_BYTES)?,
        })
    }
}

impl Store {
    /// Opens the store in `folder`, creating it if there is none. Only one process may have it open.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has it open; [`StorageError::Damaged`] when something that was
    /// acknowledged cannot be read back, in which case nothing was changed except as the error says; otherwise what the
    /// operating system or the database answered.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| StorageError::io("create", folder, source))?;
        let lock = lock(folder)?;
        let store = folder.join(STORE_FOLDER);
        let exists =
            store.try_exists().map_err(|source| StorageError::io("read", &store, source))?;
        if !exists {
            create(folder)?;
        }
        let mut acknowledged = Acknowledged::open(folder)
            .map_err(|source| StorageError::io("open", &acknowledged::path(folder), source))?;
        let cut = match acknowledged.newest() {
            Some(mark) => check::before_opening(folder, &store, mark)?,
            None => None,
        };
        let (database, keyspaces) =
            open_database(&store).map_err(|source| StorageError::fjall(folder, source))?;
        let mark = check::after_opening(folder, &keyspaces, acknowledged.newest(), cut.as_deref())?;
        acknowledged
            .remember(mark)
            .map_err(|source| StorageError::io("write", &acknowledged::path(folder), source))?;
        Ok(Self {
            database,
            keyspaces,
            acknowledged: acknowledged.into(),
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.database.persist(PersistMode::SyncData).map_err(|source| self.error(source))
    }

    /// Names the folder in a database error.
    pub(crate) fn error(&self, source: fjall::Error) -> StorageError {
        StorageError::fjall(&self.folder, source)
    }
}

fn lock(folder: &Path) -> Result<File, StorageError> {
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| StorageError::io("open", &path, source))?;
    let mut tries = 1;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::InUse { folder: folder.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StorageError::io("lock", &path, source));
            }
        }
    }
}

fn open_database(store: &Path) -> fjall::Result<(Database, Keyspaces)> {
    let database = Database::builder(store)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_LIMIT_BYTES)
        .worker_threads(WORKER_THREADS)
        .open()?;
    let keyspaces = Keyspaces::open(&database)?;
    Ok((database, keyspaces))
}

fn create(folder: &Path) -> Result<(), StorageError> {
    let creating = folder.join(CREATING_FOLDER);
    match std::fs::remove_dir_all(&creating) {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StorageError::io("remove", &creating, source)),
    }
    open_database(&creating)
        .and_then(|(database, _)| database.persist(PersistMode::SyncAll))
        .map_err(|source| StorageError::fjall(folder, source))?;
    let store = folder.join(STORE_FOLDER);
    std::fs::rename(&creating, &store)
        .map_err(|source| StorageError::io("rename", &creating, source))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StorageError::io("sync", folder, source))
}
