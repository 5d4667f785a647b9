//! The ways in which a log and its tables are kept, so that one suite runs on each.

use std::path::Path;
use std::sync::Arc;

use souk_orchestrator::engine::log::Log;
use souk_orchestrator::engine::log::fjall::{FjallLog, Store};
use souk_orchestrator::engine::log::sim::{Disk, SimLog, Unsynced};
use souk_orchestrator::engine::seams::TokioClock;
use souk_orchestrator::engine::tables::Tables;
use souk_orchestrator::engine::tables::fjall::FjallTables;
use souk_orchestrator::engine::tables::sim::SimTables;
use tempfile::TempDir;

/// What one process has open.
pub struct Open {
    pub log: Arc<dyn Log>,
    pub tables: Arc<dyn Tables>,
}

/// One way of keeping them, over several lives of a process.
pub trait Form {
    /// The next process opens what there is.
    fn open(&mut self) -> Open;
    /// The process dies without warning, and the next one opens what it left.
    fn kill(&mut self, open: Open) -> Open;
    /// The power fails, where that can be simulated; else as `kill`.
    fn cut_power(&mut self, open: Open) -> Open;
}

/// The simulated disk.
pub struct Simulated(pub Disk);

impl Simulated {
    pub fn new(seed: u64) -> Self {
        Self(Disk::new(seed, Arc::new(TokioClock::starting_at(0))))
    }
}

impl Form for Simulated {
    fn open(&mut self) -> Open {
        Open { log: Arc::new(SimLog::new(&self.0)), tables: Arc::new(SimTables::new(&self.0)) }
    }

    fn kill(&mut self, open: Open) -> Open {
        drop(open);
        self.0 = self.0.crash(Unsynced::Kept);
        self.open()
    }

    fn cut_power(&mut self, open: Open) -> Open {
        drop(open);
        self.0 = self.0.crash(Unsynced::SeededPrefix);
        self.open()
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
    fn open(&mut self) -> Open {
        let store = Arc::new(Store::open(self.0.path()).unwrap());
        Open {
            log: Arc::new(FjallLog::new(store.clone())),
            tables: Arc::new(FjallTables::new(store)),
        }
    }

    /// A copy of the files as they are while the process still has them open is what its death would leave.
    fn kill(&mut self, open: Open) -> Open {
        let copy = TempDir::new().unwrap();
        copy_folder(self.0.path(), copy.path());
        drop(open);
        self.0 = copy;
        self.open()
    }

    fn cut_power(&mut self, open: Open) -> Open {
        self.kill(open)
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
