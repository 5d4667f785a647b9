//! Many open runs that wait: what they hold in memory and on disk, how soon a node is ready again that has them, and how
//! long one of them takes to wake.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::engine::Options;
use crate::engine::own::Node;
use crate::engine::report::{Fact, Report};
use crate::engine::usage;
use crate::statistics::Distribution;

/// Runs that are started side by side.
const STARTING: u32 = 2_000;
/// Runs that are woken after the restart, one after the other by each of so many callers.
const WOKEN: u64 = 20_000;
const CALLERS: u64 = 4;
/// How long runs may take to leave memory.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the system gives back late is waited for.
const BREATH: Duration = Duration::from_secs(5);

/// Starts the runs, lets them leave memory, starts the engine again, and wakes some by signals.
///
/// # Errors
/// When a run is refused, or does not wake.
pub async fn measure(options: &Options, folder: &Path) -> Result<Report> {
    let runs = options.runs;
    let mut report = Report::new(format!("{runs} open runs that wait for a signal or a timer"));
    let fresh_mb = usage::resident_mb();
    let node = Node::open(folder).await?;
    let begun = Instant::now();
    start_all(&node, runs).await?;
    report.tell(Fact::new("started", runs as f64 / begun.elapsed().as_secs_f64(), "runs/s"));
    settle(&node).await?;
    tokio::time::sleep(BREATH).await;
    report.tell(Fact::new("in memory of them", node.engine.loaded_runs() as f64, "runs"));
    report.tell(Fact::new("resident before", fresh_mb, "MB"));
    report.tell(Fact::new("resident at most", usage::greatest_resident_mb(), "MB"));
    report.tell(Fact::new("resident when all wait", usage::resident_mb(), "MB"));
    forget(&node).await?;
    report.tell(Fact::new("resident when none is in memory", usage::resident_mb(), "MB"));
    node.close(folder).await?;

    let begun = Instant::now();
    let node = Node::open(folder).await?;
    wake(&node, 0).await?;
    report.tell(Fact::new("ready after a restart", begun.elapsed().as_secs_f64(), "s"));
    let waits = Distribution::of(wake_some(&node, runs).await?);
    for (what, percent) in [("woken by a signal, p50", 50.0), ("woken by a signal, p99", 99.0)] {
        report.tell(Fact::new(what, waits.percentile(percent).as_secs_f64() * 1e3, "ms"));
    }
    settle(&node).await?;
    report.tell(Fact::new("resident after that", usage::resident_mb(), "MB"));
    report.tell(Fact::new("on disk", usage::on_disk_mb(folder)?, "MB"));
    node.engine.shutdown().await?;
    Ok(report)
}

async fn start_all(node: &Arc<Node>, runs: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..STARTING {
        let (node, next) = (node.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= runs {
                    return Ok(());
                }
                node.start_waiting(number).await?;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        let started: Result<()> = client.context("a client has panicked")?;
        started?;
    }
    Ok(())
}

/// Waits until everything is in the tables, and no more runs are in memory than may be idle there.
async fn settle(node: &Node) -> Result<()> {
    let until = Instant::now() + SETTLE_LIMIT;
    while node.lag().bytes > 0 || node.engine.loaded_runs() > Node::max_idle_runs() {
        ensure!(Instant::now() < until, "the runs do not leave memory");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until the runs have been idle for so long that all leave memory.
async fn forget(node: &Node) -> Result<()> {
    let until = Instant::now() + SETTLE_LIMIT;
    while node.engine.loaded_runs() > 0 {
        ensure!(Instant::now() < until, "the runs do not leave memory");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(BREATH).await;
    Ok(())
}

/// How long it takes from a signal to the end of the run that waited for it.
async fn wake(node: &Node, number: u64) -> Result<Duration> {
    let sent = Instant::now();
    node.wake(number).await?;
    Ok(sent.elapsed())
}

async fn wake_some(node: &Arc<Node>, runs: u64) -> Result<Vec<Duration>> {
    let woken = WOKEN.min(runs / 2);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let node = node.clone();
        callers.spawn(async move {
            let mut waits = Vec::new();
            // Far from each other, so that none is found where the one before it was; the first is awake already.
            for place in (caller..woken).step_by(CALLERS as usize).filter(|place| *place > 0) {
                waits.push(wake(&node, place * (runs / woken.max(1))).await?);
            }
            anyhow::Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(caller) = callers.join_next().await {
        waits.append(&mut caller.context("a caller has panicked")??);
    }
    Ok(waits)
}
