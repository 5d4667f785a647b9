//! Clients in a closed loop: each orders, waits for the end, and orders again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// How many clients, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Clients, each with one order at a time.
    pub in_flight: u32,
    /// How long they order before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub measured: Duration,
}

/// What the clients saw.
pub struct Seen {
    /// How long each order took that ended within the measured time.
    pub waits: Vec<Duration>,
    /// All orders, those of the warm-up and the last of each client included.
    pub orders: u64,
    /// From the first order to the end of the last.
    pub lasted: Duration,
}

impl Load {
    /// Lets the clients order until the time is over, and waits for their last orders. `order` does one, by its number.
    ///
    /// # Errors
    /// The first that an order fails with.
    pub async fn run<O, F>(&self, order: O) -> Result<Seen>
    where
        O: Fn(u64) -> F + Send + Sync + 'static,
        F: Future<Output = Result<()>> + Send,
    {
        let order = Arc::new(order);
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let from = begun + self.warm_up;
        let until = from + self.measured;
        let mut clients = JoinSet::new();
        for _ in 0..self.in_flight {
            let (order, next) = (order.clone(), next.clone());
            clients.spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let sent = Instant::now();
                    if sent >= until {
                        return Ok::<_, anyhow::Error>(waits);
                    }
                    order(next.fetch_add(1, Ordering::Relaxed)).await?;
                    let ended = Instant::now();
                    if (from..until).contains(&ended) {
                        waits.push(ended - sent);
                    }
                }
            });
        }
        let mut waits = Vec::new();
        while let Some(client) = clients.join_next().await {
            waits.append(&mut client.context("a client has panicked")??);
        }
        Ok(Seen { waits, orders: next.load(Ordering::Relaxed), lasted: begun.elapsed() })
    }
}
