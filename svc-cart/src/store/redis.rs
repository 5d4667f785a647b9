//! Carts in Redis: a hash a cart, which dies by itself.
//!
//! An edit is computed here, by [`Cart::apply`] as everywhere, from the cart that one script read, and put in its place
//! by another if nobody else was faster; whoever was slower computes again. Edits of one cart within this process wait
//! for each other, so that only processes can meet. The request is remembered by the same script. The three keys of a user share `{user}`, so that they are together in a cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_mesh::redis::{self, Config, Redis as Connection, Reply, Script};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{CartStore, Edit};
use crate::domain::Cart;
use crate::error::Error;

static LOAD: Script = Script::new("cart_load", include_str!("redis/load.lua"));
static SAVE: Script = Script::new("cart_save", include_str!("redis/save.lua"));

/// How often an edit is computed again because somebody else changed the cart meanwhile.
const MAX_ATTEMPTS: u32 = 24;
/// What is waited before the second attempt at most; twice as much for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// What is waited between attempts at most.
const MAX_PAUSE: Duration = Duration::from_millis(128);
/// Carts that are edited at once in one process.
const TURNS: u128 = 256;
/// Requests of one user that are remembered; with one more the oldest is forgotten.
pub const MAX_REMEMBERED: usize = 512;
/// How long the requests of a user are remembered after the last one, in milliseconds: 7 days.
const REMEMBERED_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How long Redis keeps a cart at most, whatever its lifetime, in milliseconds: ten years. Redis refuses times that it
/// cannot count, and would do so in the middle of a script.
const MAX_KEPT_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// The form of the store that several processes share.
#[derive(Clone)]
pub struct Redis {
    connection: Connection,
    /// Of this process: who edits a cart that falls on the same place waits.
    turns: Arc<[Mutex<()>]>,
    /// How long a turn is waited for.
    limit: Duration,
}

impl Redis {
    /// Begins to connect; a Redis that is away is an error of the calls.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::open(config).await?,
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
            limit: config.limit(),
        })
    }

    /// The turn to edit a cart. It takes long only when Redis does.
    async fn turn(&self, user_id: Uuid) -> Result<MutexGuard<'_, ()>, Error> {
        let place = (user_id.as_u128() % TURNS) as usize;
        let turn = tokio::time::timeout(self.limit, self.turns[place].lock()).await;
        turn.map_err(|_| Error::Redis(redis::Error::TimedOut))
    }

    async fn load(&self, user_id: Uuid, request: &[u8]) -> Result<Found, Error> {
        let [cart, requests, _] = keys(user_id);
        let reply = self.connection.run(&LOAD, &[cart, requests], &[request.to_vec()]).await?;
        Found::of(reply)
    }

    /// Puts `changed` in the place of the cart of `version`; what is there instead, if something is.
    async fn save(
        &self,
        edit: &Edit,
        request: &[u8],
        version: i64,
        changed: &Cart,
    ) -> Result<Option<Found>, Error> {
        let items = serde_json::to_vec(&changed.items).expect("items are plain values");
        let fingerprint = edit.key.as_ref().map(|key| key.fingerprint.to_vec());
        let arguments = [
            text(version),
            text(changed.version),
            items,
            text(changed.expires_at_ms),
            text(edit.lifetime_ms.clamp(1, MAX_KEPT_MS)),
            request.to_vec(),
            fingerprint.unwrap_or_default(),
            text(REMEMBERED_FOR_MS),
            text(MAX_REMEMBERED),
        ];
        match self.connection.run(&SAVE, &keys(edit.user_id), &arguments).await? {
            Reply::Nothing => Ok(None),
            reply => Found::of(reply).map(Some),
        }
    }
}

#[async_trait]
impl CartStore for Redis {
    async fn cart(&self, user_id: Uuid, now_ms: i64) -> Result<Cart, Error> {
        Ok(self.load(user_id, &[]).await?.cart.at(now_ms))
    }

    async fn edit(&self, edit: Edit) -> Result<Cart, Error> {
        let request = edit.key.as_ref().map(|key| key.digest().to_vec()).unwrap_or_default();
        let _turn = self.turn(edit.user_id).await?;
        let mut found = self.load(edit.user_id, &request).await?;
        for attempt in 1..=MAX_ATTEMPTS {
            let Found { cart, fingerprint } = found;
            let (version, cart) = (cart.version, cart.at(edit.now_ms));
            if let (Some(known), Some(key)) = (fingerprint, &edit.key) {
                let is_same = known == key.fingerprint;
                return if is_same { Ok(cart) } else { Err(Error::RequestIdReused) };
            }
            let changed = cart.apply(edit.change.clone(), edit.now_ms, edit.lifetime_ms)?;
            match self.save(&edit, &request, version, &changed).await? {
                None => return Ok(changed),
                Some(instead) => found = instead,
            }
            tokio::time::sleep(pause(attempt)).await;
        }
        Err(Error::Busy)
    }

    /// Nothing: Redis forgets dead carts by itself.
    async fn sweep(&self, _now_ms: i64, _limit: usize) -> Result<usize, Error> {
        Ok(0)
    }
}

/// A cart as it is kept.
struct Found {
    cart: Cart,
    /// Of the request that was asked for, if it was answered before.
    fingerprint: Option<Vec<u8>>,
}

impl Found {
    fn of(reply: Reply) -> Result<Self, Error> {
        let [fingerprint, version, items, expires_at_ms] = reply.into_list()?;
        let fingerprint = fingerprint.into_bytes()?;
        let Some(version) = version.into_bytes()? else {
            return Ok(Self { cart: Cart::default(), fingerprint });
        };
        let items = items.into_bytes()?.unwrap_or_default();
        let cart = Cart {
            version: number(&version)?,
            items: serde_json::from_slice(&items).map_err(|error| unreadable(&error))?,
            expires_at_ms: number(&expires_at_ms.into_bytes()?.unwrap_or_default())?,
        };
        Ok(Self { cart, fingerprint })
    }
}

fn keys(user_id: Uuid) -> [String; 3] {
    ["cart", "cart-requests", "cart-request-order"].map(|kind| format!("souk:{kind}:{{{user_id}}}"))
}

fn text(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn number(text: &[u8]) -> Result<i64, Error> {
    let text = std::str::from_utf8(text).map_err(|error| unreadable(&error))?;
    text.parse().map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::Redis(redis::Error::Refused(format!("what is kept of a cart cannot be read: {error}")))
}

/// A random part of a growing time, so that those who met do not meet again and again.
fn pause(attempt: u32) -> Duration {
    let random = Uuid::new_v4().as_u128() as u32;
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(MAX_PAUSE);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
