//! The tables of svc-order.

use souk_mesh::store::Migration;

/// Every step of the schema, oldest first; a step that has landed is never edited.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "orders with their timeline and workflow start",
    // Ids are UUIDv7 as 16 bytes: keys arrive in order, so inserts touch the right edge of each tree.
    // `details` (JSON) is what never changes after placing: lines, address.
    // `order_start` is apart because it is rewritten while the order's own row is not.
    sql: "
        CREATE TABLE orders (
            order_id         BLOB    NOT NULL PRIMARY KEY,
            user_id          BLOB    NOT NULL,
            state            INTEGER NOT NULL,
            version          INTEGER NOT NULL,
            currency         TEXT    NOT NULL,
            total_minor      INTEGER NOT NULL,
            email            TEXT    NOT NULL,
            cart_version     INTEGER,
            details          TEXT    NOT NULL,
            payment_id       BLOB,
            carrier          TEXT,
            tracking_number  TEXT,
            shipped_at_ms    INTEGER,
            delivered_at_ms  INTEGER,
            cancel_reason    TEXT,
            cancel_note      TEXT,
            created_at_ms    INTEGER NOT NULL,
            updated_at_ms    INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX orders_by_user ON orders (user_id, order_id);

        CREATE TABLE order_entry (
            order_id    BLOB    NOT NULL,
            version     INTEGER NOT NULL,
            state       INTEGER NOT NULL,
            at_ms       INTEGER NOT NULL,
            reason      TEXT    NOT NULL,
            note        TEXT    NOT NULL,
            actor       TEXT    NOT NULL,
            PRIMARY KEY (order_id, version)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE order_start (
            order_id       BLOB    NOT NULL PRIMARY KEY,
            created_at_ms  INTEGER NOT NULL,
            started        INTEGER NOT NULL,
            input          BLOB,
            answer         BLOB
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX order_start_lost ON order_start (order_id) WHERE started = 0;
    ",
}];
