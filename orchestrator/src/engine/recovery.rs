//! Start = recover: seal the log that was written last, drain it into the tables, begin the next one, and load the runs
//! that have something under way. Taking over another node's log is the same path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::cell::damaged;
use super::core::Core;
use super::drainer::change_of;
use super::engine::Engine;
use super::error::Error;
use super::ids::{LogId, RunId, Slot};
use super::limits::{
    APPEND_RETRY_MS, MAX_APPEND_TRIES, MAX_PAGE_ROWS, READ_BYTES, RECOVERY_CONCURRENCY,
};
use super::log::{Appended, Log};
use super::partition::PartitionSet;
use super::row::{Cursor, RunRow};
use super::seams::Seams;
use super::slot::{self, Content, Entry};
use super::tables::{DrainStep, Tables};

/// The first log of a store that was never written.
const FIRST_LOG: LogId = LogId(1);

/// Brings log and tables to where a new log can begin, and says which.
pub(crate) async fn recover(
    log: &dyn Log,
    tables: &dyn Tables,
    seams: &Seams,
    writer: &[u8; 16],
) -> Result<LogId, Error> {
    let cursor = match tables.cursor().await? {
        Some(cursor) => drain_old_log(log, tables, seams, writer, cursor).await?,
        None => begin_anew(log).await?,
    };
    let next = LogId(cursor.log.0 + 1);
    let begin = Cursor { log: next, slot: Slot(0) };
    tables.apply(DrainStep { cursor: begin, runs: Vec::new() }).await?;
    // Before the first append to the new log: else a crash could leave acknowledged events where nobody looks.
    tables.sync().await?;
    log.trim(cursor.log, cursor.slot).await?;
    Ok(next)
}

/// Where tables begin that were never written; refused if a log was, for then they have lost everything.
async fn begin_anew(log: &dyn Log) -> Result<Cursor, Error> {
    if !log.read(FIRST_LOG, Slot(0), 1).await?.is_empty() {
        return Err(Error::Damaged {
            place: "the tables".into(),
            what: "they are empty, but the log is not; restore the data folder from a backup"
                .into(),
        });
    }
    Ok(Cursor { log: LogId(FIRST_LOG.0 - 1), slot: Slot(0) })
}

/// Seals the log of another node and drains it, so that others can go on with its runs. Doing so again changes nothing, nor
/// do several at once.
pub(crate) async fn take_over(
    log: &dyn Log,
    tables: &dyn Tables,
    seams: &Seams,
    writer: &[u8; 16],
    of: LogId,
) -> Result<(), Error> {
    let begin = Cursor { log: of, slot: Slot(0) };
    let cursor = tables.cursor_of(of).await?.unwrap_or(begin);
    let seal = drain_old_log(log, tables, seams, writer, cursor).await?;
    tables.sync().await?;
    log.trim(of, seal.slot).await?;
    Ok(())
}

/// Drains the old log up to its SEAL, which is set if there is none. Returns the place of the SEAL.
async fn drain_old_log(
    log: &dyn Log,
    tables: &dyn Tables,
    seams: &Seams,
    writer: &[u8; 16],
    mut cursor: Cursor,
) -> Result<Cursor, Error> {
    loop {
        let slots = log.read(cursor.log, cursor.slot, READ_BYTES).await?;
        if slots.is_empty() {
            claim(log, seams, writer, cursor).await?;
            continue;
        }
        let mut entries = Vec::new();
        let mut is_sealed = false;
        for written in slots {
            let content = slot::read(&written.bytes).map_err(|what| Error::Damaged {
                place: format!("slot {} of log {}", written.slot.0, cursor.log.0),
                what: format!("{what}; restore the data folder from a backup"),
            })?;
            match content {
                Content::Seal => {
                    is_sealed = true;
                    break;
                }
                Content::Events(found) => entries.extend(found),
            }
            cursor.slot = written.slot.next();
        }
        drain(tables, cursor, entries).await?;
        if is_sealed {
            return Ok(cursor);
        }
    }
}

/// Appends a SEAL at the end. If someone else was faster, what they wrote is read next.
async fn claim(
    log: &dyn Log,
    seams: &Seams,
    writer: &[u8; 16],
    cursor: Cursor,
) -> Result<(), Error> {
    let seal = slot::seal(writer);
    for _ in 0..MAX_APPEND_TRIES {
        match log.append(cursor.log, cursor.slot, seal.clone()).await {
            Appended::Applied | Appended::Lost => return Ok(()),
            Appended::Unknown(why) => {
                tracing::warn!(log = cursor.log.0, why, "it is unknown whether the log is sealed");
                seams.clock.sleep(Duration::from_millis(APPEND_RETRY_MS)).await;
            }
        }
    }
    Err(Error::Fenced)
}

/// Drains entries of the log without any run in memory.
async fn drain(tables: &dyn Tables, cursor: Cursor, entries: Vec<Entry>) -> Result<(), Error> {
    let mut by_run: BTreeMap<RunId, Vec<(u64, Vec<Bytes>)>> = BTreeMap::new();
    for entry in entries {
        by_run.entry(entry.run_id).or_default().push((entry.first_sequence, entry.events));
    }
    let mut step = DrainStep { cursor, runs: Vec::with_capacity(by_run.len()) };
    for (run_id, entries) in by_run {
        let row = tables.run(run_id).await?;
        let known = row.as_ref().map_or(0, |row| row.next_sequence);
        let mut events = Vec::new();
        for (first_sequence, found) in entries {
            for (sequence, event) in (first_sequence..).zip(found) {
                let next = known + events.len() as u64;
                if sequence > next {
                    let what = format!("event {sequence} is in the log, {next} is nowhere");
                    return Err(damaged(run_id, &what));
                }
                if sequence == next {
                    events.push(event);
                }
            }
        }
        if !events.is_empty() {
            step.runs.push(change_of(row, run_id, &events)?);
        }
    }
    tables.apply(step).await?;
    Ok(())
}

/// A run that only waits for children stays on disk, unless one of them has ended.
async fn look_after(core: &Arc<Core>, row: &RunRow) -> Result<(), Error> {
    if row.must_be_loaded() {
        core.hold(&row.workflow_id).await?;
    }
    match core.cluster {
        None => Engine::of(core.clone()).check_children(row).await,
        // The children may be on nodes that do not answer now: they are looked at behind all that can go on.
        Some(_) => Ok(()),
    }
}

/// Loads the runs that have a step under way or are stuck, so that they go on, and has parents told of children that ended
/// unheard. All others wait on disk.
pub(crate) async fn load_active(core: Arc<Core>, partitions: PartitionSet) {
    let mut after = None;
    loop {
        let page = tokio::select! {
            biased;
            page = core.tables.open_runs(&partitions, true, after, MAX_PAGE_ROWS) => page,
            () = core.stop.cancelled() => return,
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "open runs could not be read; it is tried again");
                core.seams.clock.sleep(Duration::from_millis(APPEND_RETRY_MS)).await;
                continue;
            }
        };
        let Some(last) = page.last() else { return };
        after = Some(last.id());
        stream::iter(page)
            .for_each_concurrent(RECOVERY_CONCURRENCY, |row| {
                let core = core.clone();
                async move {
                    match look_after(&core, &row).await {
                        Ok(())
                        | Err(
                            Error::Closed { .. } | Error::NotFound(_) | Error::NotOwner { .. },
                        ) => {}
                        Err(error) => {
                            tracing::error!(workflow_id = row.workflow_id, %error, "a run could not be loaded");
                        }
                    }
                }
            })
            .await;
    }
}
