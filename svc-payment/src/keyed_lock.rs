//! One worker at a time per payment: whoever comes second waits, within bounds.
//!
//! The state version in the store decides between processes; within one, this spares the provider
//! calls that would be lost to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::error::Error;

/// Payments that may be worked on at the same time.
const MAX_KEYS: usize = 16_384;
/// Calls that may wait for one payment.
const MAX_USERS_PER_KEY: usize = 256;

/// The locks in use.
#[derive(Default)]
pub struct KeyedLocks {
    slots: Mutex<HashMap<Uuid, Slot>>,
}

struct Slot {
    lock: Arc<tokio::sync::Mutex<()>>,
    users: usize,
}

/// The right to work on a payment, until it is dropped.
pub struct Guard {
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

/// A place in a key's queue.
struct Place {
    locks: Arc<KeyedLocks>,
    key: Uuid,
}

impl KeyedLocks {
    /// Waits for the right to work on `key`.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait, for this key or at all.
    pub async fn acquire(self: &Arc<Self>, key: Uuid) -> Result<Guard, Error> {
        let (lock, place) = self.queue(key)?;
        Ok(Guard { _turn: lock.lock_owned().await, _place: place })
    }

    fn queue(self: &Arc<Self>, key: Uuid) -> Result<(Arc<tokio::sync::Mutex<()>>, Place), Error> {
        let mut slots = self.slots();
        if slots.len() >= MAX_KEYS && !slots.contains_key(&key) {
            return Err(Error::Busy);
        }
        let slot = slots.entry(key).or_insert_with(|| Slot { lock: Arc::default(), users: 0 });
        if slot.users >= MAX_USERS_PER_KEY {
            return Err(Error::Busy);
        }
        slot.users += 1;
        Ok((slot.lock.clone(), Place { locks: self.clone(), key }))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Uuid, Slot>> {
        // Nothing panics while it is held, and counts are right at every moment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.locks.slots();
        if let Some(slot) = slots.get_mut(&self.key) {
            slot.users -= 1;
            if slot.users == 0 {
                slots.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_key_is_held_by_one_and_others_are_not_in_the_way() {
        let locks = Arc::new(KeyedLocks::default());
        let first = locks.acquire(Uuid::from_u128(1)).await.unwrap();
        let mut second = Box::pin(locks.acquire(Uuid::from_u128(1)));
        assert!(second.as_mut().now_or_never().is_none(), "held by the first");
        assert!(locks.acquire(Uuid::from_u128(2)).now_or_never().is_some());
        drop(first);
        drop(second.await.unwrap());
        assert!(locks.slots().is_empty(), "nothing is kept of keys that nobody uses");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_no_trace() {
        let locks = Arc::new(KeyedLocks::default());
        let first = locks.acquire(Uuid::from_u128(1)).await.unwrap();
        let mut second = Box::pin(locks.acquire(Uuid::from_u128(1)));
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        assert!(locks.slots().is_empty());
    }

    #[tokio::test]
    async fn the_queue_of_a_key_is_bounded() {
        let locks = Arc::new(KeyedLocks::default());
        let key = Uuid::from_u128(1);
        let places: Vec<_> = (0..MAX_USERS_PER_KEY).map(|_| locks.queue(key).unwrap().1).collect();
        assert!(matches!(locks.acquire(key).await, Err(Error::Busy)));
        drop(places);
        assert!(locks.acquire(key).await.is_ok());
    }
}
