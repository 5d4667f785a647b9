//! Reads fjall's journal files before fjall does, so that damage is refused instead of being cut away.
//!
//! fjall treats whatever it cannot decode in a journal as the torn end of the last write: it truncates the file there and
//! starts, and everything behind is gone. That is right for a torn tail and wrong for a flipped bit in the middle, where
//! acknowledged events lie behind. This reader only looks: it reports how far each journal is valid, which log slots it holds
//! and whether anything lies behind the first break. What to do about it is decided in `database`.
//!
//! The format (fjall 3.1, `src/journal/entry.rs`), all integers little-endian:
//! `batch = 1 count:u32 sequence:u64 · item × count · 3 xxh3(items):u64 "FJL" 3`,
//! `item = 2 kind:u8 compression:u8 keyspace:u64 key_length:u16 length:u32 stored_length:u32 key value | 4 keyspace:u64`.
//! A new journal file is 64 MiB of zeros, so valid batches are followed by zeros or by the end of the file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{SLOT_KEY_BYTES, decode_slot_key};
use crate::engine::ids::{LogId, Slot};

/// Size in bytes of the reads that a scan makes.
const READ_BYTES: usize = 256 * 1024;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
/// Bytes of an item between its tag and its key.
const ITEM_HEADER_BYTES: usize = 20;
/// The end of every batch, after its checksum.
const TRAILER: &[u8; 4] = b"FJL\x03";
/// Item kind of an insert, as opposed to the two kinds of removal.
const KIND_VALUE: u8 = 0;

/// Where a journal stops being readable although more was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Break {
    /// Offset in bytes of the first batch that cannot be read.
    pub(super) offset: u64,
    /// What is wrong there.
    pub(super) cause: &'static str,
}

/// What one journal file holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) path: PathBuf,
    /// The newest log slot in the readable part.
    pub(super) newest: Option<(LogId, Slot)>,
    /// The first break, if anything but zeros follows the readable part.
    pub(super) broken: Option<Break>,
}

/// The journals of a database folder, oldest first; the last is the active one.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".jnl"))
            .and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads one journal, looking for slots in the keyspace whose internal id is `slots_keyspace`.
///
/// # Errors
/// When the file cannot be read (damage is not an error here, it is reported in the scan).
pub(super) fn scan(path: &Path, slots_keyspace: Option<u64>) -> io::Result<Scan> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut source =
        Source { reader: BufReader::with_capacity(READ_BYTES, file), position: 0, length };
    let mut scan = Scan { path: path.to_path_buf(), newest: None, broken: None };
    loop {
        let offset = source.position;
        match read_batch(&mut source, slots_keyspace) {
            Ok(Some(newest)) => scan.newest = scan.newest.max(newest),
            Ok(None) => return Ok(scan),
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::Invalid(cause)) => {
                scan.broken = Some(Break { offset, cause });
                return Ok(scan);
            }
        }
    }
}

enum Stop {
    Io(io::Error),
    Invalid(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Stop::Invalid("the file ends inside a batch")
        } else {
            Stop::Io(error)
        }
    }
}

struct Source {
    reader: BufReader<File>,
    position: u64,
    length: u64,
}

impl Source {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// Hashes the next `count` bytes and returns the first of them.
    fn hash(&mut self, count: u64, hasher: &mut Xxh3) -> Result<[u8; SLOT_KEY_BYTES], Stop> {
        if count > self.length - self.position {
            return Err(Stop::Invalid("a length that leads past the end of the file"));
        }
        let mut head = [0; SLOT_KEY_BYTES];
        let mut filled = 0;
        let mut left = count;
        let mut buffer = [0; 4096];
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            self.reader.read_exact(&mut buffer[..part])?;
            hasher.update(&buffer[..part]);
            let wanted = (head.len() - filled).min(part);
            head[filled..filled + wanted].copy_from_slice(&buffer[..wanted]);
            filled += wanted;
            left -= part as u64;
            self.position += part as u64;
        }
        Ok(head)
    }

    /// Whether only zeros are left; leaves the position at the first byte that is not zero.
    fn only_zeros_left(&mut self) -> Result<bool, Stop> {
        let mut buffer = [0; 4096];
        loop {
            let count = self.reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(true);
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            self.position += count as u64;
        }
    }
}

/// Reads one batch: `None` at the clean end, else the newest log slot that it inserts, if any.
fn read_batch(
    source: &mut Source,
    slots_keyspace: Option<u64>,
) -> Result<Option<Option<(LogId, Slot)>>, Stop> {
    if source.position == source.length {
        return Ok(None);
    }
    match source.take::<1>()? {
        [TAG_START] => {}
        [0] if source.only_zeros_left()? => return Ok(None),
        _ => return Err(Stop::Invalid("no batch begins here")),
    }
    let count = u32::from_le_bytes(source.take()?);
    source.take::<8>()?;
    let mut hasher = Xxh3::new();
    let mut newest = None;
    for _ in 0..count {
        newest = newest.max(read_item(source, slots_keyspace, &mut hasher)?);
    }
    if source.take::<1>()? != [TAG_END] {
        return Err(Stop::Invalid("a batch without its end"));
    }
    let checksum = u64::from_le_bytes(source.take()?);
    if &source.take::<4>()? != TRAILER {
        return Err(Stop::Invalid("a batch whose trailer is wrong"));
    }
    if checksum != hasher.digest() {
        return Err(Stop::Invalid("a batch whose checksum is wrong"));
    }
    Ok(Some(newest))
}

fn read_item(
    source: &mut Source,
    slots_keyspace: Option<u64>,
    hasher: &mut Xxh3,
) -> Result<Option<(LogId, Slot)>, Stop> {
    let tag = source.take::<1>()?;
    hasher.update(&tag);
    match tag {
        [TAG_CLEAR] => {
            source.hash(8, hasher)?;
            Ok(None)
        }
        [TAG_ITEM] => {
            let header = source.take::<ITEM_HEADER_BYTES>()?;
            hasher.update(&header);
            let kind = header[0];
            let keyspace = u64::from_le_bytes(array(&header[2..10]));
            let key_bytes = u16::from_le_bytes(array(&header[10..12]));
            let stored_bytes = u32::from_le_bytes(array(&header[16..20]));
            let key = source.hash(u64::from(key_bytes), hasher)?;
            source.hash(u64::from(stored_bytes), hasher)?;
            let is_slot = Some(keyspace) == slots_keyspace
                && kind == KIND_VALUE
                && usize::from(key_bytes) == SLOT_KEY_BYTES;
            Ok(is_slot.then(|| decode_slot_key(key)))
        }
        _ => Err(Stop::Invalid("a batch with an unknown item")),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}
