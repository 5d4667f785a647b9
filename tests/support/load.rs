//! Customers who order at a steady pace, whatever the shop does. Most ask again with the same request until they know.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use souk_proto::catalog::v1::Product;
use souk_proto::order::v1::{PlaceOrderRequest, PlaceOrderResponse, Placement};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Status};

use super::{Caller, Ledger, Way};

/// Customers who take turns.
const CUSTOMERS: usize = 4;
/// How long a patient customer asks what became of an order that is not settled, before she leaves.
const PENDING_PATIENCE: Duration = Duration::from_secs(10);
/// How often an order is due, unless somebody says otherwise.
const DUE_EVERY: Duration = Duration::from_millis(40);
/// How long a customer waits until she asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often she asks: far longer than the shop is ever away.
const MAX_ATTEMPTS: u32 = 600;
/// Products that are ordered; the scarce ones among them sell out.
const PRODUCTS: usize = 12;

/// The bank asks the customer before it pays.
const CHALLENGED: &str = "tok_3ds";
/// How customers pay, and how often so.
const TOKENS: [(&str, u32); 7] = [
    ("tok_visa", 10),
    ("tok_mastercard", 4),
    ("tok_charge_then_drop_reply", 6),
    ("tok_declined", 3),
    ("tok_insufficient_funds", 1),
    (CHALLENGED, 2),
    ("tok_slow", 1),
];
/// Of so many customers one leaves if her first request is not answered.
const ONE_OF_LEAVING: u32 = 4;
/// Of so many orders one is cancelled by its customer, and one sent again after its answer.
const ONE_OF_CANCELLED: u32 = 5;
const ONE_OF_REPEATED: u32 = 5;

/// A load that goes on until it is told to finish.
pub struct Load {
    finish: oneshot::Sender<()>,
    orders: JoinHandle<Vec<String>>,
}

/// How customers come.
#[derive(Clone, Copy)]
pub struct Pace {
    /// An order is due every so often.
    pub due_every: Duration,
    /// Customers who wait at once. Who would be one more goes elsewhere, and those who wait are patient. So the load is what
    /// the shop bears: one that is overrun would tell nothing of the faults that it is to survive.
    pub most_at_once: Option<usize>,
}

/// What one customer is going to do.
struct Plan {
    customer: Caller,
    ledger: Ledger,
    request: PlaceOrderRequest,
    leaves: bool,
    cancels: bool,
    repeats: bool,
    approves: bool,
    pending_patience: Duration,
}

impl Load {
    /// Lets customers order through `edge`, and pay by the provider of `ledger`; the same `seed` makes the same orders.
    pub async fn start(edge: &Way, ledger: &Ledger, seed: u64) -> Self {
        let pace = Pace { due_every: DUE_EVERY, most_at_once: None };
        Self::at(pace, edge, ledger, seed).await
    }

    /// The same, at another pace.
    pub async fn at(pace: Pace, edge: &Way, ledger: &Ledger, seed: u64) -> Self {
        let Pace { due_every, most_at_once } = pace;
        let mut customers = Vec::new();
        for _ in 0..CUSTOMERS {
            customers.push(Caller::register(edge).await);
        }
        let mut products = customers[0].products().await;
        products.sort_by_key(|product| product.available_quantity);
        // Some that sell out, and some that do not.
        products.drain(PRODUCTS / 4..products.len() - PRODUCTS * 3 / 4);
        let ledger = ledger.clone();
        let (finish, mut finished) = oneshot::channel();
        let mut chance = StdRng::seed_from_u64(seed);
        let orders = tokio::spawn(async move {
            let mut due = tokio::time::interval(due_every);
            let mut under_way: JoinSet<Option<String>> = JoinSet::new();
            let mut acknowledged = Vec::new();
            loop {
                tokio::select! {
                    _ = &mut finished => break,
                    _ = due.tick() => {
                        while let Some(done) = under_way.try_join_next() {
                            acknowledged.extend(done.unwrap());
                        }
                        if most_at_once.is_some_and(|most| under_way.len() >= most) {
                            continue;
                        }
                        let mut plan = Plan::make(&mut chance, &customers, &products, &ledger);
                        if most_at_once.is_some() {
                            plan.pending_patience = PENDING_PATIENCE;
                        }
                        under_way.spawn(plan.carry_out());
                    }
                }
            }
            acknowledged.extend(under_way.join_all().await.into_iter().flatten());
            acknowledged
        });
        Self { finish, orders }
    }

    /// Starts no more orders, waits until each is answered, and tells which the shop has acknowledged.
    pub async fn finish(self) -> Vec<String> {
        let _ = self.finish.send(());
        self.orders.await.unwrap()
    }
}

impl Plan {
    fn make(
        chance: &mut StdRng,
        customers: &[Caller],
        products: &[Product],
        ledger: &Ledger,
    ) -> Self {
        let customer = customers.choose(chance).unwrap().clone();
        let (token, _) = TOKENS.choose_weighted(chance, |(_, weight)| *weight).unwrap();
        let count = chance.random_range(1..=3);
        let chosen: Vec<&Product> = products.choose_multiple(chance, count).collect();
        let chosen: Vec<_> =
            chosen.into_iter().map(|product| (product, chance.random_range(1..=2))).collect();
        Self {
            request: customer.order(token, &chosen),
            customer,
            ledger: ledger.clone(),
            // An open challenge of somebody who left stays open until its time limit, for good reason.
            leaves: *token != CHALLENGED && chance.random_ratio(1, ONE_OF_LEAVING),
            cancels: chance.random_ratio(1, ONE_OF_CANCELLED),
            repeats: chance.random_ratio(1, ONE_OF_REPEATED),
            approves: chance.random(),
            pending_patience: Duration::ZERO,
        }
    }

    /// The order's id, if the shop took it.
    async fn carry_out(self) -> Option<String> {
        if self.leaves {
            // Whether there is an order now only the shop knows. If there is, it has to come to an end all the same.
            let answer = self.customer.place(self.request.clone()).await;
            return answer.ok().map(|answer| answer.order.unwrap().order_id);
        }
        let mut answer = self.place().await?;
        // Whose bank will ask her waits until it does; others leave, at once or when they are tired of it.
        let asked_since = Instant::now();
        while answer.placement() == Placement::Pending
            && (self.request.payment_token == CHALLENGED
                || asked_since.elapsed() < self.pending_patience)
        {
            answer = self.place().await.unwrap();
        }
        let order_id = answer.order.as_ref().unwrap().order_id.clone();
        if answer.placement() == Placement::Challenge {
            let decision = if self.approves { "approve" } else { "decline" };
            self.ledger.decide(&answer.challenge_url, decision).await;
        }
        if self.cancels {
            let cancelled = until_known(|| self.customer.cancel(&order_id)).await;
            cancelled.unwrap_or_else(|status| panic!("{order_id} cannot be cancelled: {status:?}"));
        }
        if self.repeats {
            let again = self.place().await.unwrap();
            assert_eq!(
                again.order.unwrap().order_id,
                order_id,
                "the same request is the same order"
            );
        }
        Some(order_id)
    }

    /// What became of the request, asked for until it is known; `None` where it was refused before it was an order.
    async fn place(&self) -> Option<PlaceOrderResponse> {
        match until_known(|| self.customer.place(self.request.clone())).await {
            Ok(answer) => Some(answer),
            Err(status) => {
                let reason = souk_mesh::error::reason_of(&status);
                assert_eq!(reason.as_deref(), Some("SOLD_OUT"), "{status:?}");
                None
            }
        }
    }
}

/// The answer of a shop that comes and goes.
pub async fn until_known<T, F>(ask: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    for _ in 0..MAX_ATTEMPTS {
        match ask().await {
            Err(status) if says_nothing(&status) => tokio::time::sleep(AGAIN_AFTER).await,
            known => return known,
        }
    }
    panic!("no answer after {MAX_ATTEMPTS} attempts")
}

/// Whether it stays unknown what became of a call: the connection broke, or the shop was busy or stopping.
fn says_nothing(status: &Status) -> bool {
    use Code::{
        Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    let from_shop = souk_mesh::error::reason_of(status).is_some();
    match status.code() {
        Unavailable | ResourceExhausted | Aborted | DeadlineExceeded => true,
        // A connection that breaks under a call; what the shop itself says so is a bug.
        Cancelled | Unknown | Internal => !from_shop,
        _ => false,
    }
}
