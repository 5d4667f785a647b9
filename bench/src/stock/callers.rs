//! Callers who want a piece each, all of the same product, and ask again until they know whether they have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use souk_mesh::error::reason_of;
use souk_proto::catalog::v1::{CommitReservationRequest, ReserveInventoryRequest, StockLine};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::catalog::{Catalog, Client, HotProduct};
use super::check::{Piece, Tally};
use crate::cpu;
use crate::metrics::Counted;

/// How long a caller waits for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the same is asked when the answer says nothing of what became of it, and how long before the next time.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// The reason of a refusal because nothing is left.
const SOLD_OUT: &str = "SOLD_OUT";

/// Everybody who wants a piece.
pub struct Callers {
    clients: Vec<Client>,
    count: u32,
}

/// What became of a load.
#[derive(Default)]
pub struct Load {
    /// Of every wish, those of the warm-up too.
    pub tally: Tally,
    /// How long callers waited for what they were given while it was measured, repeats included.
    pub waits: Vec<Duration>,
    /// CPU time by process while it was measured.
    pub cpu: Vec<(String, Option<Duration>)>,
    /// What the catalog counted meanwhile, if it tells.
    pub counted: Option<Counted>,
}

impl Callers {
    /// So many, on this many connections to each process.
    pub async fn connect(catalog: &Catalog, connections: u32, count: u32) -> Result<Callers> {
        let mut clients = Vec::new();
        for _ in 0..connections {
            for address in &catalog.addresses {
                clients.push(catalog.connect(address).await?);
            }
        }
        Ok(Callers { clients, count })
    }

    fn client(&self, number: u32) -> Client {
        self.clients[number as usize % self.clients.len()].clone()
    }

    /// All hold one piece after the other until the time is over.
    pub async fn reserve_for(
        &self,
        product: &HotProduct,
        warm_up: Duration,
        measured: Duration,
        catalog: &Catalog,
    ) -> Result<Load> {
        let start = Instant::now();
        let (from, end) = (start + warm_up, start + warm_up + measured);
        let mut hands = JoinSet::new();
        for number in 0..self.count {
            let (client, product) = (self.client(number), product.id.clone());
            hands.spawn(async move {
                let (mut tally, mut waits) = (Tally::default(), Vec::new());
                while Instant::now() < end {
                    let began = Instant::now();
                    let piece = hold(&client, &product, Uuid::new_v4()).await;
                    let answered = Instant::now();
                    if piece == Piece::Held && (from..end).contains(&answered) {
                        waits.push(answered - began);
                    }
                    tally.add(piece);
                }
                (tally, waits)
            });
        }
        tokio::time::sleep_until(from).await;
        let cpu_before = cpu_of(catalog);
        let counted_before = catalog.metrics.read().await.ok();
        tokio::time::sleep_until(end).await;
        let cpu = cpu_of(catalog).into_iter().zip(cpu_before);
        let difference = |now: Option<Duration>, then: Option<Duration>| now?.checked_sub(then?);
        let mut load = Load {
            cpu: cpu.map(|((name, now), (_, then))| (name, difference(now, then))).collect(),
            ..Load::default()
        };
        let counted = catalog.metrics.read().await.ok().zip(counted_before);
        load.counted = counted.map(|(now, before)| now.since(&before));
        for (tally, waits) in hands.join_all().await {
            load.tally.add_all(&tally);
            load.waits.extend(waits);
        }
        Ok(load)
    }

    /// So many wishes, as fast as all callers can: who is given a piece buys it.
    pub async fn sell_out(&self, product: &HotProduct, wishes: u64) -> Result<Tally> {
        let left = Arc::new(AtomicU64::new(wishes));
        let mut hands = JoinSet::new();
        for number in 0..self.count {
            let (client, product, left) = (self.client(number), product.id.clone(), left.clone());
            hands.spawn(async move {
                let mut tally = Tally::default();
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    let id = Uuid::new_v4();
                    tally.add(match hold(&client, &product, id).await {
                        Piece::Held => buy(&client, id).await,
                        other => other,
                    });
                }
                tally
            });
        }
        let mut all = Tally::default();
        hands.join_all().await.iter().for_each(|tally| all.add_all(tally));
        Ok(all)
    }
}

fn cpu_of(catalog: &Catalog) -> Vec<(String, Option<Duration>)> {
    let own = ("callers".to_owned(), std::process::id());
    let processes = catalog.processes.iter().chain([&own]);
    processes.map(|(name, pid)| (name.clone(), cpu::used(*pid))).collect()
}

/// Wants a piece under this id, until it is known whether it is held. The same ids do nothing twice.
async fn hold(client: &Client, product: &str, id: Uuid) -> Piece {
    let request = ReserveInventoryRequest {
        request_id: id.to_string(),
        reservation_id: id.to_string(),
        order_id: id.to_string(),
        lines: vec![StockLine { product_id: product.to_owned(), quantity: 1 }],
        ..Default::default()
    };
    for tried in 0..TRIES {
        pause_before(tried).await;
        let answer = client.clone().reserve_inventory(patient(request.clone())).await;
        if let Some(piece) = told(answer, Piece::Held) {
            return piece;
        }
    }
    Piece::Unknown
}

/// Buys what is held under this id.
async fn buy(client: &Client, id: Uuid) -> Piece {
    let request = CommitReservationRequest {
        request_id: Uuid::new_v4().to_string(),
        reservation_id: id.to_string(),
        ..Default::default()
    };
    for tried in 0..TRIES {
        pause_before(tried).await;
        let answer = client.clone().commit_reservation(patient(request.clone())).await;
        if let Some(piece) = told(answer, Piece::Sold) {
            return piece;
        }
    }
    Piece::Unknown
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

async fn pause_before(tried: u32) {
    if tried > 0 {
        sleep(PAUSE).await;
    }
}

/// What an answer says of the piece; nothing, if it may or may not have been given.
fn told<T>(answer: Result<Response<T>, Status>, granted: Piece) -> Option<Piece> {
    match answer {
        Ok(_) => Some(granted),
        Err(status) if reason_of(&status).as_deref() == Some(SOLD_OUT) => Some(Piece::Refused),
        Err(_) => None,
    }
}
