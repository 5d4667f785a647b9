//! The keyspace of the engine.

use souk_mesh::cql::Migration;

use super::membership;

/// All steps so far.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "the log and the tables of the engine", cql: LOG_AND_TABLES },
    Migration { version: 2, name: "the record of nodes", cql: membership::SCHEMA },
];

const LOG_AND_TABLES: &[&str] = &[
    // The log. A slot's row is written once, by a conditional write; lanes keep neighbours out of each other's way.
    "CREATE TABLE IF NOT EXISTS {}.log_slot
            (log_id bigint, bucket bigint, lane tinyint, slot bigint, parts int, bytes blob,
            PRIMARY KEY ((log_id, bucket, lane), slot))",
    "CREATE TABLE IF NOT EXISTS {}.log_part
            (log_id bigint, slot bigint, digest blob, part int, bytes blob,
            PRIMARY KEY ((log_id, slot, digest), part))",
    "CREATE TABLE IF NOT EXISTS {}.log_trim
            (log_id bigint PRIMARY KEY, trimmed bigint, emptied bigint)",
    "CREATE TABLE IF NOT EXISTS {}.log_cursor
            (shelf tinyint, log_id bigint, slot bigint,
            PRIMARY KEY ((shelf), log_id)) WITH CLUSTERING ORDER BY (log_id DESC)",
    // Runs, and what leads to them.
    "CREATE TABLE IF NOT EXISTS {}.run
            (run_id blob PRIMARY KEY, workflow_type text, state tinyint, next_sequence bigint,
            row blob, history blob)",
    "CREATE TABLE IF NOT EXISTS {}.history
            (run_id blob, first_sequence bigint, part int, parts int, count int, packing int,
            bytes blob, PRIMARY KEY ((run_id), first_sequence, part))",
    "CREATE TABLE IF NOT EXISTS {}.workflow_id
            (workflow_id text, run_id blob,
            PRIMARY KEY ((workflow_id), run_id)) WITH CLUSTERING ORDER BY (run_id DESC)",
    // Entries come and go. A deleted one that a replica brings back after so long is harmless: the run decides.
    "CREATE TABLE IF NOT EXISTS {}.open_run
            (partition smallint, run_id blob,
            PRIMARY KEY ((partition), run_id)) WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {}.active_run
            (partition smallint, run_id blob,
            PRIMARY KEY ((partition), run_id)) WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {}.timer
            (partition smallint, fire_at_ms bigint, run_id blob, command bigint,
            PRIMARY KEY ((partition), fire_at_ms, run_id, command))
            WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {}.listing
            (workflow_type text, state tinyint, bucket bigint, shard tinyint, run_id blob,
            PRIMARY KEY ((workflow_type, state, bucket, shard), run_id))
            WITH CLUSTERING ORDER BY (run_id DESC) AND gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {}.listing_bucket
            (shelf tinyint, bucket bigint, workflow_type text, state tinyint, shard tinyint,
            used boolean,
            PRIMARY KEY ((shelf), bucket, workflow_type, state, shard))
            WITH CLUSTERING ORDER BY (bucket DESC, workflow_type ASC, state ASC, shard ASC)",
];
