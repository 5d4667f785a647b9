//! The tables of the embedded bus.

use crate::store::Migration;

/// Steps of the schema.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "event log, queues, redeliveries, dead letters",
    // Positions are never used twice (AUTOINCREMENT), as cursors outlive the events they passed.
    // Redeliveries and dead letters hold the event themselves, so that the log can be trimmed.
    sql: "
        CREATE TABLE event (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            topic TEXT NOT NULL,
            event BLOB NOT NULL
        ) STRICT;
        CREATE TABLE queue (
            name TEXT PRIMARY KEY,
            cursor INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE redelivery (
            queue TEXT NOT NULL,
            aggregate TEXT NOT NULL,
            position INTEGER NOT NULL,
            failed_attempts INTEGER NOT NULL,
            not_before_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            event BLOB NOT NULL,
            PRIMARY KEY (queue, aggregate, position)
        ) STRICT;
        CREATE INDEX redelivery_due ON redelivery (queue, not_before_ms);
        CREATE TABLE dead_letter (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            queue TEXT NOT NULL,
            aggregate TEXT NOT NULL,
            position INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            dead_at_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            event BLOB NOT NULL,
            UNIQUE (queue, position)
        ) STRICT;
    ",
}];
