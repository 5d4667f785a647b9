//! Opens the engine's folder, in which the log and the keyed tables are a fjall database each, and refuses a damaged one.
//!
//! Layout: `lock` (held while open), `acknowledged` (see [`super::acknowledged`]), `store/log/` and `store/tables/` (fjall's own
//! files) and, after a write was torn by a power failure, `cut-…` copies of the bytes that were cut off. A new store
//! is built beside and renamed, so that a process killed during its very first start leaves nothing half made.
//!
//! Two databases, because fjall has one journal and one lock for it per database: draining would hold up appends, and
//! every sync of an append would write out what was drained meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use super::acknowledged::{self, Acknowledged};
use super::check;
use super::error::StorageError;

const LOCK_FILE: &str = "lock";
pub(super) const STORE_FOLDER: &str = "store";
const CREATING_FOLDER: &str = "store.creating";
const LOG_FOLDER: &str = "log";
const TABLES_FOLDER: &str = "tables";

/// How often the lock is tried: a process that is just ending, or a child that was just forked, holds it for a moment.
const LOCK_TRIES: u32 = 5;
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Bound on the journals of a database, kept until what they hold is written to tables; also bounds the replay at a start.
const JOURNAL_LIMIT_BYTES: u64 = 128 * 1024 * 1024;
/// Memory for blocks read back from disk: of the log, which is hardly ever read back …
const LOG_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// … and of the tables.
const TABLES_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Threads per database that write memtables out and compact. Not more: of several, fjall 3.1 keeps one for writing out,
/// and that one hands compactions on in circles, at full speed, for as long as the others are busy.
const WORKER_THREADS: usize = 1;
/// How much of a keyspace is gathered in memory before it is written out: of the log, most of which is trimmed before …
const LOG_MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;
/// … of those that take whole histories …
const LARGE_MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// … and of the indexes.
const SMALL_MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;

/// The engine's folder, open; its log and its tables are [`super::FjallLog`] and
/// [`crate::engine::tables::fjall::FjallTables`].
pub struct Store {
    pub(super) log: LogDatabase,
    pub(crate) tables: TablesDatabase,
    pub(super) acknowledged: Mutex<Acknowledged>,
    folder: PathBuf,
    /// Held, not read: dropping it lets another process in.
    _lock: File,
}

/// The log's database.
pub(super) struct LogDatabase {
    pub(super) database: Database,
    /// (log id, slot) → the slot's bytes.
    pub(super) slots: Keyspace,
    /// Log id → the first slot that is not trimmed.
    pub(super) trimmed: Keyspace,
}

/// The tables' database. Each keyspace is one ordered map.
pub(crate) struct TablesDatabase {
    pub(crate) database: Database,
    /// The drain's cursor.
    pub(crate) cursor: Keyspace,
    /// Run id → the row of a run that is open.
    pub(crate) open: Keyspace,
    /// Run id → the row of a run that is closed, and its history if that is short.
    pub(crate) closed: Keyspace,
    /// (run id, first sequence number) → a chunk of history.
    pub(crate) history: Keyspace,
    /// Workflow id → the id of its newest run.
    pub(crate) workflow_ids: Keyspace,
    /// (type, state, run id) → nothing.
    pub(crate) listing: Keyspace,
    /// Run id of an open run that is active → nothing.
    pub(crate) active: Keyspace,
    /// (time, run id, command) → nothing.
    pub(crate) timers: Keyspace,
}

impl LogDatabase {
    fn open(store: &Path) -> fjall::Result<Self> {
        // Everybody waits for a slot: it is not compressed on its way.
        let database =
            open_database(&store.join(LOG_FOLDER), LOG_CACHE_BYTES, CompressionType::None)?;
        Ok(Self {
            slots: keyspace(&database, "slots", LOG_MEMTABLE_BYTES)?,
            trimmed: keyspace(&database, "trimmed", SMALL_MEMTABLE_BYTES)?,
            database,
        })
    }
}

impl TablesDatabase {
    fn open(store: &Path) -> fjall::Result<Self> {
        let database =
            open_database(&store.join(TABLES_FOLDER), TABLES_CACHE_BYTES, CompressionType::Lz4)?;
        Ok(Self {
            cursor: keyspace(&database, "cursor", SMALL_MEMTABLE_BYTES)?,
            open: keyspace(&database, "open", LARGE_MEMTABLE_BYTES)?,
            closed: keyspace(&database, "closed", LARGE_MEMTABLE_BYTES)?,
            history: keyspace(&database, "history", LARGE_MEMTABLE_BYTES)?,
            workflow_ids: keyspace(&database, "workflow_ids", SMALL_MEMTABLE_BYTES)?,
            listing: keyspace(&database, "listing", SMALL_MEMTABLE_BYTES)?,
            active: keyspace(&database, "active", SMALL_MEMTABLE_BYTES)?,
            timers: keyspace(&database, "timers", SMALL_MEMTABLE_BYTES)?,
            database,
        })
    }
}

fn open_database(
    folder: &Path,
    cache_bytes: u64,
    journal_compression: CompressionType,
) -> fjall::Result<Database> {
    Database::builder(folder)
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNAL_LIMIT_BYTES)
        .worker_threads(WORKER_THREADS)
        .journal_compression(journal_compression)
        .open()
}

fn keyspace(database: &Database, name: &str, memtable_bytes: u64) -> fjall::Result<Keyspace> {
    database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes))
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
        let cut =
            check::log_before_opening(folder, &store.join(LOG_FOLDER), acknowledged.newest())?;
        check::tables_before_opening(folder, &store.join(TABLES_FOLDER))?;
        let fjall = |source| StorageError::fjall(folder, source);
        let log = LogDatabase::open(&store).map_err(fjall)?;
        let tables = TablesDatabase::open(&store).map_err(fjall)?;
        let mark = check::log_after_opening(folder, &log, acknowledged.newest(), cut.as_deref())?;
        acknowledged
            .remember(mark)
            .map_err(|source| StorageError::io("write", &acknowledged::path(folder), source))?;
        Ok(Self {
            log,
            tables,
            acknowledged: acknowledged.into(),
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// Names the folder in a database error.
    pub(crate) fn error(&self, source: fjall::Error) -> StorageError {
        StorageError::fjall(&self.folder, source)
    }
}

pub(super) fn lock(folder: &Path) -> Result<File, StorageError> {
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

fn create(folder: &Path) -> Result<(), StorageError> {
    let creating = folder.join(CREATING_FOLDER);
    match std::fs::remove_dir_all(&creating) {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StorageError::io("remove", &creating, source)),
    }
    let build = || -> fjall::Result<()> {
        LogDatabase::open(&creating)?.database.persist(PersistMode::SyncAll)?;
        TablesDatabase::open(&creating)?.database.persist(PersistMode::SyncAll)
    };
    build().map_err(|source| StorageError::fjall(folder, source))?;
    sync_folder(&creating)?;
    let store = folder.join(STORE_FOLDER);
    std::fs::rename(&creating, &store)
        .map_err(|source| StorageError::io("rename", &creating, source))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StorageError::io("sync", folder, source))
}
