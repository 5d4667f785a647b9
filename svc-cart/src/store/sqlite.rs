//! Carts in SQLite: a row a cart, its items as JSON, so that a change is one write.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use souk_mesh::idempotency::Remembered;
use souk_mesh::store::{Migration, Store};
use uuid::Uuid;

use super::{CartStore, Edit};
use crate::domain::{Cart, Item};
use crate::error::Error;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "carts", sql: include_str!("sqlite/0001_carts.sql") }];

/// The embedded form of the store: one file, group-committed.
#[derive(Clone)]
pub struct Sqlite {
    store: Store,
}

impl Sqlite {
    /// Opens `cart.db` in `folder`, making it where it is not there.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self { store: Store::open(&folder.join("cart.db"), MIGRATIONS)? })
    }
}

#[async_trait]
impl CartStore for Sqlite {
    async fn cart(&self, user_id: Uuid, now_ms: i64) -> Result<Cart, Error> {
        self.store.look_up(move |conn| Ok(load(conn, user_id)?.at(now_ms))).await
    }

    async fn edit(&self, edit: Edit) -> Result<Cart, Error> {
        self.store
            .write(move |conn| {
                let Edit { user_id, change, key, now_ms, lifetime_ms } = edit;
                let cart = load(conn, user_id)?.at(now_ms);
                if let Some(key) = &key {
                    match key.check(conn)? {
                        Remembered::New => {}
                        Remembered::Same(_) => return Ok(cart),
                        Remembered::Conflict => return Err(Error::RequestIdReused),
                    }
                    key.remember(conn, &[], now_ms)?;
                }
                let changed = cart.apply(change, now_ms, lifetime_ms)?;
                save(conn, user_id, &changed)?;
                Ok(changed)
            })
            .await
    }

    async fn sweep(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.store
            .write(move |conn| {
                let swept = conn
                    .prepare_cached(
                        "DELETE FROM cart WHERE user_id IN
                            (SELECT user_id FROM cart WHERE expires_at_ms <= ?1 LIMIT ?2)",
                    )?
                    .execute(params![now_ms, limit as i64])?;
                Ok(swept)
            })
            .await
    }
}

fn load(conn: &Connection, user_id: Uuid) -> Result<Cart, Error> {
    let found = conn
        .prepare_cached("SELECT version, items, expires_at_ms FROM cart WHERE user_id = ?1")?
        .query_row([user_id], |row| {
            let items: String = row.get(1)?;
            let items: Vec<Item> = serde_json::from_str(&items).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(
                    1,
                    rusqlite::types::Type::Text,
                    Box::new(error),
                )
            })?;
            Ok(Cart { version: row.get(0)?, items, expires_at_ms: row.get(2)? })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn save(conn: &Connection, user_id: Uuid, cart: &Cart) -> Result<(), Error> {
    let items = serde_json::to_string(&cart.items).expect("items are plain values");
    conn.prepare_cached(
        "INSERT INTO cart (user_id, version, items, expires_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (user_id) DO UPDATE SET version = ?2, items = ?3, expires_at_ms = ?4",
    )?
    .execute(params![user_id, cart.version, items, cart.expires_at_ms])?;
    Ok(())
}
