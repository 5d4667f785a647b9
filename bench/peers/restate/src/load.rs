//! The load: a fixed number of customers, each of whom places the next order when the last one was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::order::STEPS;
use crate::payloads::Payloads;

/// How long one order may take before the round is given up.
const ORDER_LIMIT: Duration = Duration::from_secs(60);

/// How orders are placed.
pub struct Load {
    client: reqwest::Client,
    url: String,
    payloads: &'static Payloads,
    next: AtomicU64,
}

impl Load {
    /// Orders placed at `ingress`, over kept connections.
    pub fn on(ingress: &str, payloads: &'static Payloads) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(ORDER_LIMIT).build()?;
        let url = format!("{ingress}/Order/place");
        Ok(Self { client, url, payloads, next: AtomicU64::new(0) })
    }

    /// Places one order and waits for its result.
    async fn order(&self) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(serde_json::to_string(&self.payloads.order(number))?);
        let answer = request.send().await.context("the ingress does not answer")?;
        let status = answer.status();
        let result = answer.text().await?;
        if !status.is_success() || result.trim_matches('"') != self.payloads.text(number, STEPS) {
            bail!("an order ended with {status}: {result}");
        }
        Ok(())
    }
}

/// What a round gives.
#[derive(Serialize)]
pub struct Round {
    /// How long each order took that was answered while measured.
    latencies_us: Vec<u64>,
    /// All orders, those of the warm-up and the last of each customer included.
    orders: u64,
}

/// Keeps `in_flight` orders under way, and measures after `warm_up`.
pub async fn round(
    load: &Arc<Load>,
    in_flight: usize,
    warm_up: Duration,
    measure: Duration,
) -> Result<Round> {
    let before = load.next.load(Ordering::Relaxed);
    let from = Instant::now() + warm_up;
    let until = from + measure;
    let mut customers = JoinSet::new();
    for _ in 0..in_flight {
        customers.spawn(customer(Arc::clone(load), from, until));
    }
    let mut latencies_us = Vec::new();
    while let Some(latencies) = customers.join_next().await {
        latencies_us.extend(latencies??);
    }
    Ok(Round { latencies_us, orders: load.next.load(Ordering::Relaxed) - before })
}

async fn customer(load: Arc<Load>, from: Instant, until: Instant) -> Result<Vec<u64>> {
    let mut latencies = Vec::new();
    loop {
        let placed = Instant::now();
        if placed >= until {
            return Ok(latencies);
        }
        load.order().await?;
        let answered = Instant::now();
        if (from..until).contains(&answered) {
            latencies.push(u64::try_from((answered - placed).as_micros())?);
        }
    }
}
