//! Any sequence of operations keeps the books: what is on hand and reserved is never negative, and
//! always what the reservations say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use souk_catalog::domain::{Hold, Line, Reservation, State};
use souk_catalog::store::Store;
use uuid::Uuid;

use crate::support::{self, NOW, key, line, release};

const PRODUCTS: usize = 2;
const INITIAL: i64 = 6;
/// Of the times in sequences: some holds end soon, and others long after the next step.
const UNIT_MS: i64 = 1_000;

#[derive(Debug, Clone)]
enum Operation {
    Reserve { id: u128, quantities: [u32; PRODUCTS], hold_ms: i64 },
    Extend { id: u128, hold_ms: i64 },
    Commit { id: u128 },
    Release { id: u128 },
    Adjust { product: usize, delta: i64 },
    Pass { ms: i64 },
    Sweep,
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = 1..6_u128;
    prop_oneof![
        3 => (id.clone(), [1..5_u32, 0..4_u32], 1..300_i64)
            .prop_map(|(id, quantities, units)| Operation::Reserve { id, quantities, hold_ms: units * UNIT_MS }),
        1 => (id.clone(), 1..300_i64).prop_map(|(id, units)| Operation::Extend { id, hold_ms: units * UNIT_MS }),
        2 => id.clone().prop_map(|id| Operation::Commit { id }),
        2 => id.prop_map(|id| Operation::Release { id }),
        1 => (0..PRODUCTS, -4..4_i64).prop_map(|(product, delta)| Operation::Adjust { product, delta }),
        1 => (1..200_i64).prop_map(|units| Operation::Pass { ms: units * UNIT_MS }),
        1 => Just(Operation::Sweep),
    ]
}

/// What the answers so far add up to.
struct Books {
    products: [Uuid; PRODUCTS],
    adjusted: [i64; PRODUCTS],
    reservations: BTreeMap<Uuid, Reservation>,
    now_ms: i64,
    /// What the ids of reservations begin with, as others may use the store too.
    prefix: u128,
    /// Whether what is on hand and reserved may be told a second late.
    lags: bool,
}

impl Books {
    async fn run(&mut self, store: &dyn Store, operation: Operation) {
        let now_ms = self.now_ms;
        let answer = match operation {
            Operation::Reserve { id, quantities, hold_ms } => {
                let wish = self.hold(id, quantities, hold_ms);
                store.reserve(wish, now_ms).await
            }
            Operation::Extend { id, hold_ms } => store.extend(self.id(id), hold_ms, now_ms).await,
            Operation::Commit { id } => store.commit(self.id(id), None, now_ms).await,
            Operation::Release { id } => {
                Ok(store.release(release(self.id(id)), now_ms).await.unwrap())
            }
            Operation::Adjust { product, delta } => {
                let adjusted = store.adjust_inventory(
                    self.products[product],
                    delta,
                    key("AdjustInventory"),
                    now_ms,
                );
                if adjusted.await.is_ok() {
                    self.adjusted[product] += delta;
                }
                return;
            }
            Operation::Pass { ms } => {
                self.now_ms += ms;
                return;
            }
            Operation::Sweep => return self.sweep(store).await,
        };
        if let Ok(reservation) = answer {
            self.reservations.insert(reservation.id, reservation);
        }
    }

    fn id(&self, id: u128) -> Uuid {
        Uuid::from_u128(self.prefix | id)
    }

    fn hold(&self, id: u128, quantities: [u32; PRODUCTS], hold_ms: i64) -> Hold {
        let lines = self.products.iter().zip(quantities).filter(|(_, quantity)| *quantity > 0);
        let mut lines: Vec<Line> = lines.map(|(product, n)| line(*product, n)).collect();
        lines.sort();
        let reservation_id = self.id(id);
        Hold { reservation_id, order_id: reservation_id, lines, hold_ms, not_after_ms: None }
    }

    async fn sweep(&mut self, store: &dyn Store) {
        let due = |reservation: &&mut Reservation| {
            reservation.state == State::Held && reservation.until_ms <= self.now_ms
        };
        let mut count = 0;
        for reservation in self.reservations.values_mut().filter(due) {
            reservation.state = State::Expired;
            count += 1;
        }
        assert_eq!(store.expire_holds(self.now_ms, 100).await.unwrap(), count);
    }

    fn units(&self, product: Uuid, state: State) -> i64 {
        let of_state = self.reservations.values().filter(|r| r.state == state);
        let lines = of_state.flat_map(|r| &r.lines).filter(|line| line.product_id == product);
        lines.map(|line| i64::from(line.quantity)).sum()
    }

    async fn check(&self, store: &dyn Store) {
        for (product, adjusted) in self.products.iter().zip(self.adjusted) {
            let on_hand = INITIAL + adjusted - self.units(*product, State::Committed);
            let reserved = self.units(*product, State::Held);
            let expected = (on_hand, reserved, on_hand - reserved);
            assert!(on_hand >= 0 && reserved >= 0 && expected.2 >= 0);
            match self.lags {
                true => support::counts_come_to(store, *product, expected).await,
                false => assert_eq!(support::counts(store, *product).await, expected),
            }
        }
    }
}

/// Runs the operations on a store in which nothing is due, and holds the books against it after each.
async fn all_adds_up(store: &dyn Store, lags: bool, operations: Vec<Operation>) {
    let products = [support::stocked(store, INITIAL).await, support::stocked(store, INITIAL).await];
    let mut books = Books {
        products,
        adjusted: [0; PRODUCTS],
        reservations: BTreeMap::new(),
        now_ms: NOW,
        prefix: Uuid::new_v4().as_u128() & !0xff,
        lags,
    };
    for operation in operations {
        books.run(store, operation).await;
        books.check(store).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn the_books_always_add_up(operations in prop::collection::vec(operation(), 1..40)) {
        run(async {
            let (_folder, store) = support::sqlite();
            all_adds_up(store.as_ref(), false, operations).await;
        });
    }
}

proptest! {
    // Each takes a second or more.
    #![proptest_config(ProptestConfig { max_shrink_iters: 8, ..cases(6) })]

    #[test]
    fn the_books_on_cql_always_add_up(operations in prop::collection::vec(operation(), 1..40)) {
        run(async {
            let Some(cql) = support::cql::swept().await else { return };
            all_adds_up(cql.store().as_ref(), true, operations).await;
        });
    }
}
