//! Events leave with the state change that they tell of: first into a table, then to the bus.
//!
//! [`put`] writes the event in the same write as the change, so either both happened or neither;
//! [`spawn_relay`] moves what is committed to the bus, in order, at least once.

mod relay;

use std::cell::Cell;

use prost::Message;
use rusqlite::Connection;
use souk_proto::event::v1::Event;

pub use relay::spawn_relay;

thread_local! {
    /// Set on the writer thread by [`put`], read after the commit: wakes the relay only when
    /// there is something for it.
    static MARK: Cell<bool> = const { Cell::new(false) };
}

/// Adds an event to the write; it leaves after the commit, in the order of the puts.
///
/// # Errors
/// Those of SQLite.
pub fn put(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO outbox (event) VALUES (?1)")?
        .execute([event.encode_to_vec()])?;
    MARK.set(true);
    Ok(())
}

/// Reads and clears the mark of this thread.
pub(crate) fn take_mark() -> bool {
    MARK.replace(false)
}
