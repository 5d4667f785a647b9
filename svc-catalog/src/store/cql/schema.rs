//! The catalog's tables on CQL.

use souk_mesh::cql::{Migration, outbox};

/// All steps, oldest first.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "outbox", cql: outbox::TABLES },
    Migration {
        version: 2,
        name: "catalog",
        cql: &[PRODUCT, RESERVATION, DUE, DUE_BUCKET, CLAIM, CATEGORY, LISTING],
    },
];

/// Everything about one product, as a conditional write needs it in one partition. `revision` counts the partition's
/// writes and is the condition of each (0: the id is void). Rows, by the first byte of `entry`: 0 the head, which is
/// always there, so that what is fixed comes with any read; 1 a reservation; 2 the answer of a request; 3 the events of
/// a revision. Only conditional writes touch this table.
const PRODUCT: &str = "CREATE TABLE IF NOT EXISTS {}.product (
    product_id uuid,
    entry blob,
    revision bigint static,
    sku text static,
    name text static,
    description text static,
    category_id uuid static,
    price_minor bigint static,
    currency text static,
    picture text static,
    archived boolean static,
    version bigint static,
    created_at_ms bigint static,
    updated_at_ms bigint static,
    listing uuid static,
    event_version bigint static,
    on_hand bigint static,
    reserved bigint static,
    stock_version bigint static,
    stock_changed_at_ms bigint static,
    order_id uuid,
    quantity int,
    lines frozen<map<uuid, int>>,
    state tinyint,
    until_ms bigint,
    round int,
    change bigint,
    fingerprint blob,
    answer blob,
    events frozen<list<blob>>,
    PRIMARY KEY (product_id, entry))";

/// What was asked under the id of a reservation: `mark` 1 and a digest is a wish to hold, 2 and a time an undo, kept
/// until then. Plain writes only; the products' partitions decide.
const RESERVATION: &str = "CREATE TABLE IF NOT EXISTS {}.reservation (
    reservation_id uuid,
    mark blob,
    order_id uuid,
    lines frozen<map<uuid, int>>,
    PRIMARY KEY (reservation_id, mark))";

/// What the sweeper looks at, by time: `kind` 1 holds that run out, 2 tombstones that may go. `position` is the time
/// in milliseconds, then the reservation's id.
const DUE: &str = "CREATE TABLE IF NOT EXISTS {}.due (
    kind tinyint,
    bucket bigint,
    position blob,
    lines frozen<map<uuid, int>>,
    PRIMARY KEY ((kind, bucket), position))";

/// The buckets of `due` that are in use, by day.
const DUE_BUCKET: &str = "CREATE TABLE IF NOT EXISTS {}.due_bucket (
    kind tinyint,
    day bigint,
    bucket bigint,
    PRIMARY KEY ((kind, day), bucket))";

/// What only one may have: an article number, a name in URLs, a request id. `owner` is the product or category.
const CLAIM: &str = "CREATE TABLE IF NOT EXISTS {}.claim (
    kind tinyint,
    name blob,
    owner uuid,
    fingerprint blob,
    PRIMARY KEY ((kind, name)))";

/// Categories; one without a slug is void: its creation was given up. `maker` names the request that made it.
const CATEGORY: &str = "CREATE TABLE IF NOT EXISTS {}.category (
    category_id uuid PRIMARY KEY,
    slug text,
    name text,
    parent_id uuid,
    created_at_ms bigint,
    maker blob)";

/// Products (`shelf` is a category, or nil for all) and categories (shelf is the category of categories) in order of
/// name. An entry counts only while what it names says that `listing` is its own. `item` is a blob, as the order of
/// CQL's uuids is not that of their bytes. Plain writes only.
const LISTING: &str = "CREATE TABLE IF NOT EXISTS {}.listing (
    shelf uuid,
    bucket tinyint,
    name text,
    item blob,
    listing uuid,
    PRIMARY KEY ((shelf, bucket), name, item, listing))";
