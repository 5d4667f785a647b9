//! The tables of svc-order in a keyspace.

use souk_mesh::cql::{Migration, outbox};

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
