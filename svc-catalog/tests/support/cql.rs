//! Stores on a CQL server. Keyspaces cost the server, so tests share a few.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use souk_backends::cql_for_tests;
use souk_catalog::config::{Config, Store as Kind};
use souk_catalog::store::Store;
use souk_catalog::store::cql::CqlStore;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql;
use souk_mesh::platform::Platform;
use souk_mesh::tasks::Tasks;
use souk_mesh::testing::Told;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::NOW;

/// Long after all holds and tombstones of tests that are ever looked at.
const MUCH_LATER: i64 = NOW + 7 * 24 * 60 * 60 * 1000;

/// For how long a process may drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// A keyspace of this run.
pub struct Keyspace {
    config: LazyLock<Option<cql::Config>>,
    /// Its tables are made once.
    is_made: OnceCell<()>,
    alone: Mutex<()>,
}

/// Where tests are that use only what they made themselves.
pub static APART: Keyspace = Keyspace::new();
/// Where tests are that sweep, one at a time.
static SWEPT: Keyspace = Keyspace::new();
/// Where the demonstration shop is.
pub static SHOP: Keyspace = Keyspace::new();

impl Keyspace {
    const fn new() -> Keyspace {
        let config = LazyLock::new(server as fn() -> Option<cql::Config>);
        Keyspace { config, is_made: OnceCell::const_new(), alone: Mutex::const_new(()) }
    }

    /// The settings of a catalog on it; `None` where there is no server.
    pub fn config(&self) -> Option<Config> {
        let cql = self.config.clone()?;
        Some(Config { store: Kind::Cql, cql, ..Config::default() })
    }

    /// A process's store.
    pub async fn store(&self, platform: &Platform) -> CqlStore {
        let config = self.config.as_ref().unwrap();
        let open = async || CqlStore::open(config, platform).await.unwrap();
        self.is_made.get_or_init(async || drop(open().await)).await;
        open().await
    }
}

fn server() -> Option<cql::Config> {
    cql_for_tests().map(cql::Config::for_tests)
}

/// A store for one test.
pub struct Cql {
    store: Arc<CqlStore>,
    told: Arc<Told>,
    tasks: Tasks,
    _folder: TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Cql {
    pub fn store(&self) -> Arc<CqlStore> {
        Arc::clone(&self.store)
    }

    /// What it has told the rest of the shop.
    pub fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told)
    }

    async fn open(keyspace: &Keyspace, alone: Option<MutexGuard<'static, ()>>) -> Cql {
        let (folder, mut platform) = platform();
        let told = Arc::<Told>::default();
        platform.bus = told.clone();
        let store = Arc::new(keyspace.store(&platform).await);
        Cql { store, told, tasks: platform.tasks, _folder: folder, _alone: alone }
    }

    /// Ends the process as one that is told to.
    pub async fn drain(&self) {
        self.tasks.drain(DRAIN_LIMIT).await.unwrap();
    }
}

/// In a folder that goes away.
pub fn platform() -> (TempDir, Platform) {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::for_tests_at(folder.path(), Arc::new(ManualClock::new(NOW)));
    (folder, platform)
}

/// A store that other tests use too.
pub async fn apart() -> Option<Cql> {
    APART.config()?;
    Some(Cql::open(&APART, None).await)
}

/// A store in which nothing is due, and nobody else works.
pub async fn swept() -> Option<Cql> {
    SWEPT.config()?;
    let alone = SWEPT.alone.lock().await;
    // With a store of its own, as a store does not look back behind what it has swept.
    let (_folder, platform) = platform();
    let before = SWEPT.store(&platform).await;
    while before.expire_holds(MUCH_LATER, 1_000).await.unwrap() > 0 {}
    while before.forget_tombstones(MUCH_LATER, 1_000).await.unwrap() > 0 {}
    Some(Cql::open(&SWEPT, Some(alone)).await)
}

/// Does something in a process beside that of [`swept`], which dies as soon as it is done: none of its tasks goes on.
pub async fn before_dying<T, F>(work: impl FnOnce(Arc<CqlStore>) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let process = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cql = Cql::open(&SWEPT, None).await;
            work(cql.store()).await
        })
    };
    tokio::task::spawn_blocking(process).await.unwrap()
}
