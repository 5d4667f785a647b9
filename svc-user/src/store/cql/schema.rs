//! The tables, and the statements on them.

use souk_mesh::cql::{Migration, outbox, statements};

/// The schema; times are unix milliseconds, ids in blobs their 16 bytes.
///
/// - `account`: one partition per user. Its static columns are the account under its version (null: there is none).
///   Its rows are the address book (kind 0), addresses (1, by id), requests (2, by digest) and what it told (3, by
///   version, big-endian).
/// - `email`: whose an address is. What an account is made of stands here until it is made.
/// - `registration`: the parameters that a request to register was used with; more than one after a misuse.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "accounts and address books",
        cql: &[
            "CREATE TABLE IF NOT EXISTS {}.account (
                user_id uuid, kind tinyint, item blob,
                version bigint STATIC, email text STATIC, display_name text STATIC,
                is_staff boolean STATIC, password_hash text STATIC, created_ms bigint STATIC,
                updated_ms bigint STATIC,
                book_version bigint, writer uuid, default_address uuid,
                label text, postal blob, address_created_ms bigint, address_updated_ms bigint,
                address_version bigint,
                fingerprint blob, made uuid,
                event blob,
                PRIMARY KEY (user_id, kind, item))",
            "CREATE TABLE IF NOT EXISTS {}.email (
                email text PRIMARY KEY, user_id uuid, request blob, fingerprint blob,
                display_name text, is_staff boolean, password_hash text, created_ms bigint)",
            "CREATE TABLE IF NOT EXISTS {}.registration (
                request blob, fingerprint blob, PRIMARY KEY (request, fingerprint))",
        ],
    },
    Migration { version: 2, name: "the outbox", cql: outbox::TABLES },
];

const ACCOUNT: &str = "SELECT version, email, display_name, is_staff, password_hash, created_ms,
    updated_ms FROM {}.account WHERE user_id = ? LIMIT 1";
const EMAIL: &str = "SELECT user_id, request, fingerprint, display_name, is_staff, password_hash,
    created_ms FROM {}.email WHERE email = ?";
const BOOK: &str = "SELECT kind, item, book_version, writer, default_address, label, postal,
    address_created_ms, address_updated_ms, address_version
    FROM {}.account WHERE user_id = ? AND kind < 2 LIMIT 100";

statements! {
    /// Every statement, known to the servers.
    pub struct Statements {
        account: Read = ACCOUNT;
        settled_account: SettledRead = ACCOUNT;
        make_account: Conditional = "UPDATE {}.account SET version = ?, email = ?, display_name = ?,
            is_staff = ?, password_hash = ?, created_ms = ?, updated_ms = ?
            WHERE user_id = ? IF version = NULL";
        event: Conditional = "INSERT INTO {}.account (user_id, kind, item, event) VALUES (?, 3, ?, ?)";
        events: SettledRead = "SELECT event FROM {}.account
            WHERE user_id = ? AND kind = 3 AND item >= ? LIMIT 1000";
        email: Read = EMAIL;
        settled_email: SettledRead = EMAIL;
        claim_email: Conditional = "INSERT INTO {}.email (email, user_id, request, fingerprint,
            display_name, is_staff, password_hash, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            IF NOT EXISTS";
        forget_secret: Conditional = "UPDATE {}.email SET password_hash = NULL WHERE email = ?
            IF user_id = ?";
        registration: Write = "INSERT INTO {}.registration (request, fingerprint) VALUES (?, ?)";
        registrations: Read = "SELECT fingerprint FROM {}.registration WHERE request = ? LIMIT 8";
        book: Read = BOOK;
        settled_book: SettledRead = BOOK;
        make_book: Conditional = "UPDATE {}.account SET book_version = 1, writer = ?,
            default_address = ? WHERE user_id = ? AND kind = 0 AND item = 0x IF book_version = NULL";
        change_book: Conditional = "UPDATE {}.account SET book_version = ?, writer = ?,
            default_address = ? WHERE user_id = ? AND kind = 0 AND item = 0x IF book_version = ?";
        put_address: Conditional = "INSERT INTO {}.account (user_id, kind, item, label, postal,
            address_created_ms, address_updated_ms, address_version) VALUES (?, 1, ?, ?, ?, ?, ?, ?)";
        delete_address: Conditional = "DELETE FROM {}.account WHERE user_id = ? AND kind = 1 AND item = ?";
        remember: Conditional = "INSERT INTO {}.account (user_id, kind, item, fingerprint, made)
            VALUES (?, 2, ?, ?, ?)";
        remembered: SettledRead = "SELECT fingerprint, made FROM {}.account
            WHERE user_id = ? AND kind = 2 AND item = ?";
    }
}
