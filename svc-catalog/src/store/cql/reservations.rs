//! Reservations: what was asked under their ids is written down, then their products take the step ([`Steps`]), and the
//! sweeper finds those whose time is over.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::due::{Due, Entry, Matter};
use super::intents::{Intent, Intents};
use super::memory::Memory;
use super::operation::Wish;
use super::steps::{Call, Steps};
use crate::domain::{Change, Hold, Release, Reservation};
use crate::error::Error;
use crate::store::refusals;

/// Reservations that the sweeper looks at at once.
const SWEPT_AT_ONCE: usize = 32;
/// Entries of the sweeper's list that are read at once.
const SWEEP_PAGE: usize = 64;
/// Pages of one sweep, those that end nothing included; the rest waits for the next one.
const MAX_SWEEP_PAGES: usize = 64;

/// The reservations of the store.
pub(super) struct Reservations {
    pub(super) steps: Steps,
    pub(super) memory: Arc<Memory>,
    pub(super) intents: Intents,
    pub(super) due: Due,
}

impl Reservations {
    pub(super) async fn reserve(&self, hold: Hold, now_ms: i64) -> Result<Reservation, Error> {
        let (id, intent) = (hold.reservation_id, Intent::of(&hold));
        let begun = self.memory.now();
        let mut unheard = None;
        let known = self.intents.of(id).await?;
        if known.undo.is_some() {
            return Err(Error::Undone(id));
        }
        let until_ms = now_ms.saturating_add(hold.hold_ms);
        let entry = Entry { at_ms: until_ms, id, lines: intent.lines.clone() };
        if known.intents.contains(&intent) {
            self.due.put(Matter::Hold, &entry).await?;
        } else if known.intents.is_empty() {
            // Nobody has heard of it: what would be refused anyway leaves nothing behind.
            hold.clone().on(None, now_ms).map_err(|illegal| refusals::of_step(illegal, id))?;
            tokio::try_join!(self.due.put(Matter::Hold, &entry), self.intents.wish(&intent))?;
            let known = self.intents.of(id).await?;
            if known.undo.is_some() {
                return Err(Error::Undone(id));
            }
            // Two different wishes at once: neither goes on, and the undo finds both.
            if known.intents.iter().any(|other| *other != intent) {
                return Err(Error::ReservationReused(id));
            }
            unheard = Some(begun);
        } else {
            return Err(Error::ReservationReused(id));
        }
        let call = Call { intent: &intent, unheard, now_ms };
        let reservation = self.steps.take(call, Wish::Reserve(hold)).await?;
        self.intents.remember_held(intent);
        Ok(reservation)
    }

    pub(super) async fn extend(
        &self,
        id: Uuid,
        hold_ms: i64,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        self.step_wished(id, Wish::Extend { hold_ms }, now_ms).await
    }

    pub(super) async fn commit(
        &self,
        id: Uuid,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        let sold = self.step_wished(id, Wish::Commit { not_after_ms }, now_ms).await?;
        self.intents.forget_held(id);
        Ok(sold)
    }

    pub(super) async fn release(
        &self,
        release: Release,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        let id = release.reservation_id;
        let Change { reservation: stone, .. } =
            release.on(None, now_ms).map_err(|illegal| refusals::of_step(illegal, id))?;
        // One that is kept for ever is never looked at again.
        if stone.until_ms < i64::MAX {
            let entry = Entry { at_ms: stone.until_ms, id, lines: Vec::new() };
            self.due.put(Matter::Tombstone, &entry).await?;
        }
        self.intents.forget_held(id);
        self.intents.undo(&release, stone.until_ms).await?;
        let known = self.intents.of(id).await?;
        let mut released = None;
        for intent in &known.intents {
            let wish = Wish::Release(release.clone());
            match self.step(intent, wish, now_ms).await {
                Ok(reservation) => released = released.or(Some(reservation)),
                // Wished for, but there is no such product.
                Err(Error::ProductNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let until_ms = known.undo.map_or(stone.until_ms, |undo| undo.until_ms);
        Ok(released.unwrap_or(Reservation { until_ms, ..stone }))
    }

    /// Ends at most `limit` holds whose time is over; says how many.
    pub(super) async fn expire(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        let mut expired = 0;
        for _ in 0..MAX_SWEEP_PAGES {
            let room = (limit - expired).min(SWEEP_PAGE);
            let page = self.due.page(Matter::Hold, now_ms, room).await?;
            if page.is_empty() {
                self.due.swept(Matter::Hold, now_ms);
                break;
            }
            let looked_at = stream::iter(page).map(|entry| self.run_out(entry, now_ms));
            let ended: Vec<bool> = looked_at.buffered(SWEPT_AT_ONCE).try_collect().await?;
            expired += ended.into_iter().filter(|ended| *ended).count();
            if expired >= limit {
                break;
            }
        }
        Ok(expired)
    }

    /// Forgets at most `limit` tombstones that may go; says how many.
    pub(super) async fn forget(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        let page = self.due.page(Matter::Tombstone, now_ms, limit).await?;
        if page.is_empty() {
            self.due.swept(Matter::Tombstone, now_ms);
        }
        let count = page.len();
        let forgotten = stream::iter(page).map(|entry| self.forget_one(entry));
        forgotten.buffered(SWEPT_AT_ONCE).try_collect::<()>().await?;
        Ok(count)
    }

    async fn forget_one(&self, entry: Entry) -> Result<(), Error> {
        self.intents.forget(entry.id, entry.at_ms).await?;
        Ok(self.due.done(Matter::Tombstone, &entry).await?)
    }

    /// The wishes under an id that was not undone before it was made.
    async fn known(&self, id: Uuid) -> Result<Vec<Intent>, Error> {
        let known = self.intents.of(id).await?;
        match known.undo {
            Some(_) => Err(Error::Undone(id)),
            None => Ok(known.intents),
        }
    }

    /// Looks at a hold whose time may be over: whether it has ended now. Parts that a crash left behind follow.
    async fn run_out(&self, entry: Entry, now_ms: i64) -> Result<bool, Error> {
        let intent = Intent { id: entry.id, order_id: Uuid::nil(), lines: entry.lines.clone() };
        let ended = match self.steps.end(Call { intent: &intent, unheard: None, now_ms }).await {
            Err(Error::ProductNotFound(_)) => false,
            other => other?,
        };
        self.due.done(Matter::Hold, &entry).await?;
        Ok(ended)
    }

    /// Takes a step of a reservation that somebody wished for.
    ///
    /// What was wished for is not read again where this process holds it. An undo that was answered meanwhile has reached
    /// its products, as it found the wish, and they refuse; one that was not answered yet finds what was done here, or is
    /// found there, whichever comes first.
    async fn step_wished(&self, id: Uuid, wish: Wish, now_ms: i64) -> Result<Reservation, Error> {
        if let Some(intent) = self.intents.held(id) {
            match self.step(&intent, wish.clone(), now_ms).await {
                Err(Error::ReservationNotFound(_)) => {}
                other => return other,
            }
        }
        for intent in self.known(id).await? {
            match self.step(&intent, wish.clone(), now_ms).await {
                Err(Error::ReservationNotFound(_)) => {}
                other => return other,
            }
        }
        Err(Error::ReservationNotFound(id))
    }

    async fn step(&self, intent: &Intent, wish: Wish, now_ms: i64) -> Result<Reservation, Error> {
        if let Wish::Extend { hold_ms } = wish {
            let at_ms = now_ms.saturating_add(hold_ms);
            let entry = Entry { at_ms, id: intent.id, lines: intent.lines.clone() };
            self.due.put(Matter::Hold, &entry).await?;
        }
        self.steps.take(Call { intent, unheard: None, now_ms }, wish).await
    }
}
