//! What a group of operations makes of one product: each is decided by the domain's rules on the outcome of those
//! before it, and all that changes is one conditional write. Pure: no I/O.

use std::collections::{BTreeSet, HashMap};

use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::operation::{Elsewhere, Operation, Part, Reply, Update, Wish};
use super::partition::{Answered, Changes, Facts, Head, Kept, Loaded};
use crate::domain::{Inventory, Listed, Product, Refusal, Reservation, State, Stock, StockEffect};
use crate::error::Error;
use crate::events;
use crate::store::answers::Answer;
use crate::store::{RequestKey, refusals};

/// When and for which trace an operation was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Unix milliseconds.
    pub(super) now_ms: i64,
    /// W3C trace context; may be empty.
    pub(super) trace_parent: String,
}

/// A product's partition while a group is decided.
pub(super) struct Draft {
    product_id: Uuid,
    loaded: Loaded,
    facts: Option<Facts>,
    changes: Changes,
    told: Vec<Told>,
}

/// An event of the group.
enum Told {
    /// As it leaves.
    Event(Box<Event>),
    /// That the product changed, ran out or came back.
    Product { product: Option<Box<Product>>, available: i64, event_version: i64, asked: Asked },
}

impl Draft {
    /// Of what was read; with `facts` where the group changes the product itself.
    pub(super) fn new(product_id: Uuid, loaded: Loaded, facts: Option<Facts>) -> Draft {
        let based_on = loaded.head.map(|head| head.revision);
        let changes = Changes { based_on, ..Changes::default() };
        Draft { product_id, loaded, facts, changes, told: Vec::new() }
    }

    /// Decides one operation. An error leaves the draft as it was.
    pub(super) fn decide(&mut self, operation: &Operation, asked: &Asked) -> Result<Reply, Error> {
        let head = self.head()?;
        match operation {
            Operation::Step { id, wish: Wish::GiveUp { round }, .. } => {
                Ok(self.give_up(head, *id, *round))
            }
            Operation::Step { id, wish, elsewhere, .. } => {
                self.step(head, *id, wish, elsewhere.as_ref(), asked)
            }
            Operation::Part { id, order_id, quantity, part, .. } => {
                self.part(head, *id, (*order_id, *quantity), *part, asked)
            }
            Operation::Adjust { delta, request } => self.adjust(head, *delta, request, asked),
            Operation::Update(update) => self.update(head, update, asked),
        }
    }

    /// Whether there is anything to write.
    pub(super) fn is_changed(&self) -> bool {
        self.changes.head.is_some()
    }

    /// Whether [`Draft::into_changes`] needs the product.
    pub(super) fn needs_facts(&self) -> bool {
        let lacks = |told: &Told| matches!(told, Told::Product { product: None, .. });
        self.told.iter().any(lacks)
    }

    /// The categories whose names its events need.
    pub(super) fn categories_told(&self, read: Option<&Facts>) -> BTreeSet<Uuid> {
        let category = |told: &Told| match told {
            Told::Product { product, .. } => {
                product.as_deref().or(read.map(|facts| &facts.product)).map(|p| p.category_id)
            }
            Told::Event(_) => None,
        };
        self.told.iter().filter_map(category).collect()
    }

    /// The revision that was read.
    pub(super) fn based_on(&self) -> Option<i64> {
        self.changes.based_on
    }

    /// What to write. `read` is the product, where [`Draft::needs_facts`]; `names` those of
    /// [`Draft::categories_told`].
    pub(super) fn into_changes(
        mut self,
        read: Option<&Facts>,
        names: &HashMap<Uuid, String>,
    ) -> Changes {
        for told in self.told {
            let event = match told {
                Told::Event(event) => *event,
                Told::Product { product, available, event_version, asked } => {
                    let known = product.map(|product| *product);
                    let Some(product) = known.or_else(|| read.map(|facts| facts.product.clone()))
                    else {
                        continue;
                    };
                    let listed = Listed { product, available };
                    let name = names.get(&listed.product.category_id);
                    let name = name.map_or("", String::as_str);
                    let event = events::product_updated(&listed, name, event_version, asked.now_ms);
                    Event { trace_parent: asked.trace_parent, ..event }
                }
            };
            self.changes.events.push(event);
        }
        self.changes
    }

    fn head(&self) -> Result<Head, Error> {
        let head = self.changes.head.or(self.loaded.head);
        head.ok_or_else(|| Error::ProductNotFound(vec![self.product_id]))
    }

    fn kept(&self, id: Uuid) -> Option<&Kept> {
        self.changes.reservations.get(&id).or_else(|| self.loaded.reservations.get(&id))
    }

    fn step(
        &mut self,
        head: Head,
        id: Uuid,
        wish: &Wish,
        elsewhere: Option<&Elsewhere>,
        asked: &Asked,
    ) -> Result<Reply, Error> {
        let kept = self.kept(id).cloned();
        let round = kept.as_ref().map_or(0, |kept| kept.round);
        let known = kept.and_then(|kept| kept.reservation(id));
        let change = match wish.on(id, known.clone(), asked.now_ms)? {
            Some(change) if change.is_new => change,
            other => {
                let reservation = other.map(|change| change.reservation).or(known);
                return Ok(Reply::Stepped { reservation, round, is_new: false });
            }
        };
        let needs_pieces = matches!(change.effect, StockEffect::Hold | StockEffect::HoldAndTake);
        if elsewhere.is_some_and(|elsewhere| needs_pieces && elsewhere.round != Some(round)) {
            return Ok(Reply::Needs { round });
        }
        let reservation = change.reservation;
        let quantity = quantity_in(&reservation, self.product_id);
        let stock = change.effect.apply(head.inventory.stock, quantity).map_err(|refusal| {
            wish.refusal(id, refusals::of_stock(refusal, self.product_id, quantity))
        })?;
        let inventory = match change.effect {
            StockEffect::None => self.touch(head).inventory,
            _ => self.set_stock(head, stock, asked),
        };
        let others = elsewhere.map_or(&[][..], |elsewhere| &elsewhere.inventories);
        self.tell_step(&reservation, change.effect, (inventory, others), wish.reason(), asked);
        // Whoever still tries to hold the parts of a hold that has ended comes too late.
        let round = if matches!(wish, Wish::Expire) { round + 1 } else { round };
        self.keep(id, kept_of(&reservation, round));
        Ok(Reply::Stepped { reservation: Some(reservation), round, is_new: true })
    }

    fn tell_step(
        &mut self,
        reservation: &Reservation,
        effect: StockEffect,
        (own, others): (Inventory, &[Inventory]),
        reason: &str,
        asked: &Asked,
    ) {
        let mut inventories = [others, &[own]].concat();
        inventories.sort_by_key(|inventory| inventory.product_id);
        let event =
            events::inventory_changed(reservation, effect, &inventories, reason, asked.now_ms);
        if let Some(event) = event {
            let trace_parent = asked.trace_parent.clone();
            self.told.push(Told::Event(Box::new(Event { trace_parent, ..event })));
        }
    }

    /// Ends an attempt, so that nobody can complete it any more; what its parts hold may go then.
    fn give_up(&mut self, head: Head, id: Uuid, round: i32) -> Reply {
        let kept = self.kept(id).cloned();
        if let Some(kept) = &kept {
            match kept.state {
                _ if kept.round > round => return Reply::GivenUp,
                None | Some(State::Expired) => {}
                Some(_) => return Reply::Stale,
            }
        }
        let unknown = Kept {
            order_id: Uuid::nil(),
            lines: Vec::new(),
            state: None,
            until_ms: 0,
            round,
            version: 0,
        };
        let kept = kept.unwrap_or(unknown);
        self.touch(head);
        self.keep(id, Kept { round: round + 1, ..kept });
        Reply::GivenUp
    }

    fn part(
        &mut self,
        head: Head,
        id: Uuid,
        (order_id, quantity): (Uuid, u32),
        part: Part,
        asked: &Asked,
    ) -> Result<Reply, Error> {
        let kept = self.kept(id).cloned();
        let state = kept.as_ref().and_then(|kept| kept.state);
        let round = kept.as_ref().map_or(0, |kept| kept.round);
        let (state, effect, round) = match next_part(state, round, part) {
            Next::Stays => {
                let holds = state == Some(State::Held);
                return Ok(Reply::Part { inventory: head.inventory, holds });
            }
            Next::Stale => return Ok(Reply::Stale),
            Next::Moves { state, effect, round } => (state, effect, round),
        };
        let stock = effect.apply(head.inventory.stock, quantity);
        let stock =
            stock.map_err(|refusal| refusals::of_stock(refusal, self.product_id, quantity))?;
        let inventory = match effect {
            StockEffect::None => self.touch(head).inventory,
            _ => self.set_stock(head, stock, asked),
        };
        let version = kept.map_or(1, |kept| kept.version + 1);
        let line = crate::domain::Line { product_id: self.product_id, quantity };
        let kept =
            Kept { order_id, lines: vec![line], state: Some(state), until_ms: 0, round, version };
        self.keep(id, kept);
        Ok(Reply::Part { inventory, holds: state == State::Held })
    }

    fn adjust(
        &mut self,
        head: Head,
        delta: i64,
        request: &RequestKey,
        asked: &Asked,
    ) -> Result<Reply, Error> {
        let digest = request.digest();
        if let Some(answer) = self.answered(digest, &request.fingerprint)? {
            return Ok(Reply::Inventory(answer));
        }
        let refused = |refusal: Refusal| refusals::of_stock(refusal, self.product_id, 0);
        let stock = head.inventory.stock.adjust(delta).map_err(refused)?;
        let inventory = self.set_stock(head, stock, asked);
        self.answer(digest, &request.fingerprint, &inventory);
        Ok(Reply::Inventory(inventory))
    }

    fn update(&mut self, head: Head, update: &Update, asked: &Asked) -> Result<Reply, Error> {
        if let Some(answer) = self.answered(update.digest, &update.fingerprint)? {
            return Ok(Reply::Product(answer));
        }
        let lacking = || Error::Damaged(format!("product {}: no facts", self.product_id));
        let facts = self.facts.clone().ok_or_else(lacking)?;
        let current = facts.product.etag();
        if update.etag.as_ref().is_some_and(|etag| *etag != current) {
            return Err(Error::EtagMismatch { current });
        }
        let available = head.inventory.stock.available();
        let product = facts.product.patched(update.patch.clone(), asked.now_ms);
        let listed = Listed { product: product.clone(), available };
        if product.version != facts.product.version {
            let place = |product: &Product| (product.name.clone(), product.category_id);
            let moves = place(&product) != place(&facts.product);
            let listing = if moves { update.listing } else { facts.listing };
            self.facts = Some(Facts { product: product.clone(), listing, ..facts });
            self.changes.facts = Some((product, listing));
            let head = self.touch(head);
            self.announce(head, asked);
        } else {
            self.touch(head);
        }
        self.answer(update.digest, &update.fingerprint, &listed);
        if !update.is_kept {
            self.changes.passing.insert(update.digest);
        }
        Ok(Reply::Product(listed))
    }

    fn answered<T: Answer>(
        &self,
        digest: [u8; 32],
        fingerprint: &[u8; 32],
    ) -> Result<Option<T>, Error> {
        let answers = (self.changes.answers.get(&digest), self.loaded.answers.get(&digest));
        let Some(known) = answers.0.or(answers.1) else { return Ok(None) };
        if known.fingerprint != fingerprint {
            return Err(Error::RequestIdReused);
        }
        let damaged = || Error::Damaged(format!("an answer of product {}", self.product_id));
        T::from_bytes(&known.answer).map(Some).ok_or_else(damaged)
    }

    fn answer(&mut self, digest: [u8; 32], fingerprint: &[u8; 32], answer: &impl Answer) {
        let answered = Answered::new(fingerprint, answer.to_bytes());
        self.changes.answers.insert(digest, answered);
    }

    fn keep(&mut self, id: Uuid, kept: Kept) {
        self.changes.reservations.insert(id, kept);
    }

    /// Marks the partition as changed: the next revision, once for the whole group.
    fn touch(&mut self, head: Head) -> Head {
        let revision = self.changes.based_on.unwrap_or(0) + 1;
        *self.changes.head.insert(Head { revision, ..head })
    }

    fn set_stock(&mut self, head: Head, stock: Stock, asked: &Asked) -> Inventory {
        let before = head.inventory;
        let inventory =
            Inventory { stock, version: before.version + 1, updated_at_ms: asked.now_ms, ..before };
        let head = self.touch(Head { inventory, ..head });
        if (before.stock.available() > 0) != (stock.available() > 0) {
            self.announce(head, asked);
        }
        inventory
    }

    fn announce(&mut self, head: Head, asked: &Asked) {
        let event_version = head.event_version + 1;
        self.touch(Head { event_version, ..head });
        let product = self.facts.as_ref().map(|facts| Box::new(facts.product.clone()));
        let available = head.inventory.stock.available();
        let asked = asked.clone();
        self.told.push(Told::Product { product, available, event_version, asked });
    }
}

/// What is written when a product is made.
pub(super) fn made(
    product: &Product,
    on_hand: Stock,
    listing: Uuid,
    asked: &Asked,
    category_name: &str,
) -> Changes {
    let available = on_hand.available();
    let inventory = Inventory {
        product_id: product.id,
        stock: on_hand,
        version: 1,
        updated_at_ms: asked.now_ms,
    };
    let listed = Listed { product: product.clone(), available };
    let event = events::product_updated(&listed, category_name, 1, asked.now_ms);
    let event = Event { trace_parent: asked.trace_parent.clone(), ..event };
    Changes {
        head: Some(Head { revision: 1, inventory, event_version: 1 }),
        facts: Some((product.clone(), listing)),
        events: vec![event],
        ..Changes::default()
    }
}

/// What becomes of a part.
enum Next {
    /// It is as it should be.
    Stays,
    /// The deciding product knows more.
    Stale,
    /// It changes.
    Moves { state: State, effect: StockEffect, round: i32 },
}

/// The life of a part: it follows the product that decides, whose rounds tell late attempts from present ones.
fn next_part(state: Option<State>, round: i32, part: Part) -> Next {
    use State::{Committed, Expired, Held, Released, Undone};
    let to = |state, effect, round| Next::Moves { state, effect, round };
    match (part, state) {
        (Part::Look, _) => Next::Stays,
        (Part::Hold { round: asked }, _) if asked < round => Next::Stale,
        (Part::Hold { round }, None | Some(Expired)) => to(Held, StockEffect::Hold, round),
        (Part::Hold { round: asked }, Some(Held)) if asked == round => Next::Stays,
        (Part::Hold { round }, Some(Held)) => to(Held, StockEffect::None, round),
        (Part::Hold { .. }, Some(Committed | Released | Undone)) => Next::Stale,

        (Part::Sell, Some(Held)) => to(Committed, StockEffect::Take, round),
        (Part::Sell, _) => Next::Stays,

        (Part::Release, Some(Held)) => to(Released, StockEffect::Free, round),
        (Part::Release, Some(Committed)) => to(Released, StockEffect::PutBack, round),
        (Part::Release, Some(Released | Undone)) => Next::Stays,
        (Part::Release, None | Some(Expired)) => to(Released, StockEffect::None, round),

        (Part::GiveBack { round: last }, Some(Held)) if round <= last => {
            to(Expired, StockEffect::Free, round)
        }
        (Part::GiveBack { .. }, _) => Next::Stays,
    }
}

fn kept_of(reservation: &Reservation, round: i32) -> Kept {
    Kept {
        order_id: reservation.order_id,
        lines: reservation.lines.clone(),
        state: Some(reservation.state),
        until_ms: reservation.until_ms,
        round,
        version: reservation.version,
    }
}

fn quantity_in(reservation: &Reservation, product_id: Uuid) -> u32 {
    let line = reservation.lines.iter().find(|line| line.product_id == product_id);
    line.map_or(0, |line| line.quantity)
}
