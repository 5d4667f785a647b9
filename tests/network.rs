//! The network between the shop and its real backends is slow, torn, half open or a trickle, under orders and carts that
//! go on. Afterwards every order is settled and charged once, stock adds up, and a cart holds each piece that was added
//! to it once.

use std::net::SocketAddr;
use std::time::Duration;

use souk_backends::{Part, Proxy, Toxic, Toxiproxy, rounds, there_or_skipped};
use souk_bench::invariants::Rule;
use souk_proto::cart::v1::{AddItemRequest, GetCartRequest};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::{Caller, Load, Pace, Real, Shop, pause, seed};

/// The network is to be bad, not the load.
const PACE: Pace = Pace { due_every: Duration::from_millis(200), most_at_once: None };
/// What is wrong, and for how long, in milliseconds. Half-open connections outlast the heartbeats.
const FAULTS: [(Toxic, u64); 4] = [
    (Toxic::Latency { latency_ms: 100, jitter_ms: 80 }, 4_000),
    (Toxic::ResetPeer { after_ms: 50 }, 3_000),
    (Toxic::HalfOpen, 7_000),
    (Toxic::Bandwidth { kilobytes_per_s: 1 }, 4_000),
];
/// How long the network is well between two faults, in milliseconds.
const WELL_MS: u64 = 1_500;
/// Times that all faults are gone through, and how often to prove it.
const ROUNDS: usize = 1;
const ROUNDS_OF_PROOF: usize = 10;
/// Seconds between heartbeats of RabbitMQ; twice that in silence is the end of a connection.
const HEARTBEAT_S: u32 = 2;
/// A load that is less than this proves little.
const LEAST_ORDERS: usize = 40;
const LEAST_PIECES: usize = 5;
/// How long a customer waits until she adds her next piece, in milliseconds.
const NEXT_PIECE_MS: u64 = 400;
/// How long she waits until she sends the same again, in milliseconds, and how often: longer than any fault.
const AGAIN_AFTER_MS: u64 = 100;
const MAX_ATTEMPTS: u32 = 600;

/// The backends, each behind a port whose connections can be spoilt.
struct Network {
    proxies: Vec<Proxy>,
    real: Real,
    _toxiproxy: Toxiproxy,
}

impl Network {
    /// `None` where a part cannot be had.
    fn start() -> Option<Network> {
        let real = Real::start().filter(|_| there_or_skipped(Part::Toxiproxy))?;
        let toxiproxy = Toxiproxy::start(&real.folder().join("toxiproxy")).unwrap();
        let cql: SocketAddr = real.contact_points[0].parse().unwrap();
        let behind =
            [("redis", real.redis.address()), ("rabbitmq", real.rabbitmq.address()), ("cql", cql)];
        let proxies = behind.map(|(name, server)| toxiproxy.lead_to(name, server).unwrap()).into();
        Some(Network { proxies, real, _toxiproxy: toxiproxy })
    }

    /// What a shop is told of its backends.
    fn settings(&self) -> Vec<String> {
        let [redis, rabbitmq, cql] = &self.proxies[..] else { unreachable!("three are made") };
        let redis = format!("redis://{}", redis.address());
        let heartbeat = format!("heartbeat={HEARTBEAT_S}");
        let rabbitmq = format!("amqp://guest:guest@{}/%2f?{heartbeat}", rabbitmq.address());
        self.real.settings(&redis, &rabbitmq, &cql.address().to_string())
    }

    async fn go_wrong(&self, toxic: Toxic, for_ms: u64) {
        println!("{toxic:?}");
        self.proxies.iter().for_each(|proxy| proxy.poison_both(toxic).unwrap());
        pause(for_ms).await;
        self.proxies.iter().for_each(|proxy| proxy.heal().unwrap());
    }
}

/// Adds a piece by one request, sent until it is answered.
async fn add_until_known(customer: &Caller, product_id: &str) {
    let request_id = Uuid::new_v4().to_string();
    let product_id = product_id.to_owned();
    let request = AddItemRequest { request_id, product_id, quantity: 1 };
    for _ in 0..MAX_ATTEMPTS {
        if customer.carts().add_item(request.clone()).await.is_ok() {
            return;
        }
        pause(AGAIN_AFTER_MS).await;
    }
    panic!("the cart never answers");
}

/// A customer who adds piece after piece to her cart, each until she knows that it is there.
struct Filling {
    customer: Caller,
    finish: oneshot::Sender<()>,
    added: JoinHandle<usize>,
}

impl Filling {
    async fn start(shop: &Shop) -> Filling {
        let customer = shop.customer().await;
        let product_id = customer.product().await.product_id;
        let (finish, mut finished) = oneshot::channel();
        let adding = customer.clone();
        let added = tokio::spawn(async move {
            let mut added = 0;
            while finished.try_recv() == Err(TryRecvError::Empty) {
                add_until_known(&adding, &product_id).await;
                added += 1;
                pause(NEXT_PIECE_MS).await;
            }
            added
        });
        Filling { customer, finish, added }
    }

    /// Stops, and tells how many pieces were added and how many the cart holds.
    async fn finish(self) -> (usize, usize) {
        self.finish.send(()).unwrap();
        let added = self.added.await.unwrap();
        let cart = self.customer.carts().get_cart(GetCartRequest::default()).await.unwrap();
        let held: i32 =
            cart.into_inner().cart.unwrap().items.iter().map(|item| item.quantity).sum();
        (added, held.try_into().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_before_all_backends_costs_no_order_and_no_piece() {
    let Some(network) = Network::start() else { return };
    let settings = network.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let shop = Shop::with(&settings).await;
    let baseline = shop.baseline().await;
    let load = Load::at(PACE, &shop.edge, &shop.ledger, seed()).await;
    let filling = Filling::start(&shop).await;

    for _ in 0..rounds(ROUNDS, ROUNDS_OF_PROOF) {
        for (toxic, for_ms) in FAULTS {
            network.go_wrong(toxic, for_ms).await;
            pause(WELL_MS).await;
        }
    }
    let acknowledged = load.finish().await;
    let (added, held) = filling.finish().await;

    let verdict = shop.settle(&baseline, &acknowledged).await;
    assert!(acknowledged.len() >= LEAST_ORDERS, "only {} orders", acknowledged.len());
    for rule in [Rule::SoldIsPaidOnce, Rule::CancelledIsFree] {
        assert!(verdict.checked(rule) >= LEAST_ORDERS / 5, "too few to tell: {verdict}");
    }
    assert_eq!(added, held, "each piece is there once");
    assert!(added >= LEAST_PIECES, "only {added} pieces");
}
