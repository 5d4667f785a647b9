//! What this process remembers of products, so that it need not read what it has written itself.
//!
//! Of a product its stock is remembered as of a revision, and rows of reservations as they are at that revision: those
//! that were read or written here. All that is decided on it is written `IF revision` is still that one, so where the
//! write is applied, everything that was remembered was true at that moment, and so are all answers given with it. Where
//! another process has changed the product, the write is not applied, and nothing was done. What ends *without* a write
//! must not be decided on this: nobody would have checked it.
//!
//! **A row that is not remembered is not absent.** It is only if nobody can have written it:
//!
//! 1. A row of a reservation is written after somebody's wish to hold it has been acknowledged by a quorum: whoever holds,
//!    extends, sells, undoes or gives up goes to the products of wishes that he wrote or read, and the sweeper goes on only
//!    where there is a row. Wishes are never deleted. So whoever begins at a moment *m* to read what was asked under an id
//!    and finds nothing knows that no row of that id was being written at *m* or before.
//! 2. A product is remembered `whole_since` a moment: all revisions up to the remembered one were being written before
//!    that moment, or their rows are remembered.
//!
//! If *m* comes after `whole_since`, a row of that id is in none of the former revisions, and would be known from the
//! latter ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::operation::Operation;
use super::partition::{Changes, Entry, Head, Kept, Loaded};

/// Products that are remembered; all are forgotten when there are more.
const MAX_PRODUCTS: usize = 4_096;
/// Rows of all products that are remembered; all rows are forgotten when there are more.
const MAX_ROWS: usize = 32_768;
/// For how long a product is not decided from memory after another process was seen to change it: each such change may
/// cost a write that is not applied.
const SHARED_FOR: Duration = Duration::from_secs(10);

/// When something happened in this process, in order with all else that is told in moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What a write leaves, if it is applied.
pub(super) struct Written {
    based_on: Option<i64>,
    head: Option<Head>,
    rows: BTreeMap<Uuid, Kept>,
}

impl Written {
    /// By a write of these changes.
    pub(super) fn of(changes: &Changes) -> Written {
        let Changes { based_on, head, reservations, .. } = changes;
        Written { based_on: *based_on, head: *head, rows: reservations.clone() }
    }
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    moments: AtomicU64,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    products: HashMap<Uuid, Product>,
    rows: usize,
}

struct Product {
    head: Option<Head>,
    rows: HashMap<Uuid, Kept>,
    whole_since: Moment,
    shared_until: Option<Instant>,
}

impl Memory {
    /// This moment; later than all before it.
    pub(super) fn now(&self) -> Moment {
        Moment(self.moments.fetch_add(1, Ordering::SeqCst))
    }

    /// The product, if all that these operations are about is known of it. Only for what is then written.
    pub(super) fn recall<'a>(
        &self,
        product_id: Uuid,
        operations: impl Iterator<Item = &'a Operation>,
        now: Instant,
    ) -> Option<Loaded> {
        let remembered = self.lock();
        let product = remembered.products.get(&product_id)?;
        if product.shared_until.is_some_and(|until| now < until) {
            return None;
        }
        let mut loaded = Loaded { head: Some(product.head?), ..Loaded::default() };
        for operation in operations {
            let Entry::Reservation(id) = operation.entry() else { return None };
            match product.rows.get(&id) {
                Some(kept) => drop(loaded.reservations.insert(id, kept.clone())),
                None if operation.unheard().is_some_and(|m| m > product.whole_since) => {}
                None => return None,
            }
        }
        Some(loaded)
    }

    /// Remembers what was just read.
    pub(super) fn read(&self, product_id: Uuid, loaded: &Loaded) {
        let Some(head) = loaded.head else { return };
        // After the read: all that it saw was being written before this.
        let now = self.now();
        let mut guard = self.lock();
        let remembered = &mut *guard;
        if remembered.products.len() >= MAX_PRODUCTS
            && !remembered.products.contains_key(&product_id)
        {
            *remembered = Remembered::default();
        }
        let nothing =
            || Product { head: None, rows: HashMap::new(), whole_since: now, shared_until: None };
        let product = remembered.products.entry(product_id).or_insert_with(nothing);
        if product.head.map(|known| known.revision) != Some(head.revision) {
            if product.head.is_some() {
                product.shared_until = Some(Instant::now() + SHARED_FOR);
            }
            remembered.rows -= product.rows.len();
            product.rows.clear();
            product.head = Some(head);
            product.whole_since = now;
        }
        let rows = loaded.reservations.iter().map(|(id, kept)| (*id, kept.clone()));
        remembered.add(product_id, rows, now);
    }

    /// Remembers a write that was applied.
    pub(super) fn wrote(&self, product_id: Uuid, written: Written) {
        let now = self.now();
        let Written { based_on, head, rows } = written;
        let mut remembered = self.lock();
        let Some(product) = remembered.products.get_mut(&product_id) else { return };
        if product.head.map(|known| known.revision) == based_on && head.is_some() {
            product.head = head;
            remembered.add(product_id, rows, now);
        }
    }

    /// Forgets a product: it is not certain how it stands. `is_shared` when another process has changed it.
    pub(super) fn forget(&self, product_id: Uuid, is_shared: bool) {
        let mut guard = self.lock();
        let remembered = &mut *guard;
        let Some(product) = remembered.products.get_mut(&product_id) else { return };
        remembered.rows -= product.rows.len();
        product.rows.clear();
        product.head = None;
        if is_shared {
            product.shared_until = Some(Instant::now() + SHARED_FOR);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn add(&mut self, product_id: Uuid, rows: impl IntoIterator<Item = (Uuid, Kept)>, now: Moment) {
        let Some(product) = self.products.get_mut(&product_id) else { return };
        self.rows -= product.rows.len();
        product.rows.extend(rows);
        self.rows += product.rows.len();
        if self.rows > MAX_ROWS {
            // What they were of was being written before now.
            for product in self.products.values_mut() {
                product.rows.clear();
                product.whole_since = now;
            }
            self.rows = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Part;
    use super::*;
    use crate::domain::{Inventory, State, Stock};

    const PRODUCT: Uuid = Uuid::from_u128(1);

    fn head(revision: i64) -> Head {
        let stock = Stock::new(9, 0).unwrap();
        let inventory = Inventory { product_id: PRODUCT, stock, version: 1, updated_at_ms: 0 };
        Head { revision, inventory, event_version: 1 }
    }

    fn row() -> Kept {
        let state = Some(State::Held);
        Kept { order_id: Uuid::nil(), lines: Vec::new(), state, until_ms: 0, round: 0, version: 1 }
    }

    fn rows(ids: std::ops::Range<u128>) -> BTreeMap<Uuid, Kept> {
        ids.map(|id| (Uuid::from_u128(id), row())).collect()
    }

    fn read(revision: i64, ids: std::ops::Range<u128>) -> Loaded {
        let reservations = rows(ids).into_iter().collect();
        Loaded { head: Some(head(revision)), reservations, ..Loaded::default() }
    }

    fn wrote(memory: &Memory, revision: i64, ids: std::ops::Range<u128>) {
        let head = Some(head(revision));
        memory.wrote(PRODUCT, Written { based_on: Some(revision - 1), head, rows: rows(ids) });
    }

    /// Whether an operation on this row can be decided.
    fn knows(memory: &Memory, id: u128, unheard: Option<Moment>) -> bool {
        knows_after(memory, id, unheard, Duration::ZERO)
    }

    /// The same, at a later time.
    fn knows_after(memory: &Memory, id: u128, unheard: Option<Moment>, after: Duration) -> bool {
        let (id, order_id) = (Uuid::from_u128(id), Uuid::nil());
        let part = Operation::Part { id, order_id, quantity: 1, part: Part::Sell, unheard };
        memory.recall(PRODUCT, std::iter::once(&part), Instant::now() + after).is_some()
    }

    #[test]
    fn a_row_is_absent_only_if_its_reservation_was_unheard_of_since_all_is_known() {
        let memory = Memory::default();
        let early = memory.now();
        memory.read(PRODUCT, &read(5, 10..11));
        let late = memory.now();
        assert!(knows(&memory, 10, None), "it was read");
        assert!(!knows(&memory, 11, None), "nobody knows");
        assert!(!knows(&memory, 11, Some(early)), "another process may have written it before");
        assert!(knows(&memory, 11, Some(late)));
        // The same revision again shows nothing but more rows.
        memory.read(PRODUCT, &read(5, 11..12));
        assert!(knows(&memory, 10, None) && knows(&memory, 12, Some(late)));
        wrote(&memory, 6, 20..21);
        assert!(knows(&memory, 20, None) && knows(&memory, 12, Some(late)));
    }

    #[test]
    fn what_others_write_is_not_guessed() {
        let memory = Memory::default();
        memory.read(PRODUCT, &read(5, 10..11));
        let moment = memory.now();
        wrote(&memory, 7, 20..21);
        assert!(!knows(&memory, 20, None), "a revision is missing");
        memory.read(PRODUCT, &read(7, 20..21));
        assert!(!knows(&memory, 20, None), "somebody else writes too");
        assert!(knows_after(&memory, 20, None, SHARED_FOR));
        assert!(!knows_after(&memory, 10, None, SHARED_FOR), "it may have changed");
        let unheard = Some(moment);
        assert!(!knows_after(&memory, 30, unheard, SHARED_FOR), "it may have been written since");
        memory.forget(PRODUCT, false);
        assert!(!knows_after(&memory, 20, None, SHARED_FOR));
    }

    #[test]
    fn rows_are_forgotten_together_when_there_are_too_many() {
        let memory = Memory::default();
        memory.read(PRODUCT, &read(5, 0..1));
        let before = memory.now();
        let many = 100 + MAX_ROWS as u128;
        wrote(&memory, 6, 100..many);
        let between = memory.now();
        assert!(!knows(&memory, 100, Some(before)) && !knows(&memory, 0, None));
        assert!(knows(&memory, many, Some(between)), "the stock is known still");
        wrote(&memory, 7, 1..2);
        assert!(knows(&memory, 1, None));
    }
}
