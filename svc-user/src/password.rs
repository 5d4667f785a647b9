//! Passwords: hashed with argon2id in a bounded pool, so that a storm of logins neither stalls the shop
//! nor eats its memory.
//!
//! Parameters: 19 MiB, two passes, one lane, the first choice of the OWASP Password Storage Cheat Sheet
//! for argon2id. A stored hash names its own parameters, so they can be raised without a migration.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::Error;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Logins that may wait for a turn; one more is refused with a hint to come back.
const MAX_WAITING: usize = 256;

/// Hashes and verifies passwords, `at_once` at a time.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Verified when there is no such user, so that the answer takes as long as for one who exists.
    decoy: Arc<str>,
}

impl Passwords {
    /// A pool that runs `at_once` hashes at the same time (each takes [`MEMORY_KIB`] of memory).
    pub fn new(at_once: usize) -> Result<Self, Error> {
        let decoy = hash(&SecretString::from("the password of nobody at all"))?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Arc::new(AtomicUsize::new(0)),
            decoy: decoy.into(),
        })
    }

    /// The hash of `password` as a PHC string, salted anew each time.
    pub async fn hash(&self, password: SecretString) -> Result<String, Error> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether `password` is the one that `stored` was made from; `None` is nobody's hash and never matches.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, Error> {
        let decoy = Arc::clone(&self.decoy);
        self.in_turn(move || {
            let known = stored.is_some();
            let matches = verify(&password, stored.as_deref().unwrap_or(&decoy))?;
            Ok(known && matches)
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _place = Place::take(&self.waiting)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Error::Busy)?;
        // The turn travels with the work: a caller that gives up does not let another hash start early.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| Error::PasswordHash("the hashing thread ended".to_owned()))?
    }
}

/// A place in the bounded queue, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, Error> {
        let place = Self(Arc::clone(waiting));
        // Counted before it is judged, so that two callers cannot both take the last place.
        if waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(Error::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants lie within the limits of RFC 9106");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &SecretString) -> Result<String, Error> {
    argon2()
        .hash_password(password.expose_secret().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::PasswordHash(error.to_string()))
}

fn verify(password: &SecretString, stored: &str) -> Result<bool, Error> {
    let stored =
        PasswordHash::new(stored).map_err(|error| Error::PasswordHash(error.to_string()))?;
    match argon2().verify_password(password.expose_secret().as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::PasswordHash(error.to_string())),
    }
}
