//! Reservations over the partitions of their products, without transactions over partitions.
//!
//! The product with the highest id **decides**: its row is the reservation. Where it is the only one, that is all.
//! The others hold **parts**. To hold, the parts are taken first, in order of the products, and the deciding one last;
//! so the reservation is held exactly if its row there says so, and all its parts are. To give back or to sell, the
//! deciding one goes first and the parts follow. Whoever finds a part behind (the next call, or the sweeper) has it
//! follow, so a crash between two steps costs nothing but time. The parts of a sale follow without anybody who waits for
//! them: what is for sale does not change by them.
//!
//! An attempt to hold carries a **round**, counted by the deciding product. When a part is refused, the round is ended
//! there first; then no other call can complete it, and what was held for it is given back. Parts of later rounds are
//! not touched by that.

use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::due::{Due, Entry, Matter};
use super::group::Groups;
use super::intents::{Intent, Intents};
use super::operation::{Elsewhere, Operation, Part, Reply, Wish};
use crate::domain::{Change, Hold, Inventory, Line, Release, Reservation, State};
use crate::error::Error;
use crate::store::refusals;

/// How often a step begins anew because other calls moved the reservation meanwhile.
const MAX_ROUNDS: usize = 16;
/// Reservations that the sweeper looks at at once.
const SWEPT_AT_ONCE: usize = 32;
/// A part of a sale is left to follow by itself only if the sweeper is to look at its reservation no sooner than this,
/// so that it is certain to come by after a process has died: far more than what the clocks of processes differ by.
const SWEPT_LATER_MS: i64 = 30_000;
/// Entries of the sweeper's list that are read at once.
const SWEEP_PAGE: usize = 64;
/// Pages of one sweep, those that end nothing included; the rest waits for the next one.
const MAX_SWEEP_PAGES: usize = 64;

/// The reservations of the store.
pub(super) struct Reservations {
    pub(super) groups: Groups,
    pub(super) intents: Intents,
    pub(super) due: Due,
}

impl Reservations {
    pub(super) async fn reserve(&self, hold: Hold, now_ms: i64) -> Result<Reservation, Error> {
        let (id, intent) = (hold.reservation_id, Intent::of(&hold));
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
        } else {
            return Err(Error::ReservationReused(id));
        }
        self.step(&intent, Wish::Reserve(hold), now_ms).await
    }

    pub(super) async fn extend(
        &self,
        id: Uuid,
        hold_ms: i64,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        for intent in self.known(id).await? {
            let at_ms = now_ms.saturating_add(hold_ms);
            let entry = Entry { at_ms, id, lines: intent.lines.clone() };
            self.due.put(Matter::Hold, &entry).await?;
            match self.step(&intent, Wish::Extend { hold_ms }, now_ms).await {
                Err(Error::ReservationNotFound(_)) => {}
                other => return other,
            }
        }
        Err(Error::ReservationNotFound(id))
    }

    pub(super) async fn commit(
        &self,
        id: Uuid,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Reservation, Error> {
        for intent in self.known(id).await? {
            match self.step(&intent, Wish::Commit { not_after_ms }, now_ms).await {
                Err(Error::ReservationNotFound(_)) => {}
                other => return other,
            }
        }
        Err(Error::ReservationNotFound(id))
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
        let ended = match self.end(&intent, now_ms).await {
            Err(Error::ProductNotFound(_)) => false,
            other => other?,
        };
        self.due.done(Matter::Hold, &entry).await?;
        Ok(ended)
    }

    async fn end(&self, intent: &Intent, now_ms: i64) -> Result<bool, Error> {
        let Some((deciding, parts)) = intent.lines.split_last() else { return Ok(false) };
        let reply = self.ask_step(intent, deciding, Wish::Expire, None, now_ms).await?;
        let Reply::Stepped { reservation, round, is_new } = reply else { return Ok(false) };
        match reservation.map(|reservation| reservation.state) {
            _ if parts.is_empty() => {}
            Some(state @ (State::Committed | State::Released | State::Undone)) => {
                self.follow(intent, parts, state, now_ms).await?;
            }
            // Its time was moved; it will be looked at again.
            Some(State::Held) => {}
            Some(State::Expired) if is_new => {
                let part = Part::GiveBack { round: round - 1 };
                self.all_parts(intent, parts, part, now_ms).await?;
            }
            // What is held for an attempt that nobody has completed by now.
            None | Some(State::Expired) => {
                if self.any_held(intent, parts, now_ms).await? {
                    self.give_up(intent, (deciding, parts), round, now_ms).await?;
                }
            }
        }
        Ok(is_new)
    }

    /// Takes one step, on all products.
    async fn step(&self, intent: &Intent, wish: Wish, now_ms: i64) -> Result<Reservation, Error> {
        let Some((deciding, parts)) = intent.lines.split_last() else {
            return Err(Error::Damaged(format!("reservation {} without lines", intent.id)));
        };
        let mut elsewhere = Elsewhere::default();
        for _ in 0..MAX_ROUNDS {
            let held = elsewhere.round;
            let asked = (!parts.is_empty()).then_some(elsewhere);
            elsewhere = Elsewhere::default();
            match self.ask_step(intent, deciding, wish.clone(), asked, now_ms).await {
                Ok(Reply::Stepped { reservation: Some(reservation), .. }) => {
                    let may_be_left = held.is_none() && is_swept_later(&reservation, now_ms);
                    self.follow_on(intent, parts, reservation.state, may_be_left, now_ms).await?;
                    return Ok(reservation);
                }
                Ok(Reply::Needs { round }) => {
                    if let Some(inventories) =
                        self.hold_parts(intent, &wish, (deciding, parts), round, now_ms).await?
                    {
                        elsewhere = Elsewhere { round: Some(round), inventories };
                    }
                }
                Ok(_) => break,
                Err(error) => {
                    if let Some(round) = held
                        && is_refusal(&error)
                    {
                        self.give_up(intent, (deciding, parts), round, now_ms).await?;
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::Contended(deciding.product_id))
    }

    /// Takes the parts for an attempt. `None`: the reservation was moved meanwhile, ask again.
    async fn hold_parts(
        &self,
        intent: &Intent,
        wish: &Wish,
        (deciding, parts): (&Line, &[Line]),
        round: i32,
        now_ms: i64,
    ) -> Result<Option<Vec<Inventory>>, Error> {
        let mut inventories = Vec::with_capacity(parts.len());
        for (at, line) in parts.iter().enumerate() {
            match self.ask_part(intent, line, Part::Hold { round }, now_ms).await {
                Ok(Reply::Part { inventory, .. }) => inventories.push(inventory),
                Ok(_) => return Ok(None),
                Err(error) => {
                    if at > 0 && is_refusal(&error) {
                        self.give_up(intent, (deciding, parts), round, now_ms).await?;
                    }
                    return Err(wish.refusal(intent.id, error));
                }
            }
        }
        Ok(Some(inventories))
    }

    /// Ends the attempt of a round where it is decided, and gives back what its parts hold.
    async fn give_up(
        &self,
        intent: &Intent,
        (deciding, parts): (&Line, &[Line]),
        round: i32,
        now_ms: i64,
    ) -> Result<(), Error> {
        let wish = Wish::GiveUp { round };
        match self.ask_step(intent, deciding, wish, None, now_ms).await {
            Ok(Reply::GivenUp) => {}
            // Another call has completed it.
            Ok(_) => return Ok(()),
            // There is no such product, so nobody can complete it.
            Err(Error::ProductNotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.all_parts(intent, parts, Part::GiveBack { round }, now_ms).await
    }

    /// Has the parts follow what was decided; those of a sale in about a second, if they may be left.
    async fn follow_on(
        &self,
        intent: &Intent,
        parts: &[Line],
        state: State,
        may_be_left: bool,
        now_ms: i64,
    ) -> Result<(), Error> {
        if state != State::Committed || !may_be_left {
            return self.follow(intent, parts, state, now_ms).await;
        }
        let is_left = |line: &Line| {
            self.groups.leave(line.product_id, part_of(intent, line, Part::Sell), now_ms)
        };
        let too_many: Vec<Line> = parts.iter().filter(|line| !is_left(line)).copied().collect();
        self.follow(intent, &too_many, state, now_ms).await
    }

    /// Has the parts follow what was decided.
    async fn follow(
        &self,
        intent: &Intent,
        parts: &[Line],
        state: State,
        now_ms: i64,
    ) -> Result<(), Error> {
        let part = match state {
            State::Committed => Part::Sell,
            State::Released | State::Undone => Part::Release,
            State::Held | State::Expired => return Ok(()),
        };
        self.all_parts(intent, parts, part, now_ms).await
    }

    async fn all_parts(
        &self,
        intent: &Intent,
        parts: &[Line],
        part: Part,
        now_ms: i64,
    ) -> Result<(), Error> {
        let asked = parts.iter().map(async |line| {
            match self.ask_part(intent, line, part, now_ms).await {
                // Nothing can be held of a product that is not there.
                Ok(_) | Err(Error::ProductNotFound(_)) => Ok(()),
                Err(error) => Err(error),
            }
        });
        try_join_all(asked).await.map(drop)
    }

    async fn any_held(&self, intent: &Intent, parts: &[Line], now_ms: i64) -> Result<bool, Error> {
        for line in parts {
            let looked = self.ask_part(intent, line, Part::Look, now_ms).await;
            match looked {
                Ok(Reply::Part { holds: true, .. }) => return Ok(true),
                Ok(_) | Err(Error::ProductNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn ask_step(
        &self,
        intent: &Intent,
        deciding: &Line,
        wish: Wish,
        elsewhere: Option<Elsewhere>,
        now_ms: i64,
    ) -> Result<Reply, Error> {
        let operation = Operation::Step { id: intent.id, wish, elsewhere };
        self.groups.ask(deciding.product_id, operation, now_ms).await
    }

    async fn ask_part(
        &self,
        intent: &Intent,
        line: &Line,
        part: Part,
        now_ms: i64,
    ) -> Result<Reply, Error> {
        self.groups.ask(line.product_id, part_of(intent, line, part), now_ms).await
    }
}

fn part_of(intent: &Intent, line: &Line, part: Part) -> Operation {
    let Intent { id, order_id, .. } = *intent;
    Operation::Part { id, order_id, quantity: line.quantity, part }
}

/// Whether the sweeper will come by, should this process die before the parts of a sale have followed.
///
/// An entry for `until_ms` was made before the reservation was held till then. Whoever looks at it does so when that time
/// is over: a hold ends then, and of what is sold the parts follow before the entry is deleted. So it is there as long as
/// what it stands for was never over; what was sold after its time, or just before its end, cannot rely on it.
fn is_swept_later(reservation: &Reservation, now_ms: i64) -> bool {
    reservation.until_ms.saturating_sub(now_ms) >= SWEPT_LATER_MS
}

/// Whether it is known that nothing was done, and why.
fn is_refusal(error: &Error) -> bool {
    !matches!(error, Error::Cql(_) | Error::Contended(_))
}
