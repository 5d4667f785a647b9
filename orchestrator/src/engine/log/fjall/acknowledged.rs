//! Remembers, outside the database, up to which slot appends have been acknowledged.
//!
//! A database that lost its newest records still looks whole: nothing in it says that there was more. This file does. It is
//! written after every synced append, but not synced itself on that path (one small write into the page cache): it survives a
//! killed process exactly, and after a power failure it may be some seconds old. It never runs ahead of what is durable,
//! so it never refuses a healthy log.
//!
//! Two cells are written in turn, each with its checksum, so that a torn write costs at most the newest one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::engine::ids::{LogId, Slot};

/// Name of the file in the engine's folder.
pub(super) const FILE_NAME: &str = "acknowledged";

/// The cells are this far apart, so that they never share a disk sector.
const CELL_STRIDE_BYTES: u64 = 4096;
const CELL_BYTES: usize = 36;
const CHECKSUM_AT: usize = 32;
const MAGIC: &[u8; 8] = b"SOUKACK1";

/// The remembered end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// The newest log that was written to.
    pub(super) log: LogId,
    /// Its slot after the last acknowledged one.
    pub(super) next: Slot,
    /// The database's internal id of the keyspace of the slots, which its journals use.
    pub(super) slots_keyspace: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    writes: u64,
    newest: Option<Mark>,
}

impl Acknowledged {
    /// Opens the file of `folder`, creating it if there is none, and reads the newest intact mark.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path(folder))?;
        let newest =
            [0, CELL_STRIDE_BYTES].into_iter().filter_map(|offset| read_cell(&file, offset)).max();
        Ok(Self { file, writes: 0, newest })
    }

    /// The newest mark, if one was ever made.
    pub(super) fn newest(&self) -> Option<Mark> {
        self.newest
    }

    /// Remembers `mark`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn remember(&mut self, mark: Mark) -> io::Result<()> {
        self.newest = Some(mark);
        let offset = (self.writes % 2) * CELL_STRIDE_BYTES;
        self.writes += 1;
        self.file.write_all_at(&encode(mark), offset)
    }
}

/// Where the file of `folder` is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

fn encode(mark: Mark) -> [u8; CELL_BYTES] {
    let mut cell = [0; CELL_BYTES];
    cell[..8].copy_from_slice(MAGIC);
    cell[8..16].copy_from_slice(&mark.log.0.to_le_bytes());
    cell[16..24].copy_from_slice(&mark.next.0.to_le_bytes());
    cell[24..CHECKSUM_AT].copy_from_slice(&mark.slots_keyspace.to_le_bytes());
    let checksum = crc32fast::hash(&cell[..CHECKSUM_AT]);
    cell[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    cell
}

/// `None` when the cell was never written, is torn or damaged: the other one, or the log itself, then tells.
fn read_cell(file: &File, offset: u64) -> Option<Mark> {
    let mut cell = [0; CELL_BYTES];
    file.read_exact_at(&mut cell, offset).ok()?;
    let number = |from: usize| -> Option<u64> {
        Some(u64::from_le_bytes(cell[from..from + 8].try_into().ok()?))
    };
    let mark =
        Mark { log: LogId(number(8)?), next: Slot(number(16)?), slots_keyspace: number(24)? };
    (encode(mark) == cell).then_some(mark)
}
