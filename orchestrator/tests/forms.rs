//! The ways in which a log and its tables are kept, so that one suite runs on each.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use souk_backends::cql_for_tests;
use souk_mesh::cql;
use souk_orchestrator::engine::log::Log;
use souk_orchestrator::engine::log::fjall::{FjallLog, Store};
use souk_orchestrator::engine::log::sim::{Disk, SimLog, Unsynced};
use souk_orchestrator::engine::seams::TokioClock;
use souk_orchestrator::engine::tables::Tables;
use souk_orchestrator::engine::tables::fjall::FjallTables;
use souk_orchestrator::engine::tables::sim::SimTables;
use souk_orchestrator::store;
use souk_orchestrator::store::cql::{CqlLog, CqlTables};
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// What one process has open.
pub struct Open {
    pub log: Arc<dyn Log>,
    pub tables: Arc<dyn Tables>,
}

/// One way of keeping them, over several lives of a process.
pub trait Form {
    /// Whether a reader beside a writer sees whole steps only. On a cluster it sees whole changes of a run.
    const IS_ATOMIC: bool = true;

    /// The next process opens what there is.
    async fn open(&mut self) -> Open;
    /// The process dies without warning, and the next one opens what it left.
    async fn kill(&mut self, open: Open) -> Open;
    /// The power fails, where that can be simulated; else as `kill`.
    async fn cut_power(&mut self, open: Open) -> Open;
}

/// The simulated disk.
pub struct Simulated(pub Disk);

impl Simulated {
    pub fn new(seed: u64) -> Self {
        Self(Disk::new(seed, Arc::new(TokioClock::starting_at(0))))
    }
}

impl Form for Simulated {
    async fn open(&mut self) -> Open {
        Open { log: Arc::new(SimLog::new(&self.0)), tables: Arc::new(SimTables::new(&self.0)) }
    }

    async fn kill(&mut self, open: Open) -> Open {
        drop(open);
        self.0 = self.0.crash(Unsynced::Kept);
        self.open().await
    }

    async fn cut_power(&mut self, open: Open) -> Open {
        drop(open);
        self.0 = self.0.crash(Unsynced::SeededPrefix);
        self.open().await
    }
}

/// A folder on a real disk.
pub struct Embedded(TempDir);

impl Embedded {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Form for Embedded {
    async fn open(&mut self) -> Open {
        let store = Arc::new(Store::open(self.0.path()).unwrap());
        Open {
            log: Arc::new(FjallLog::new(store.clone())),
            tables: Arc::new(FjallTables::new(store)),
        }
    }

    /// A copy of the files as they are while the process still has them open is what its death would leave.
    async fn kill(&mut self, open: Open) -> Open {
        let copy = TempDir::new().unwrap();
        copy_folder(self.0.path(), copy.path());
        drop(open);
        self.0 = copy;
        self.open().await
    }

    async fn cut_power(&mut self, open: Open) -> Open {
        self.kill(open).await
    }
}

/// A keyspace on a server that speaks CQL. Forms of one test binary share it, one after the other: each finds it empty.
pub struct Clustered {
    keyspace: Arc<Keyspace>,
    is_clean: bool,
}

/// See [`Clustered`].
pub struct Keyspace {
    config: cql::Config,
    _alone: OwnedMutexGuard<()>,
}

impl Keyspace {
    /// `None`, and a line that says so, where no server can be had.
    pub async fn open() -> Option<Arc<Keyspace>> {
        static KEYSPACE: OnceLock<(cql::Config, Arc<Mutex<()>>)> = OnceLock::new();
        let contact_points = tokio::task::spawn_blocking(cql_for_tests).await.unwrap()?;
        let make = || (cql::Config::for_tests(contact_points), Arc::default());
        let (config, alone) = KEYSPACE.get_or_init(make);
        let alone = alone.clone().lock_owned().await;
        Some(Arc::new(Keyspace { config: config.clone(), _alone: alone }))
    }

    /// A connection of its own, as another process has.
    pub async fn session(&self) -> cql::Session {
        store::cql::open(&self.config).await.unwrap()
    }
}

impl Keyspace {
    /// A connection of its own, to a keyspace in which nothing is.
    pub async fn empty(&self) -> cql::Session {
        let session = self.session().await;
        empty(&session).await;
        session
    }
}

async fn empty(session: &cql::Session) {
    let tables = TABLES.map(|table| async move {
        let truncate = format!("TRUNCATE {{}}.{table}");
        let truncate = session.prepare(cql::Kind::Write, &truncate).await.unwrap();
        session.write(&truncate, ()).await.unwrap();
    });
    futures::future::join_all(tables).await;
}

impl Clustered {
    pub fn new(keyspace: &Arc<Keyspace>) -> Self {
        Self { keyspace: keyspace.clone(), is_clean: false }
    }

    async fn clean(&mut self, session: &cql::Session) {
        if std::mem::replace(&mut self.is_clean, true) {
            return;
        }
        empty(session).await;
    }
}

const TABLES: [&str; 13] = [
    "cluster",
    "log_slot",
    "log_part",
    "log_trim",
    "log_cursor",
    "run",
    "history",
    "workflow_id",
    "open_run",
    "active_run",
    "timer",
    "listing",
    "listing_bucket",
];

impl Form for Clustered {
    const IS_ATOMIC: bool = false;

    async fn open(&mut self) -> Open {
        let session = self.keyspace.session().await;
        self.clean(&session).await;
        Open {
            log: Arc::new(CqlLog::open(&session).await.unwrap()),
            tables: Arc::new(CqlTables::open(&session).await.unwrap()),
        }
    }

    async fn kill(&mut self, open: Open) -> Open {
        drop(open);
        self.open().await
    }

    async fn cut_power(&mut self, open: Open) -> Open {
        self.kill(open).await
    }
}

/// Copies a folder and everything in it, but does not write the zeros that journals were given in advance.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            let bytes = std::fs::read(entry.path()).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            std::fs::write(&target, &bytes[..used]).unwrap();
            let copy = std::fs::OpenOptions::new().write(true).open(&target).unwrap();
            copy.set_len(bytes.len() as u64).unwrap();
        }
    }
}
