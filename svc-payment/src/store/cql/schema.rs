//! The tables, and the statements on them.

use souk_mesh::cql::{Error, Lookup, Migration, Session, outbox, statements};
use uuid::Uuid;

use super::rows::HeadRow;

/// The most refunds of one payment that are looked at.
pub const MAX_REFUNDS: i32 = 10_000;
/// The most payments that are looked at for one request.
pub const MAX_CLAIMS: i32 = 8;

/// The schema. Payments, refunds and events are never deleted: they are the books. Amounts are minor
/// units, times unix milliseconds.
///
/// - `payment`: one partition per payment. Its static columns are the payment itself, under
///   `version` (null: there is none; 0: a tombstone), and beside it the note (`noted_…`), which is
///   written without conditions. `writer` is new with every conditional write: who does not know
///   whether his own came through finds it there. Its rows are refunds (kind 1, by request key) and
///   what it told (kind 2, by version, big-endian).
/// - `request`: which payments a request was used for; more than one when it was misused.
/// - `listed`, `bucket`: lists of ids by time ([`super::lists`]).
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "payments, requests, lists",
        cql: &[
            "CREATE TABLE IF NOT EXISTS {}.payment (
                payment_id uuid, kind tinyint, item blob,
                version bigint STATIC, writer uuid STATIC, fingerprint blob STATIC,
                order_id uuid STATIC, user_id uuid STATIC, state text STATIC,
                amount bigint STATIC, currency text STATIC, captured bigint STATIC,
                refunded bigint STATIC, payment_token text STATIC, provider_id text STATIC,
                challenge_url text STATIC, decline_code text STATIC, created_ms bigint STATIC,
                updated_ms bigint STATIC, keep_until_ms bigint STATIC,
                noted_state text STATIC, noted_provider_id text STATIC, noted_ms bigint STATIC,
                refund_id uuid, refund_fingerprint blob, refund_amount bigint,
                refund_currency text, refund_reason text, refund_created_ms bigint, answer blob,
                event blob,
                PRIMARY KEY (payment_id, kind, item))",
            "CREATE TABLE IF NOT EXISTS {}.request (
                request_key uuid, payment_id uuid, PRIMARY KEY (request_key, payment_id))",
            "CREATE TABLE IF NOT EXISTS {}.listed (
                list text, bucket bigint, at_ms bigint, id blob,
                PRIMARY KEY ((list, bucket), at_ms, id)
             ) WITH CLUSTERING ORDER BY (at_ms DESC, id DESC)",
            "CREATE TABLE IF NOT EXISTS {}.bucket (
                list text, bucket bigint, PRIMARY KEY (list, bucket)
             ) WITH CLUSTERING ORDER BY (bucket DESC)",
        ],
    },
    Migration { version: 2, name: "the outbox", cql: outbox::TABLES },
];

const HEAD: &str = "SELECT payment_id, version, writer, fingerprint, order_id, user_id, state, amount, currency,
    captured, refunded, payment_token, provider_id, challenge_url, decline_code, created_ms, updated_ms,
    noted_state, noted_provider_id, noted_ms
    FROM {}.payment WHERE payment_id {key} PER PARTITION LIMIT 1";
const REFUNDS: &str = "SELECT item, refund_id, refund_fingerprint, refund_amount, refund_currency,
    refund_reason, refund_created_ms, answer FROM {}.payment WHERE payment_id = ? AND kind = 1";

/// What every call looks up. Calls at the same time share a statement.
pub struct Lookups {
    /// Payments by their ids.
    pub heads: Lookup<Uuid, HeadRow>,
    /// Requests by their keys, each with a payment that it was used for.
    pub claims: Lookup<Uuid, (Uuid, Uuid)>,
}

impl Lookups {
    /// Makes their statements known to the servers.
    pub async fn prepare(session: &Session) -> Result<Lookups, Error> {
        let claims = format!(
            "SELECT request_key, payment_id FROM {{}}.request WHERE request_key {{key}}
             PER PARTITION LIMIT {MAX_CLAIMS}"
        );
        Ok(Lookups {
            heads: Lookup::prepare(session, HEAD).await?,
            claims: Lookup::prepare(session, &claims).await?,
        })
    }
}

statements! {
    /// Every statement, known to the servers.
    pub struct Statements {
        settled_head: SettledRead = &HEAD.replace("{key}", "= ?");
        open: Conditional = "UPDATE {}.payment SET version = ?, writer = ?, fingerprint = ?,
            order_id = ?, user_id = ?, state = ?, amount = ?, currency = ?, captured = ?, refunded = ?,
            payment_token = ?, created_ms = ?, updated_ms = ? WHERE payment_id = ? IF version = NULL";
        change: Conditional = "UPDATE {}.payment SET version = ?, writer = ?, state = ?, captured = ?,
            refunded = ?, provider_id = ?, challenge_url = ?, decline_code = ?, updated_ms = ?
            WHERE payment_id = ? IF version = ?";
        note: Write = "UPDATE {}.payment USING TIMESTAMP ? SET noted_state = ?, noted_provider_id = ?,
            noted_ms = ? WHERE payment_id = ?";
        bury: Conditional = "UPDATE {}.payment SET version = 0, writer = ?, keep_until_ms = ?,
            created_ms = ? WHERE payment_id = ? IF version = NULL";
        unbury: Conditional = "DELETE version, writer, keep_until_ms, created_ms FROM {}.payment
            WHERE payment_id = ? IF version = 0 AND keep_until_ms < ?";
        event: Conditional = "INSERT INTO {}.payment (payment_id, kind, item, event)
            VALUES (?, 2, ?, ?)";
        events: SettledRead = "SELECT event FROM {}.payment
            WHERE payment_id = ? AND kind = 2 AND item >= ? LIMIT 1000";
        begin_refund: Conditional = "INSERT INTO {}.payment (payment_id, kind, item, refund_id,
            refund_fingerprint, refund_amount, refund_currency, refund_reason, refund_created_ms)
            VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        answer_refund: Conditional = "UPDATE {}.payment SET answer = ?
            WHERE payment_id = ? AND kind = 1 AND item = ? IF refund_id = ? AND answer = NULL";
        drop_refund: Conditional = "DELETE FROM {}.payment
            WHERE payment_id = ? AND kind = 1 AND item = ? IF refund_id = ? AND answer = NULL";
        refund: Read = &format!("{REFUNDS} AND item = ?");
        settled_refund: SettledRead = &format!("{REFUNDS} AND item = ?");
        refunds: Read = &format!("{REFUNDS} LIMIT {MAX_REFUNDS}");
        claim: Write = "INSERT INTO {}.request (request_key, payment_id) VALUES (?, ?)";
        list: Write = "INSERT INTO {}.listed (list, bucket, at_ms, id) VALUES (?, ?, ?, ?)";
        unlist: Write = "DELETE FROM {}.listed WHERE list = ? AND bucket = ? AND at_ms = ? AND id = ?";
        listed_before: Read = "SELECT at_ms, id FROM {}.listed WHERE list = ? AND bucket = ?
            AND (at_ms, id) < (?, ?) LIMIT ?";
        listed_after: Read = "SELECT at_ms, id FROM {}.listed WHERE list = ? AND bucket = ?
            AND (at_ms, id) > (?, ?) ORDER BY at_ms ASC, id ASC LIMIT ?";
        add_bucket: Write = "INSERT INTO {}.bucket (list, bucket) VALUES (?, ?)";
        drop_bucket: Write = "DELETE FROM {}.bucket WHERE list = ? AND bucket = ?";
        buckets_down: Read = "SELECT bucket FROM {}.bucket WHERE list = ? AND bucket <= ? LIMIT ?";
        buckets_up: Read = "SELECT bucket FROM {}.bucket WHERE list = ? AND bucket > ?
            ORDER BY bucket ASC LIMIT ?";
    }
}
