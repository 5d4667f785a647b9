//! The one thread that writes: group commit.
//!
//! It takes every write that waits, runs each inside a savepoint of one transaction, commits
//! (one sync of the disk for all of them), and only then answers; the next group gathers in the
//! meantime. Refusals wait for the commit too, because they may rest on a neighbour's effects.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::checkpoint::Checkpointer;
use super::job::{Fate, Job};
use super::{Commits, Error, FailedCommit, connection};
use crate::outbox;

/// Most writes in one group.
pub(super) const GROUP_WRITES: usize = 512;
/// A group stops taking writes after this long, so that the first of it is not kept waiting.
const GROUP_BUDGET: Duration = Duration::from_millis(20);

/// What the writer thread owns.
pub(super) struct Writer {
    connection: Connection,
    queue: Receiver<Box<dyn Job>>,
    commits: watch::Sender<Commits>,
    checkpointer: Checkpointer,
    log_pages: Arc<AtomicU32>,
    failed_commit: FailedCommit,
    group_writes: Histogram,
    commit_seconds: Histogram,
    refused: Counter,
}

impl Writer {
    pub(super) fn new(
        name: &str,
        mut connection: Connection,
        queue: Receiver<Box<dyn Job>>,
        commits: watch::Sender<Commits>,
        checkpointer: Checkpointer,
        failed_commit: FailedCommit,
    ) -> Result<Self, Error> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let pages_now = log_pages.clone();
        // Also switches SQLite's own checkpoints off, which run inside COMMIT.
        connection.wal_hook(Some(move |_: &mut Wal, pages: c_int| {
            pages_now.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        let label = name.to_owned();
        Ok(Writer {
            connection,
            queue,
            commits,
            checkpointer,
            log_pages,
            failed_commit,
            group_writes: metrics::histogram!("souk_store_group_writes", "store" => label.clone()),
            commit_seconds: metrics::histogram!("souk_store_commit_seconds", "store" => label.clone()),
            refused: metrics::counter!("souk_store_refused_writes_total", "store" => label),
        })
    }

    /// Runs until every [`super::Store`] handle is gone, or a commit has failed.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let usable = self.run_group(first) && self.checkpoint();
            if !usable {
                return;
            }
        }
    }

    /// `false` when the store may not be used any more.
    fn run_group(&mut self, first: Box<dyn Job>) -> bool {
        if first.is_abandoned() {
            return true;
        }
        if let Err(error) = execute(&self.connection, "BEGIN IMMEDIATE") {
            refuse(first, error);
            return true;
        }
        let started = Instant::now();
        let mut group: Vec<Box<dyn Job>> = Vec::new();
        let mut kept = 0;
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            if !job.is_abandoned() {
                kept += usize::from(run_one(&self.connection, &mut *job));
                if self.connection.is_autocommit() {
                    lose_group(group, job);
                    return true;
                }
                group.push(job);
            }
            if group.len() < GROUP_WRITES && started.elapsed() < GROUP_BUDGET {
                next = self.queue.try_recv().ok();
            }
        }
        self.commit(group, kept)
    }

    fn commit(&mut self, group: Vec<Box<dyn Job>>, kept: usize) -> bool {
        let started = Instant::now();
        let committed = execute(&self.connection, "COMMIT");
        self.commit_seconds.record(started.elapsed());
        self.group_writes.record(group.len() as f64);
        self.refused.increment((group.len() - kept) as u64);
        match committed {
            Ok(()) => {
                let events = outbox::take_mark();
                if kept > 0 {
                    self.commits.send_modify(|commits| {
                        commits.total += 1;
                        commits.with_events += u64::from(events);
                    });
                }
                answer(group, &Fate::Committed);
                true
            }
            Err(error) if is_definite(&error) => {
                let _ = execute(&self.connection, "ROLLBACK");
                answer(group, &Fate::RolledBack(&error.to_string()));
                true
            }
            Err(error) => self.give_up(group, &error.to_string()),
        }
    }

    /// After a failed sync nobody can say what is on the disk: the process must end, and a
    /// restart finds out by reading the log.
    fn give_up(&self, group: Vec<Box<dyn Job>>, cause: &str) -> bool {
        (self.failed_commit)(cause);
        answer(group, &Fate::Unknown(cause));
        false
    }

    fn checkpoint(&self) -> bool {
        let pages = self.log_pages.load(Ordering::Relaxed);
        match self.checkpointer.after_commit(&self.connection, pages) {
            Ok(()) => true,
            Err(error) => self.give_up(Vec::new(), &error.to_string()),
        }
    }
}

/// Runs one write inside its savepoint; `true` when its effects are part of the group.
fn run_one(connection: &Connection, job: &mut dyn Job) -> bool {
    if let Err(error) = execute(connection, "SAVEPOINT write") {
        job.fail(error.into());
        return false;
    }
    let keep = job.run(connection);
    if connection.is_autocommit() {
        return false;
    }
    let undone = if keep { Ok(()) } else { execute(connection, "ROLLBACK TO write") };
    match undone.and_then(|()| execute(connection, "RELEASE write")) {
        Ok(()) => keep,
        Err(error) => {
            // A savepoint that cannot be closed would blur the line between two writes.
            job.fail(error.into());
            let _ = execute(connection, "ROLLBACK");
            false
        }
    }
}

/// SQLite itself has rolled the whole transaction back (disk full, out of memory, I/O error):
/// the write that met it gets its own error, the others hear that nothing was written.
fn lose_group(group: Vec<Box<dyn Job>>, culprit: Box<dyn Job>) {
    outbox::take_mark();
    answer(group, &Fate::RolledBack("a neighbouring write met an error of the database file"));
    culprit.answer(&Fate::Committed);
}

fn refuse(mut job: Box<dyn Job>, error: rusqlite::Error) {
    job.fail(if connection::is_busy(&error) { Error::Overloaded } else { error.into() });
    job.answer(&Fate::Committed);
}

fn answer(group: Vec<Box<dyn Job>>, fate: &Fate<'_>) {
    for job in group {
        job.answer(fate);
    }
}

/// A COMMIT that certainly wrote nothing that counts: refused for what the transaction holds (a
/// deferred constraint), or the disk was full before the frame that makes it a commit.
fn is_definite(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::DiskFull))
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
