//! Tells a torn end, which is normal after a power failure, from damage, which is refused.
//!
//! The end of the active journal may be torn: it was being written when the machine stopped, and nobody had been told that
//! it was there. Anything else that cannot be read is damage, and so is a log that ends before its last acknowledged slot.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use super::acknowledged::{self, Mark};
use super::database::Keyspaces;
use super::error::{StorageError, restore};
use super::journal::{self, Break, Scan};
use super::{first_gap, log_end, log_floor, newest_log};
use crate::engine::ids::{LogId, Slot};

/// Looks for damage that fjall would cut away; cuts a torn end itself, and returns where it has copied it to.
pub(super) fn before_opening(
    folder: &Path,
    store: &Path,
    mark: Mark,
) -> Result<Option<PathBuf>, StorageError> {
    let scans: Vec<Scan> = journal::list(store)
        .and_then(|paths| paths.iter().map(|path| journal::scan(path, mark.log_keyspace)).collect())
        .map_err(|source| StorageError::io("read the journals of", store, source))?;
    let newest = scans.iter().filter_map(|scan| scan.newest).max();
    let Some((active, sealed)) = scans.split_last() else { return Ok(None) };
    if let Some((scan, broken)) =
        sealed.iter().find_map(|scan| scan.broken.as_ref().map(|broken| (scan, broken)))
    {
        return Err(damaged_journal(folder, scan, broken, newest, mark));
    }
    let Some(broken) = &active.broken else { return Ok(None) };
    if newest.is_some_and(|(log, slot)| (log, slot.next()) < (mark.log, mark.next)) {
        return Err(damaged_journal(folder, active, broken, newest, mark));
    }
    cut(folder, &active.path, broken.offset)
        .map(Some)
        .map_err(|source| StorageError::io("cut the torn end of", &active.path, source))
}

fn damaged_journal(
    folder: &Path,
    scan: &Scan,
    broken: &Break,
    newest: Option<(LogId, Slot)>,
    mark: Mark,
) -> StorageError {
    let readable = newest.map_or_else(
        || "no slot".to_owned(),
        |(log, slot)| format!("slot {} of log {}", slot.0, log.0),
    );
    StorageError::Damaged {
        damage: format!(
            "the journal {} is damaged at byte {} ({}): {readable} is the last that can be read, \
             slots before {} of log {} were acknowledged",
            scan.path.display(),
            broken.offset,
            broken.cause,
            mark.next.0,
            mark.log.0,
        ),
        remedy: restore(folder),
    }
}

/// Ends the journal at `offset`, after copying what lies behind to the engine's folder.
fn cut(folder: &Path, path: &Path, offset: u64) -> io::Result<PathBuf> {
    let bytes = std::fs::read(path)?;
    let from = usize::try_from(offset).map_err(io::Error::other)?;
    let tail = bytes.get(from..).unwrap_or_default();
    let written = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("journal");
    let copy = folder.join(format!("cut-{stem}-{offset}"));
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
pub(super) fn after_opening(
    folder: &Path,
    keyspaces: &Keyspaces,
    mark: Option<Mark>,
    cut: Option<&Path>,
) -> Result<Mark, StorageError> {
    let read = || -> fjall::Result<Result<Mark, Loss>> {
        let log_keyspace = keyspaces.log.id();
        let (log, acknowledged) = match mark {
            Some(mark) => (mark.log, mark.next),
            None => {
                let log = newest_log(keyspaces)?;
                (log, log_floor(keyspaces, log)?)
            }
        };
        let end = log_end(keyspaces, log)?;
        if end < acknowledged {
            return Ok(Err(Loss { log, end, acknowledged }));
        }
        let next = first_gap(keyspaces, log, acknowledged)?;
        Ok(Ok(Mark { log, next, log_keyspace }))
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
