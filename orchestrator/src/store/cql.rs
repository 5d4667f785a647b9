//! The engine's log and tables on ScyllaDB or Cassandra.
//!
//! Only the log's appends are conditional writes: one for a slot, which holds hundreds of events. Everything in the
//! tables is a plain write whose timestamp is not a time but the run's next sequence number, so that whoever writes late
//! writes nothing: see [`tables`]. docs/ENGINE-STORAGE.md has the schema, and how consistent each statement is.

pub mod log;
pub mod membership;
mod merge;
mod schema;
pub mod tables;

use souk_mesh::cql::{Config, Error, Session};

pub use self::log::CqlLog;
pub use self::membership::CqlMembership;
pub use self::schema::MIGRATIONS;
pub use self::tables::CqlTables;

/// What the keyspace is called, behind the prefix.
pub const KEYSPACE: &str = "workflow";

/// Opens the keyspace, made and brought up to date if need be.
///
/// # Errors
/// As [`Session::open`].
pub async fn open(config: &Config) -> Result<Session, Error> {
    Session::open(config, KEYSPACE, MIGRATIONS).await
}

/// A number of the engine as CQL's signed one: none comes near the sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number that [`signed`] has written.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
