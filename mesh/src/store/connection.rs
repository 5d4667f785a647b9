//! Opens SQLite connections with the settings that every store shares.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Error;

/// Distinct statements kept prepared per connection; a service has a few dozen.
const PREPARED_STATEMENTS: usize = 256;
/// How long a statement waits for another process's lock (the bus file can be shared).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer, in KiB: the hot part of a service's tables.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
/// Page cache of each reader, in KiB; small, because readers share the memory map.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// How much of the file is read through the memory map, in bytes.
const MEMORY_MAP_BYTES: i64 = 256 * 1024 * 1024;
/// Switching to WAL does not honour the busy timeout: tries, and the pause between them.
const WAL_TRIES: u32 = 50;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// The connection that writes. Every commit is synced before it returns (`synchronous=FULL`);
/// checkpoints are left to [`super::checkpoint`].
pub(super) fn open_writer(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, WRITER_CACHE_KIB)?;
    enter_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// A connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(path, flags, READER_CACHE_KIB)
}

fn open(path: &Path, flags: OpenFlags, cache_kib: i64) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|source| Error::Open { path: path.to_owned(), source })?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    // Plans do not depend on bound values; else SQLite prepares a statement again, at several times the cost of
    // running it, whenever another value is bound to a LIMIT or to the key of a join.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "mmap_size", MEMORY_MAP_BYTES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn enter_wal(connection: &Connection) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mode = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Error::NoWal { mode }),
            Err(error) if is_busy(&error) && tries < WAL_TRIES => std::thread::sleep(WAL_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Another process holds the lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_prepared_statement_is_not_prepared_again_for_other_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let writer = open_writer(&path).unwrap();
        writer
            .execute_batch(
                "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
                 CREATE TABLE stock (id INTEGER PRIMARY KEY, on_hand INTEGER NOT NULL) STRICT;
                 INSERT INTO product VALUES (1, 'tea'), (2, 'cup');
                 INSERT INTO stock VALUES (1, 10), (2, 20);",
            )
            .unwrap();
        let reader = open_reader(&path).unwrap();
        for connection in [&writer, &reader] {
            for sql in [
                "SELECT name FROM product ORDER BY id LIMIT ?1",
                "SELECT name, on_hand FROM product JOIN stock USING (id) WHERE id = ?1",
            ] {
                let mut statement = connection.prepare_cached(sql).unwrap();
                for value in 1..=3 {
                    let mut rows = statement.query([value]).unwrap();
                    while rows.next().unwrap().is_some() {}
                }
                assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
            }
        }
    }
}
