//! The tables of svc-order in a keyspace, and the statements on them.

use souk_mesh::cql::{Migration, outbox, statements};

use super::rows::ORDER_COLUMNS;

/// Most timeline entries of one order; its states are five, each of which it enters once.
pub(super) const MAX_ENTRIES: i32 = 100;

/// Every step of the schema, oldest first; a step that has landed is never edited.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "outbox", cql: outbox::TABLES },
    Migration {
        version: 2,
        name: "orders with their timeline, starts and lists",
        cql: &[PLACING, ORDERS, UNSTARTED, UNSTARTED_SWEPT, BY_USER, BY_DAY, DAY],
    },
];

/// Which order a request placed, with all that the rest of the order is derived from: written once, by `IF NOT EXISTS`.
const PLACING: &str = "CREATE TABLE IF NOT EXISTS {}.placing (
    request blob PRIMARY KEY, fingerprint blob,
    order_id uuid, user_id uuid, created_at_ms bigint, fixed text, event blob)";

/// The order as static columns, its timeline as rows. `fixed` (JSON) is what never changes, `changing` (JSON) the
/// payment, the parcel and the cancellation. `input` and `answer` are the workflow's, and never written conditionally.
/// The event of the first entry is in `placing`.
const ORDERS: &str = "CREATE TABLE IF NOT EXISTS {}.orders (
    order_id uuid,
    user_id uuid static, state bigint static, version bigint static, created_at_ms bigint static,
    updated_at_ms bigint static, fixed text static, changing text static,
    input blob static, answer blob static,
    entry bigint, entry_state bigint, at_ms bigint, reason text, note text, actor text,
    request blob, fingerprint blob, event blob,
    PRIMARY KEY (order_id, entry))";

const UNSTARTED: &str = "CREATE TABLE IF NOT EXISTS {}.unstarted (
    shard int, slot bigint, order_id uuid, created_at_ms bigint, request blob,
    PRIMARY KEY ((shard, slot), order_id)) WITH gc_grace_seconds = 10800";

const UNSTARTED_SWEPT: &str =
    "CREATE TABLE IF NOT EXISTS {}.unstarted_swept (shard int PRIMARY KEY, slot bigint)";

const BY_USER: &str = "CREATE TABLE IF NOT EXISTS {}.orders_by_user (
    user_id uuid, order_id uuid, state bigint,
    PRIMARY KEY (user_id, order_id)) WITH CLUSTERING ORDER BY (order_id DESC)";

const BY_DAY: &str = "CREATE TABLE IF NOT EXISTS {}.orders_by_day (
    day bigint, shard int, order_id uuid, state bigint,
    PRIMARY KEY ((day, shard), order_id)) WITH CLUSTERING ORDER BY (order_id DESC)";

/// The days that have orders.
const DAY: &str = "CREATE TABLE IF NOT EXISTS {}.order_day (
    calendar int, day bigint, PRIMARY KEY (calendar, day)) WITH CLUSTERING ORDER BY (day DESC)";

statements! {
    /// All that is ever said to the store, but for what is looked up with what others look up: see `tables.rs`.
    pub(super) struct Statements {
        claim: Conditional = "INSERT INTO {}.placing
            (request, fingerprint, order_id, user_id, created_at_ms, fixed, event)
            VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        find_claim: SettledRead = "SELECT fingerprint, order_id, user_id, created_at_ms, fixed, event
            FROM {}.placing WHERE request = ?";
        put_input: Write = "UPDATE {}.orders USING TIMESTAMP 1 SET input = ? WHERE order_id = ?";
        forget_order: Write = "DELETE FROM {}.orders WHERE order_id = ?";
        put_order: Write = "INSERT INTO {}.orders (order_id, entry, version,
            user_id, state, created_at_ms, updated_at_ms, fixed, entry_state, at_ms, reason, note, actor)
            VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1";
        change: Conditional = "UPDATE {}.orders SET state = ?, version = ?, updated_at_ms = ?, changing = ?
            WHERE order_id = ? IF version = ?";
        add_entry: Conditional = "INSERT INTO {}.orders
            (order_id, entry, entry_state, at_ms, reason, note, actor, request, fingerprint, event)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        answer: Write = "UPDATE {}.orders USING TIMESTAMP ? SET answer = ?, input = null WHERE order_id = ?";
        put_unstarted: Write = "INSERT INTO {}.unstarted
            (shard, slot, order_id, created_at_ms, request) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1";
        forget_unstarted: Write = "DELETE FROM {}.unstarted WHERE shard = ? AND slot = ? AND order_id = ?";
        page_unstarted: Read = "SELECT order_id, created_at_ms, request FROM {}.unstarted
            WHERE shard = ? AND slot = ? AND order_id > ? LIMIT ?";
        save_swept: Write = "INSERT INTO {}.unstarted_swept (shard, slot) VALUES (?, ?)";
        find_swept: Read = "SELECT slot FROM {}.unstarted_swept WHERE shard = ?";
        list_for_user: Write = "INSERT INTO {}.orders_by_user (user_id, order_id, state)
            VALUES (?, ?, ?) USING TIMESTAMP ?";
        list_in_day: Write = "INSERT INTO {}.orders_by_day (day, shard, order_id, state)
            VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        list_day: Write = "INSERT INTO {}.order_day (calendar, day) VALUES (?, ?)";
        by_user: Read = "SELECT order_id, state FROM {}.orders_by_user
            WHERE user_id = ? AND order_id < ? LIMIT ?";
        by_day: Read = "SELECT order_id, state FROM {}.orders_by_day
            WHERE day = ? AND shard = ? AND order_id < ? LIMIT ?";
        days: Read = "SELECT day FROM {}.order_day
            WHERE calendar = ? AND day <= ? LIMIT ?";
        whole_settled: SettledRead = &orders(MAX_ENTRIES).replace("{key}", "= ?");
        events: SettledRead = &format!(
            "SELECT event FROM {{}}.orders WHERE order_id = ? AND entry >= ? LIMIT {MAX_ENTRIES}"
        );
    }
}

/// Orders by their ids, each with so many of its entries.
pub(super) fn orders(entries: i32) -> String {
    format!(
        "SELECT {ORDER_COLUMNS} FROM {{}}.orders WHERE order_id {{key}} PER PARTITION LIMIT {entries}"
    )
}
