//! Many orders into one store: an order must not cost more because there were a million before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::engine::Options;
use crate::engine::contender::Round;
use crate::engine::own::{Node, Watch};
use crate::engine::report::{Figures, Report};
use crate::engine::usage::Usage;
use crate::engine::workload::EVENTS_PER_ORDER;

/// Stretches of the whole whose figures are shown. The first is what the others are compared with.
const STRETCHES: u64 = 10;

/// One store, the greatest number in flight that was asked for below 2,000, stretch after stretch without a pause.
///
/// # Errors
/// When an order fails.
pub async fn measure(options: &Options, folder: &Path) -> Result<Report> {
    let asked = options.in_flight.iter().copied().filter(|asked| *asked < 2_000).max();
    let in_flight = asked.unwrap_or(256);
    let node = Node::open(folder).await?;
    let stretch = options.orders / STRETCHES;
    let mut report = Report::new(format!(
        "{} orders into one store, {in_flight} in flight, in stretches of {stretch}",
        stretch * STRETCHES
    ));
    let next = Arc::new(AtomicU64::new(0));
    let mut first: Option<Round> = None;
    for number in 1..=STRETCHES {
        let round = one_stretch(&node, in_flight, &next, number * stretch, stretch).await?;
        let first = first.get_or_insert_with(|| round.clone()).clone();
        let label = format!("to {}", number * stretch);
        report.add(Figures::of(label, "souk".to_owned(), &[round], &[first]));
    }
    node.engine.shutdown().await?;
    Ok(report)
}

async fn one_stretch(
    node: &Arc<Node>,
    in_flight: u32,
    next: &Arc<AtomicU64>,
    until: u64,
    orders: u64,
) -> Result<Round> {
    let (before, slots) = (Usage::now(), node.log.slots());
    let begun = Instant::now();
    let watch = Watch::start(node.clone());
    let mut clients = JoinSet::new();
    for _ in 0..in_flight {
        let (node, next) = (node.clone(), next.clone());
        clients.spawn(async move { order_until(&node, &next, until).await });
    }
    let mut waits = Vec::new();
    while let Some(client) = clients.join_next().await {
        waits.append(&mut client.context("a client has panicked")??);
    }
    // Each client has taken one number too many.
    next.store(until, Ordering::Relaxed);
    let measured = begun.elapsed();
    let used = Usage::now().since(before);
    let syncs = (node.log.slots() - slots) as f64;
    Ok(Round {
        waits,
        measured,
        cpu_per_order: used.cpu_per(orders),
        written_per_order: used.written_per(orders),
        syncs_per_second: Some(syncs / measured.as_secs_f64()),
        events_per_sync: Some((orders * EVENTS_PER_ORDER) as f64 / syncs),
        lag: Some(watch.end().await?),
    })
}

async fn order_until(node: &Node, next: &AtomicU64, until: u64) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= until {
            return Ok(waits);
        }
        let sent = Instant::now();
        node.order(number).await?;
        waits.push(sent.elapsed());
    }
}
