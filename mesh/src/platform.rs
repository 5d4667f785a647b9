//! What a service is handed at its start: everything it shares with the rest of its process.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bus::{self, Bus};
use crate::client::Directory;
use crate::clock::{SharedClock, SystemClock};
use crate::identity::{self, Keys};
use crate::page;
use crate::server::{self, ServerStack};
use crate::tasks::Tasks;
use crate::telemetry::Readiness;

/// The file in a service's data folder that the process using it holds locked.
const LOCK_FILE: &str = "process.lock";
/// The folder of the event bus, which processes share.
const BUS_FOLDER: &str = "bus";

/// Why a process could not have its data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder could not be made or locked.
    #[error("data folder {folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("data folder {folder} is in use by another process{}", holder_text(.holder))]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// That process's id, if it left one.
        holder: Option<u32>,
    },
    /// The signing key could not be had.
    #[error(transparent)]
    Keys(#[from] identity::Error),
    /// The event bus could not be opened.
    #[error("event bus: {0}")]
    Bus(#[from] bus::Error),
}

fn holder_text(holder: &Option<u32>) -> String {
    holder.map_or_else(String::new, |id| format!(" (process {id})"))
}

/// What the services of one process share. Cheap to clone.
#[derive(Clone)]
pub struct Platform {
    /// The time.
    pub clock: SharedClock,
    /// The way to other services.
    pub directory: Directory,
    /// The way to those who are told what happened.
    pub bus: Arc<dyn Bus>,
    /// The signing key.
    pub keys: Arc<Keys>,
    /// Background work, and the drain.
    pub tasks: Tasks,
    /// What servers put around their services.
    pub stack: ServerStack,
    /// Page tokens of lists.
    pub pages: page::Tokens,
    /// Whether this process wants calls.
    pub readiness: Readiness,
    data: PathBuf,
    locks: Arc<Mutex<HashMap<PathBuf, File>>>,
}

impl Platform {
    /// The platform of a process whose data is below `data`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::Keys`], [`Error::Bus`].
    pub fn open(
        data: &Path,
        clock: SharedClock,
        limits: server::Limits,
        bus: &bus::Config,
    ) -> Result<Self, Error> {
        make_folder(data)?;
        let keys = Arc::new(Keys::load_or_create(data)?);
        let bus_folder = data.join(BUS_FOLDER);
        make_folder(&bus_folder)?;
        let bus = bus.open(&bus_folder, Arc::clone(&clock))?;
        let tasks = Tasks::new();
        let stack = ServerStack::new(Arc::clone(&keys), Arc::clone(&clock), tasks.token(), limits);
        Ok(Self {
            directory: Directory::new(stack.clone(), Arc::clone(&keys), Arc::clone(&clock)),
            pages: page::Tokens::new(&keys),
            readiness: Readiness::new(tasks.token()),
            data: data.to_owned(),
            locks: Arc::new(Mutex::new(HashMap::new())),
            clock,
            bus,
            keys,
            tasks,
            stack,
        })
    }

    /// A platform for a test, with the machine's clock and its data in a folder that the test throws away. Another
    /// clock is put in by [`Platform::for_tests_at`].
    ///
    /// # Panics
    /// When the folder cannot be used.
    #[must_use]
    pub fn for_tests(temp: &Path) -> Self {
        Self::for_tests_at(temp, Arc::new(SystemClock))
    }

    /// A platform for a test that moves the clock by hand.
    ///
    /// # Panics
    /// When the folder cannot be used.
    #[must_use]
    pub fn for_tests_at(temp: &Path, clock: SharedClock) -> Self {
        Self::open(temp, clock, server::Limits::default(), &bus::Config::default())
            .expect("a test's folder can be used")
    }

    /// The same platform for one service: its calls show themselves as `service:<name>`.
    #[must_use]
    pub fn for_service(&self, name: &str) -> Self {
        Self { directory: self.directory.for_service(name), ..self.clone() }
    }

    /// The folder of a service's data: made if it is not there, and this process's alone while the platform lives.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::InUse`].
    pub fn data_folder(&self, service: &str) -> Result<PathBuf, Error> {
        let folder = self.data.join(service);
        let mut locks = self.locks.lock();
        if !locks.contains_key(&folder) {
            make_folder(&folder)?;
            let lock = lock(&folder)?;
            locks.insert(folder.clone(), lock);
        }
        Ok(folder)
    }
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Folder { folder: folder.to_owned(), source })
}

/// The system frees the lock when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, Error> {
    let in_folder = |source| Error::Folder { folder: folder.to_owned(), source };
    let path = folder.join(LOCK_FILE);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(in_folder)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).ok().and_then(|id| id.trim().parse().ok());
            return Err(Error::InUse { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(in_folder(source)),
    }
    file.set_len(0).map_err(in_folder)?;
    writeln!(file, "{}", std::process::id()).map_err(in_folder)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_data_folder_is_one_platforms_alone() {
        let temp = tempfile::tempdir().unwrap();
        let first = Platform::for_tests(temp.path());
        let folder = first.data_folder("order").unwrap();
        assert_eq!(folder, temp.path().join("order"));
        assert_eq!(first.for_service("order").data_folder("order").unwrap(), folder);

        let second = Platform::for_tests(temp.path());
        let refused = second.data_folder("order").unwrap_err().to_string();
        assert!(refused.contains(&folder.display().to_string()), "{refused}");
        assert!(refused.contains("in use by another process"), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        assert!(second.data_folder("catalog").is_ok());

        drop(first);
        assert!(second.data_folder("order").is_ok());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let platform = Platform::for_tests(temp.path());
        fs::write(temp.path().join("order"), "a file").unwrap();
        let refused = platform.data_folder("order").unwrap_err().to_string();
        assert!(refused.contains("order"), "{refused}");
    }
}
