//! Accounts in SQLite.

use std::path::Path;

use async_trait::async_trait;
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use souk_mesh::idempotency::Remembered;
use souk_mesh::outbox;
use souk_mesh::store::{Migration, Store};
use souk_proto::user::v1::PostalAddress;
use uuid::Uuid;

use super::{Registered, RequestKey, UserStore, check_version};
use crate::domain::{Address, AddressChange, MAX_ADDRESSES, User};
use crate::error::Error;
use crate::wire;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "accounts and address books",
    sql: include_str!("sqlite/0001_accounts.sql"),
}];

/// The embedded form of the store: one file, group-committed.
#[derive(Clone)]
pub struct Sqlite {
    store: Store,
}

impl Sqlite {
    /// Opens `user.db` in `folder`, making it where it is not there.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self { store: Store::open(&folder.join("user.db"), MIGRATIONS)? })
    }

    /// The store beneath, for the outbox relay.
    pub fn inner(&self) -> &Store {
        &self.store
    }
}

#[async_trait]
impl UserStore for Sqlite {
    async fn register(
        &self,
        user: User,
        password_hash: String,
        key: Option<RequestKey>,
    ) -> Result<Registered, Error> {
        self.store
            .write(move |conn| {
                if let Some(earlier) = remembered(conn, key.as_ref())? {
                    let user = user_by_id(conn, earlier)?.ok_or(Error::UserNotFound)?;
                    return Ok(Registered::Before(user));
                }
                insert_user(conn, &user, &password_hash)?;
                remember(conn, key.as_ref(), user.id, user.created_at_ms)?;
                outbox::put(conn, &wire::registered(&user))?;
                Ok(Registered::New(user))
            })
            .await
    }

    async fn user(&self, user_id: Uuid) -> Result<Option<User>, Error> {
        self.store.look_up(move |conn| user_by_id(conn, user_id)).await
    }

    async fn credentials(&self, email: &str) -> Result<Option<(User, String)>, Error> {
        let email = email.to_owned();
        self.store
            .read(move |conn| {
                let found = conn
                    .prepare_cached("SELECT * FROM user WHERE email = ?1")?
                    .query_row([email], |row| Ok((user(row)?, row.get("password_hash")?)))
                    .optional()?;
                Ok(found)
            })
            .await
    }

    async fn addresses(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Address>, Error> {
        self.store
            .read(move |conn| {
                let mut statement = conn.prepare_cached(
                    "SELECT * FROM address WHERE user_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                )?;
                let after = after.unwrap_or(Uuid::nil());
                let rows = statement.query_map(params![user_id, after, limit as i64], address)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn create_address(
        &self,
        mut address: Address,
        key: Option<RequestKey>,
    ) -> Result<Address, Error> {
        self.store
            .write(move |conn| {
                if let Some(earlier) = remembered(conn, key.as_ref())? {
                    return address_by_id(conn, address.user_id, earlier);
                }
                let kept: i64 = conn
                    .prepare_cached("SELECT count(*) FROM address WHERE user_id = ?1")?
                    .query_row([address.user_id], |row| row.get(0))?;
                if kept >= MAX_ADDRESSES as i64 {
                    return Err(Error::TooManyAddresses);
                }
                address.is_default |= kept == 0;
                put_address(conn, &address)?;
                remember(conn, key.as_ref(), address.id, address.created_at_ms)?;
                Ok(address)
            })
            .await
    }

    async fn update_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
        change: AddressChange,
        now_ms: i64,
    ) -> Result<Address, Error> {
        self.store
            .write(move |conn| {
                let current = address_by_id(conn, user_id, address_id)?;
                check_version(&current, version)?;
                let changed = change.apply(current, now_ms);
                put_address(conn, &changed)?;
                Ok(changed)
            })
            .await
    }

    async fn delete_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
    ) -> Result<(), Error> {
        self.store
            .write(move |conn| {
                match address_by_id(conn, user_id, address_id) {
                    Ok(current) => check_version(&current, version)?,
                    Err(Error::AddressNotFound) => return Ok(()),
                    Err(error) => return Err(error),
                }
                conn.prepare_cached("DELETE FROM address WHERE id = ?1")?.execute([address_id])?;
                Ok(())
            })
            .await
    }
}

/// What an earlier request of this key made, if there was one.
fn remembered(conn: &Connection, key: Option<&RequestKey>) -> Result<Option<Uuid>, Error> {
    let Some(key) = key else { return Ok(None) };
    match key.check(conn)? {
        Remembered::New => Ok(None),
        Remembered::Same(answer) => Ok(Uuid::from_slice(&answer).ok()),
        Remembered::Conflict => Err(Error::RequestIdReused),
    }
}

fn remember(
    conn: &Connection,
    key: Option<&RequestKey>,
    made: Uuid,
    now_ms: i64,
) -> Result<(), Error> {
    match key {
        Some(key) => Ok(key.remember(conn, made.as_bytes(), now_ms)?),
        None => Ok(()),
    }
}

fn insert_user(conn: &Connection, user: &User, password_hash: &str) -> Result<(), Error> {
    let inserted = conn
        .prepare_cached(
            "INSERT INTO user (id, email, display_name, is_staff, password_hash, created_at_ms,
                updated_at_ms, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (email) DO NOTHING",
        )?
        .execute(params![
            user.id,
            user.email,
            user.display_name,
            user.is_staff,
            password_hash,
            user.created_at_ms,
            user.updated_at_ms,
            user.version as i64,
        ])?;
    if inserted == 0 { Err(Error::EmailTaken) } else { Ok(()) }
}

fn user_by_id(conn: &Connection, user_id: Uuid) -> Result<Option<User>, Error> {
    Ok(conn
        .prepare_cached("SELECT * FROM user WHERE id = ?1")?
        .query_row([user_id], user)
        .optional()?)
}

fn address_by_id(conn: &Connection, user_id: Uuid, address_id: Uuid) -> Result<Address, Error> {
    conn.prepare_cached("SELECT * FROM address WHERE id = ?1 AND user_id = ?2")?
        .query_row([address_id, user_id], address)
        .optional()?
        .ok_or(Error::AddressNotFound)
}

/// Writes an address; when it is the default, no other of the same user stays so.
fn put_address(conn: &Connection, address: &Address) -> Result<(), Error> {
    if address.is_default {
        conn.prepare_cached("UPDATE address SET is_default = 0 WHERE user_id = ?1 AND is_default")?
            .execute([address.user_id])?;
    }
    conn.prepare_cached(
        "INSERT INTO address (id, user_id, label, postal, is_default, created_at_ms,
            updated_at_ms, version)
         VALUES (:id, :user_id, :label, :postal, :is_default, :created, :updated, :version)
         ON CONFLICT (id) DO UPDATE SET label = :label, postal = :postal,
            is_default = :is_default, updated_at_ms = :updated, version = :version",
    )?
    .execute(named_params! {
        ":id": address.id,
        ":user_id": address.user_id,
        ":label": address.label,
        ":postal": address.postal.encode_to_vec(),
        ":is_default": address.is_default,
        ":created": address.created_at_ms,
        ":updated": address.updated_at_ms,
        ":version": address.version as i64,
    })?;
    Ok(())
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("id")?,
        email: row.get("email")?,
        display_name: row.get("display_name")?,
        is_staff: row.get("is_staff")?,
        created_at_ms: row.get("created_at_ms")?,
        updated_at_ms: row.get("updated_at_ms")?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}

fn address(row: &Row<'_>) -> rusqlite::Result<Address> {
    let postal: Vec<u8> = row.get("postal")?;
    let postal = PostalAddress::decode(postal.as_slice()).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
    })?;
    Ok(Address {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        label: row.get("label")?,
        postal,
        is_default: row.get("is_default")?,
        created_at_ms: row.get("created_at_ms")?,
        updated_at_ms: row.get("updated_at_ms")?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}
