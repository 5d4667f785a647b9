//! The tables that the mesh keeps in every store, beside the service's own.

use crate::store::Migration;

/// Steps of the component `mesh`.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "outbox, inbox, request answers",
    // AUTOINCREMENT: positions are never used twice, so that a relay's late delete of what it
    // has published can never hit newer rows. The tables that are pruned by age keep a rowid,
    // which runs in the order of arrival, so that pruning needs no index on time.
    sql: "
        CREATE TABLE outbox (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            event BLOB NOT NULL
        ) STRICT;
        CREATE TABLE inbox_event (
            consumer TEXT NOT NULL,
            event_id TEXT NOT NULL,
            seen_at_s INTEGER NOT NULL,
            PRIMARY KEY (consumer, event_id)
        ) STRICT;
        CREATE TABLE inbox_version (
            consumer TEXT NOT NULL,
            aggregate_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            seen_at_s INTEGER NOT NULL,
            PRIMARY KEY (consumer, aggregate_id)
        ) STRICT;
        CREATE TABLE request_answer (
            scope TEXT NOT NULL,
            method TEXT NOT NULL,
            request_id TEXT NOT NULL,
            fingerprint BLOB NOT NULL,
            answer BLOB NOT NULL,
            answered_at_ms INTEGER NOT NULL,
            PRIMARY KEY (scope, method, request_id)
        ) STRICT;
    ",
}];
