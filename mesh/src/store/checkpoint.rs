//! Keeps the write-ahead log short without making writers wait.
//!
//! A checkpoint copies pages from the log into the database file and syncs it. Done by the
//! writer it would stall every order for as long as that takes; done only beside it, it never
//! catches up while writes go on, and the log grows without end. So it is done in two phases: a
//! thread beside the writer copies the bulk, then the writer, between two groups, copies the
//! little that came since; the next commit starts the log over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::{Connection, ErrorCode};

use super::{Error, FailedCommit, connection};

/// Pages (of 4 KiB) in the log from which a checkpoint is started: 16 MiB.
const START_PAGES: u32 = 4 * 1024;
/// Pages in the log from which the writer no longer waits for the thread beside it: 256 MiB.
const LIMIT_PAGES: u32 = 64 * 1024;

const IDLE: u8 = 0;
const COPYING: u8 = 1;
const COPIED: u8 = 2;

/// The writer's side.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    phase: Arc<AtomicU8>,
}

impl Checkpointer {
    /// Starts the thread beside the writer; it ends when the writer does.
    pub(super) fn start(
        name: &str,
        path: &Path,
        failed_commit: FailedCommit,
    ) -> Result<Self, Error> {
        let (wake, waken) = sync_channel(1);
        let phase = Arc::new(AtomicU8::new(IDLE));
        let beside = Beside { path: path.to_owned(), phase: phase.clone(), failed_commit };
        std::thread::Builder::new()
            .name(format!("{name}-ckpt"))
            .spawn(move || beside.run(&waken))
            .map_err(Error::Thread)?;
        Ok(Checkpointer { wake, phase })
    }

    /// Called by the writer between two groups; `pages` is the length of the log.
    pub(super) fn after_commit(&self, connection: &Connection, pages: u32) -> Result<(), Error> {
        if pages < START_PAGES {
            return Ok(());
        }
        match self.phase.load(Ordering::Acquire) {
            IDLE => {
                self.phase.store(COPYING, Ordering::Release);
                // Full means that the thread is already awake.
                let _ = self.wake.try_send(());
                Ok(())
            }
            COPYING if pages < LIMIT_PAGES => Ok(()),
            _ => {
                copy_pages(connection)?;
                self.phase.store(IDLE, Ordering::Release);
                Ok(())
            }
        }
    }
}

struct Beside {
    path: PathBuf,
    phase: Arc<AtomicU8>,
    failed_commit: FailedCommit,
}

impl Beside {
    fn run(&self, waken: &Receiver<()>) {
        let mut own: Option<Connection> = None;
        while waken.recv().is_ok() {
            let copied = match own.take() {
                Some(open) => Ok(open),
                None => connection::open_writer(&self.path),
            }
            .and_then(|open| copy_pages(&open).map(|()| open));
            match copied {
                Ok(open) => own = Some(open),
                Err(error) => (self.failed_commit)(&error.to_string()),
            }
            self.phase.store(COPIED, Ordering::Release);
        }
    }
}

/// A passive checkpoint: never waits for readers or writers. Another checkpoint under way (of
/// another process on the same file) is no error, nor is a full disk: the log stays as it is, and
/// once it cannot grow either, writes are refused.
fn copy_pages(connection: &Connection) -> Result<(), Error> {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    match copied {
        Err(error) if connection::is_busy(&error) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            tracing::error!(%error, "the disk is full: the write-ahead log cannot be checkpointed");
            Ok(())
        }
        copied => copied.map_err(Error::from),
    }
}
