//! What may be asked of one product's partition, and what comes back.

use uuid::Uuid;

use super::memory::Moment;
use super::partition::Entry;
use crate::domain::{Change, Hold, Inventory, Listed, ProductPatch, Release, Reservation, State};
use crate::error::Error;
use crate::store::{RequestKey, refusals};

/// One operation on one product.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// A step of a reservation, on the product that decides for all of it.
    Step {
        /// The reservation.
        id: Uuid,
        /// The step.
        wish: Wish,
        /// `None` where this is the only product.
        elsewhere: Option<Elsewhere>,
        /// Nobody had heard of the reservation after this moment.
        unheard: Option<Moment>,
    },
    /// What another product of a reservation has to do; the deciding one is asked before or after.
    Part {
        /// The reservation.
        id: Uuid,
        /// The order.
        order_id: Uuid,
        /// Pieces of this product.
        quantity: u32,
        /// What to do.
        part: Part,
        /// As of a step.
        unheard: Option<Moment>,
    },
    /// A correction of the stock.
    Adjust {
        /// Pieces more, or fewer.
        delta: i64,
        /// The request that asks for it.
        request: RequestKey,
    },
    /// A change of the product.
    Update(Box<Update>),
}

/// A change of a product.
#[derive(Debug, Clone)]
pub(super) struct Update {
    /// What to change.
    pub(super) patch: ProductPatch,
    /// The version that it is based on, if that matters.
    pub(super) etag: Option<String>,
    /// Names the request, so that one write is not made twice.
    pub(super) digest: [u8; 32],
    /// Of its parameters.
    pub(super) fingerprint: [u8; 32],
    /// Whether its answer is kept for good: the caller may ask again.
    pub(super) is_kept: bool,
    /// Entries of the lists that were made in case that its place in them changes.
    pub(super) listing: Uuid,
}

/// How the other products of a reservation stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Elsewhere {
    /// The round in which they hold their pieces, if they do.
    pub(super) round: Option<i32>,
    /// Their stock with it.
    pub(super) inventories: Vec<Inventory>,
}

/// A step of a reservation.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// Hold it.
    Reserve(Hold),
    /// Hold it for longer.
    Extend {
        /// From now on, in milliseconds.
        hold_ms: i64,
    },
    /// Sell it.
    Commit {
        /// Not later than this.
        not_after_ms: Option<i64>,
    },
    /// Undo it.
    Release(Release),
    /// End it, if its time is over.
    Expire,
    /// End the attempt of this round to hold all lines.
    GiveUp {
        /// The round.
        round: i32,
    },
}

/// What another product of a reservation has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Hold its pieces for the attempt of this round.
    Hold {
        /// The round.
        round: i32,
    },
    /// Sell what it holds.
    Sell,
    /// Give back what it holds or has sold, for good.
    Release,
    /// Give back what it holds for attempts up to this round.
    GiveBack {
        /// The round.
        round: i32,
    },
    /// Nothing: tell whether pieces are held.
    Look,
}

/// What an operation came to.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// The reservation after the step, the round it is in, and whether the step was new.
    Stepped {
        /// The reservation; `None` if there is none that could expire.
        reservation: Option<Reservation>,
        /// Its round.
        round: i32,
        /// Whether anything changed.
        is_new: bool,
    },
    /// The other products must hold their pieces for this round first.
    Needs {
        /// The round.
        round: i32,
    },
    /// A part is done; the product's stock with it, and whether it holds pieces.
    Part {
        /// The stock.
        inventory: Inventory,
        /// Whether pieces are held here.
        holds: bool,
    },
    /// The deciding product has moved on: ask it again.
    Stale,
    /// The attempt is over.
    GivenUp,
    /// The stock after a correction.
    Inventory(Inventory),
    /// The product after a change.
    Product(Listed),
}

impl Operation {
    /// The row that it is about.
    pub(super) fn entry(&self) -> Entry {
        match self {
            Operation::Step { id, .. } | Operation::Part { id, .. } => Entry::Reservation(*id),
            Operation::Adjust { request, .. } => Entry::Answer(request.digest()),
            Operation::Update(update) => Entry::Answer(update.digest),
        }
    }

    /// The moment after which nobody had heard of the row that it is about, if that is known.
    pub(super) fn unheard(&self) -> Option<Moment> {
        match self {
            Operation::Step { unheard, .. } | Operation::Part { unheard, .. } => *unheard,
            Operation::Adjust { .. } | Operation::Update(_) => None,
        }
    }
}

impl Wish {
    /// What this makes of the reservation that is `known` under `id`. `None`: nothing to do.
    pub(super) fn on(
        &self,
        id: Uuid,
        known: Option<Reservation>,
        now_ms: i64,
    ) -> Result<Option<Change>, Error> {
        let known_or_error =
            |known: Option<Reservation>| known.ok_or(Error::ReservationNotFound(id));
        let change = match self {
            Wish::Reserve(hold) => hold.clone().on(known, now_ms),
            Wish::Extend { hold_ms } => known_or_error(known)?.extend(*hold_ms, now_ms),
            Wish::Commit { not_after_ms } => known_or_error(known)?.commit(*not_after_ms, now_ms),
            Wish::Release(release) => release.on(known, now_ms),
            Wish::Expire => match known {
                Some(known) if known.state == State::Held && known.until_ms <= now_ms => {
                    known.expire()
                }
                Some(_) | None => return Ok(None),
            },
            Wish::GiveUp { .. } => return Ok(None),
        };
        change.map(Some).map_err(|illegal| refusals::of_step(illegal, id))
    }

    /// What its caller is told when the pieces cannot be had.
    pub(super) fn refusal(&self, id: Uuid, error: Error) -> Error {
        match self {
            Wish::Extend { .. } | Wish::Commit { .. } => refusals::not_had_again(error, id),
            _ => error,
        }
    }

    /// The reason in its event.
    pub(super) fn reason(&self) -> &str {
        match self {
            Wish::Release(release) => &release.reason,
            Wish::Expire => super::EXPIRED,
            _ => "",
        }
    }
}
