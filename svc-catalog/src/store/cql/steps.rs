//! Steps of reservations over the partitions of their products, without transactions over partitions.
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

use super::group::Groups;
use super::intents::Intent;
use super::memory::Moment;
use super::operation::{Elsewhere, Operation, Part, Reply, Wish};
use crate::domain::{Line, Reservation, State};
use crate::error::Error;

/// How often a step begins anew because other calls moved the reservation meanwhile.
const MAX_ROUNDS: usize = 16;
/// The round of a reservation that no product knows.
const FIRST_ROUND: i32 = 0;
/// A part of a sale is left to follow by itself only if the sweeper is to look at its reservation no sooner than this,
/// so that it is certain to come by after a process has died: far more than what the clocks of processes differ by.
const SWEPT_LATER_MS: i64 = 30_000;

/// Takes steps.
pub(super) struct Steps {
    pub(super) groups: Groups,
}

/// For what a step is taken.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The reservation.
    pub(super) intent: &'a Intent,
    /// After this moment it was found that nothing had been asked under its id.
    pub(super) unheard: Option<Moment>,
    /// Unix milliseconds.
    pub(super) now_ms: i64,
}

impl Steps {
    /// Ends a hold whose time is over; says whether it has ended now. Parts that a crash left behind follow.
    pub(super) async fn end(&self, call: Call<'_>) -> Result<bool, Error> {
        let Some((deciding, parts)) = call.intent.lines.split_last() else { return Ok(false) };
        let reply = self.ask_step(call, deciding, Wish::Expire, None).await?;
        let Reply::Stepped { reservation, round, is_new } = reply else { return Ok(false) };
        match reservation.map(|reservation| reservation.state) {
            _ if parts.is_empty() => {}
            Some(state @ (State::Committed | State::Released | State::Undone)) => {
                self.follow(call, parts, state).await?;
            }
            // Its time was moved; it will be looked at again.
            Some(State::Held) => {}
            Some(State::Expired) if is_new => {
                let part = Part::GiveBack { round: round - 1 };
                self.all_parts(call, parts, part).await?;
            }
            // What is held for an attempt that nobody has completed by now.
            None | Some(State::Expired) => {
                if self.any_held(call, parts).await? {
                    self.give_up(call, (deciding, parts), round).await?;
                }
            }
        }
        Ok(is_new)
    }

    /// Takes one step, on all products.
    pub(super) async fn take(&self, call: Call<'_>, wish: Wish) -> Result<Reservation, Error> {
        let Some((deciding, parts)) = call.intent.lines.split_last() else {
            return Err(Error::Damaged(format!("reservation {} without lines", call.intent.id)));
        };
        let mut elsewhere = Elsewhere::default();
        if call.unheard.is_some() && !parts.is_empty() {
            // The deciding product would ask for the parts of the first round: it need not be asked for that.
            elsewhere = self.hold_parts(call, &wish, (deciding, parts), FIRST_ROUND).await?;
        }
        for _ in 0..MAX_ROUNDS {
            let held = elsewhere.round;
            let asked = (!parts.is_empty()).then_some(elsewhere);
            match self.ask_step(call, deciding, wish.clone(), asked).await {
                Ok(Reply::Stepped { reservation: Some(reservation), .. }) => {
                    let may_be_left = held.is_none() && is_swept_later(&reservation, call.now_ms);
                    self.follow_on(call, parts, reservation.state, may_be_left).await?;
                    return Ok(reservation);
                }
                Ok(Reply::Needs { round }) => {
                    elsewhere = self.hold_parts(call, &wish, (deciding, parts), round).await?;
                }
                Ok(_) => break,
                Err(error) => {
                    if let Some(round) = held
                        && is_refusal(&error)
                    {
                        self.give_up(call, (deciding, parts), round).await?;
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::Contended(deciding.product_id))
    }

    /// Takes the parts for an attempt. No round in the answer: the reservation was moved meanwhile, ask again.
    async fn hold_parts(
        &self,
        call: Call<'_>,
        wish: &Wish,
        (deciding, parts): (&Line, &[Line]),
        round: i32,
    ) -> Result<Elsewhere, Error> {
        let mut inventories = Vec::with_capacity(parts.len());
        for (at, line) in parts.iter().enumerate() {
            match self.ask_part(call, line, Part::Hold { round }).await {
                Ok(Reply::Part { inventory, .. }) => inventories.push(inventory),
                Ok(_) => return Ok(Elsewhere::default()),
                Err(error) => {
                    if at > 0 && is_refusal(&error) {
                        self.give_up(call, (deciding, parts), round).await?;
                    }
                    return Err(wish.refusal(call.intent.id, error));
                }
            }
        }
        Ok(Elsewhere { round: Some(round), inventories })
    }

    /// Ends the attempt of a round where it is decided, and gives back what its parts hold.
    async fn give_up(
        &self,
        call: Call<'_>,
        (deciding, parts): (&Line, &[Line]),
        round: i32,
    ) -> Result<(), Error> {
        let wish = Wish::GiveUp { round };
        match self.ask_step(call, deciding, wish, None).await {
            Ok(Reply::GivenUp) => {}
            // Another call has completed it.
            Ok(_) => return Ok(()),
            // There is no such product, so nobody can complete it.
            Err(Error::ProductNotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.all_parts(call, parts, Part::GiveBack { round }).await
    }

    /// Has the parts follow what was decided; those of a sale in about a second, if they may be left.
    async fn follow_on(
        &self,
        call: Call<'_>,
        parts: &[Line],
        state: State,
        may_be_left: bool,
    ) -> Result<(), Error> {
        if state != State::Committed || !may_be_left {
            return self.follow(call, parts, state).await;
        }
        let is_left = |line: &Line| {
            self.groups.leave(line.product_id, part_of(call, line, Part::Sell), call.now_ms)
        };
        let too_many: Vec<Line> = parts.iter().filter(|line| !is_left(line)).copied().collect();
        self.follow(call, &too_many, state).await
    }

    /// Has the parts follow what was decided.
    async fn follow(&self, call: Call<'_>, parts: &[Line], state: State) -> Result<(), Error> {
        let part = match state {
            State::Committed => Part::Sell,
            State::Released | State::Undone => Part::Release,
            State::Held | State::Expired => return Ok(()),
        };
        self.all_parts(call, parts, part).await
    }

    async fn all_parts(&self, call: Call<'_>, parts: &[Line], part: Part) -> Result<(), Error> {
        let asked = parts.iter().map(async |line| {
            match self.ask_part(call, line, part).await {
                // Nothing can be held of a product that is not there.
                Ok(_) | Err(Error::ProductNotFound(_)) => Ok(()),
                Err(error) => Err(error),
            }
        });
        try_join_all(asked).await.map(drop)
    }

    async fn any_held(&self, call: Call<'_>, parts: &[Line]) -> Result<bool, Error> {
        for line in parts {
            let looked = self.ask_part(call, line, Part::Look).await;
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
        call: Call<'_>,
        deciding: &Line,
        wish: Wish,
        elsewhere: Option<Elsewhere>,
    ) -> Result<Reply, Error> {
        let Call { intent, unheard, now_ms } = call;
        let operation = Operation::Step { id: intent.id, wish, elsewhere, unheard };
        self.groups.ask(deciding.product_id, operation, now_ms).await
    }

    async fn ask_part(&self, call: Call<'_>, line: &Line, part: Part) -> Result<Reply, Error> {
        self.groups.ask(line.product_id, part_of(call, line, part), call.now_ms).await
    }
}

fn part_of(call: Call<'_>, line: &Line, part: Part) -> Operation {
    let Intent { id, order_id, .. } = *call.intent;
    Operation::Part { id, order_id, quantity: line.quantity, part, unheard: call.unheard }
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
