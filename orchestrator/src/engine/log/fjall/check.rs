//! Tells a torn end, which is normal after a power failure, from damage, which is refused.
//!
//! The end of the active journal may be torn: it was being written when the machine stopped, and nobody had been told that
//! it was there. Anything else that cannot be read is damage, and so is a log that ends before its last acknowledged slot.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use super::acknowledged::{self, Mark};
use super::database::LogDatabase;
use super::error::{StorageError, restore};
use super::journal::{self, Break, Scan};
use super::{first_gap, log_end, log_floor, newest_log};
use crate::engine::ids::{LogId, Slot};

/// Looks in the log's journals for damage that fjall would cut away; cuts a torn end itself, and returns where it has copied
/// it to. Without a mark nothing was ever acknowledged, or a loss was accepted: the rest is up to fjall.
pub(super) fn log_before_opening(
    folder: &Path,
    database: &Path,
    mark: Option<Mark>,
) -> Result<Option<PathBuf>, StorageError> {
    let Some(mark) = mark else { return Ok(None) };
    let scans = scan_all(database, Some(mark.slots_keyspace))?;
    let newest = scans.iter().filter_map(|scan| scan.newest).max();
    let is_short = newest.is_some_and(|(log, slot)| (log, slot.next()) < (mark.log, mark.next));
    cut_torn_end(folder, &scans, is_short, |scan, broken| {
        let readable = newest.map_or_else(
            || "no slot".to_owned(),
            |(log, slot)| format!("slot {} of log {}", slot.0, log.0),
        );
        let (log, next) = (mark.log.0, mark.next.0);
        format!(
            "{}: {readable} is the last that can be read, slots before {next} of log {log} were acknowledged",
            describe(scan, broken)
        )
    })
}

/// The same for the tables' journals. What a cut takes from them is in the log still, and drained again; if it is not, because
/// something older was damaged, reading the log says so.
pub(super) fn tables_before_opening(folder: &Path, database: &Path) -> Result<(), StorageError> {
    let scans = scan_all(database, None)?;
    cut_torn_end(folder, &scans, false, describe)?;
    Ok(())
}

fn scan_all(database: &Path, slots_keyspace: Option<u64>) -> Result<Vec<Scan>, StorageError> {
    journal::list(database)
        .and_then(|paths| paths.iter().map(|path| journal::scan(path, slots_keyspace)).collect())
        .map_err(|source| StorageError::io("read the journals of", database, source))
}

fn cut_torn_end(
    folder: &Path,
    scans: &[Scan],
    active_is_short: bool,
    describe: impl Fn(&Scan, &Break) -> String,
) -> Result<Option<PathBuf>, StorageError> {
    let damaged = |scan: &Scan, broken: &Break| StorageError::Damaged {
        damage: describe(scan, broken),
        remedy: restore(folder),
    };
    let Some((active, sealed)) = scans.split_last() else { return Ok(None) };
    for scan in sealed {
        if let Some(broken) = &scan.broken {
            return Err(damaged(scan, broken));
        }
    }
    let Some(broken) = &active.broken else { return Ok(None) };
    if active_is_short {
        return Err(damaged(active, broken));
    }
    cut(folder, &active.path, broken.offset)
        .map(Some)
        .map_err(|source| StorageError::io("cut the torn end of", &active.path, source))
}

fn describe(scan: &Scan, broken: &Break) -> String {
    let (path, offset) = (scan.path.display(), broken.offset);
    format!("the journal {path} is damaged at byte {offset} ({})", broken.cause)
}

/// Ends the journal at `offset`, after copying what lies behind to the engine's folder.
fn cut(folder: &Path, path: &Path, offset: u64) -> io::Result<PathBuf> {
    let bytes = std::fs::read(path)?;
    let from = usize::try_from(offset).map_err(io::Error::other)?;
    let tail = bytes.get(from..).unwrap_or_default();
    let written = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("journal");
    let database = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let database = database.unwrap_or("store");
    let copy = folder.join(format!("cut-{database}-{stem}-{offset}"));
    std::fs::write(&copy, &tail[..written])?;
    tracing::warn!(
        journal = %path.display(),
        offset,
        bytes = written,
        copy = %copy.display(),
        "cut the torn end of a journal"
    );
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(offset)?;
    file.sync_all()?;
    Ok(copy)
}

/// Holds the opened log against what was acknowledged, and returns how far it is whole.
pub(super) fn log_after_opening(
    folder: &Path,
    database: &LogDatabase,
    mark: Option<Mark>,
    cut: Option<&Path>,
) -> Result<Mark, StorageError> {
    let read = || -> fjall::Result<Result<Mark, Loss>> {
        let slots_keyspace = database.slots.id();
        let (log, acknowledged) = match mark {
            Some(mark) => (mark.log, mark.next),
            None => {
                let log = newest_log(database)?;
                (log, log_floor(database, log)?)
            }
        };
        let end = log_end(database, log)?;
        if end < acknowledged {
            return Ok(Err(Loss { log, end, acknowledged }));
        }
        let next = first_gap(database, log, acknowledged)?;
        Ok(Ok(Mark { log, next, slots_keyspace }))
    };
    let found = read().map_err(|source| StorageError::fjall(folder, source))?;
    found.map_err(|loss| lost_slots(folder, &loss, cut))
}

/// Acknowledged slots that are not there.
struct Loss {
    log: LogId,
    end: Slot,
    acknowledged: Slot,
}

fn lost_slots(folder: &Path, loss: &Loss, cut: Option<&Path>) -> StorageError {
    let kept = cut.map_or_else(String::new, |copy| {
        format!(" What could not be read of the journal is in {}.", copy.display())
    });
    StorageError::Damaged {
        damage: format!(
            "the log in {} has lost slots {} to {} of log {}: they were acknowledged and are not there",
            folder.display(),
            loss.end.0,
            loss.acknowledged.0 - 1,
            loss.log.0,
        ),
        remedy: format!(
            "{}.{kept} To go on without what these slots held, delete {} and start again",
            restore(folder),
            acknowledged::path(folder).display()
        ),
    }
}
