//! Our engine, through its own API, on a store on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use souk_orchestrator::engine::cx::{Signal as _, View as _};
use souk_orchestrator::engine::engine::Footprint;
use souk_orchestrator::engine::limits::OVERLOAD_RETRY_MS;
use souk_orchestrator::engine::log::fjall::{FjallLog, Store};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::Seams;
use souk_orchestrator::engine::tables::fjall::FjallTables;
use souk_orchestrator::engine::{Answer, Engine, Error, Options, Outcome, Resources, StartRequest};

use super::contender::{Contender, Lag, Round};
use super::load::Load;
use super::metered::Metered;
use super::usage::Usage;
use super::workload::{
    self, COMMITS_PER_ORDER, Done, EVENTS_PER_ORDER, LONG, ORDER, Payloads, WAITING, Wake,
};

/// How long an order may take before the benchmark gives up.
const ORDER_LIMIT: Duration = Duration::from_secs(60);
/// How long the run of very many steps may take to come back.
const LONG_LIMIT: Duration = Duration::from_secs(600);
/// How often it is looked how far the tables are behind.
const LAG_EVERY: Duration = Duration::from_millis(20);
/// The pause before an engine that was overloaded is asked again: what it tells its clients.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(OVERLOAD_RETRY_MS);
/// Orders by which the size of a commit is found.
const SIZING_ORDERS: u64 = 20;

/// An engine that knows the workload.
pub struct Node {
    /// Its handle.
    pub engine: Engine,
    /// What it has appended.
    pub log: Arc<Metered<FjallLog>>,
    payloads: Payloads,
}

impl Node {
    /// Opens an engine, as a shop does, on a store in `folder`.
    ///
    /// # Errors
    /// When the store cannot be made.
    pub async fn open(folder: &Path) -> Result<Arc<Node>> {
        let store = Arc::new(Store::open(folder)?);
        let log = Arc::new(Metered::new(FjallLog::new(store.clone())));
        let engine = Engine::open(
            Options::default(),
            log.clone(),
            Arc::new(FjallTables::new(store)),
            Seams::system(),
            workload::registry(),
            Resources::new().with(Payloads::new()),
        )
        .await?;
        Ok(Arc::new(Node { engine, log, payloads: Payloads::new() }))
    }

    /// Stops the engine, and waits until its store may be opened again: its threads end a little later.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn close(self: Arc<Node>, folder: &Path) -> Result<()> {
        self.engine.shutdown().await?;
        drop(self);
        let lock = std::fs::File::open(folder.join("lock"))?;
        let until = Instant::now() + ORDER_LIMIT;
        while lock.try_lock().is_err() {
            ensure!(Instant::now() < until, "the store stays open");
            tokio::time::sleep(LAG_EVERY).await;
        }
        Ok(())
    }

    /// Does one order: its end is durable when this returns.
    ///
    /// # Errors
    /// When it is refused, or does not complete.
    pub async fn order(&self, number: u64) -> Result<()> {
        let input = self.payloads.order(number);
        let request = StartRequest::new(format!("order-{number}"), ORDER, &input)?;
        let order = || self.engine.start_and_wait(request.clone(), ORDER_LIMIT);
        let (_, answer) = until_admitted(order).await?;
        match answer {
            Answer::Closed(end) if end.state == RunState::Completed => Ok(()),
            other => bail!("order {number} did not complete: {other:?}"),
        }
    }

    /// Starts a run that waits, for a signal or a month. Its start is durable when this returns.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn start_waiting(&self, number: u64) -> Result<()> {
        let input = self.payloads.order(number);
        let request = StartRequest::new(format!("waiting-{number}"), WAITING, &input)?;
        until_admitted(|| self.engine.start(request.clone())).await?;
        Ok(())
    }

    /// Ends such a run by a signal: its end is durable when this returns.
    ///
    /// # Errors
    /// When it does not complete.
    pub async fn wake(&self, number: u64) -> Result<()> {
        let workflow_id = format!("waiting-{number}");
        self.engine.signal(&workflow_id, Wake::NAME, "wake", "null".into()).await?;
        match self.engine.outcome(&workflow_id, ORDER_LIMIT).await? {
            Some(end) if end.state == RunState::Completed => Ok(()),
            other => bail!("{workflow_id} did not complete: {other:?}"),
        }
    }

    /// Starts the run of very many steps.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn start_long(&self, steps: u64) -> Result<()> {
        self.engine.start(StartRequest::new("long", LONG, &steps)?).await?;
        Ok(())
    }

    /// Waits until it has done so many steps.
    ///
    /// # Errors
    /// When it does not get on.
    pub async fn long_at(&self, steps: u64) -> Result<()> {
        let mut seen = 0;
        let mut since = Instant::now();
        loop {
            let now = serde_json::from_slice(&self.engine.query("long", Done::NAME).await?)?;
            if now >= steps {
                return Ok(());
            }
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            ensure!(since.elapsed() < ORDER_LIMIT, "the run does not get beyond step {now}");
            tokio::time::sleep(LAG_EVERY).await;
        }
    }

    /// What it holds in memory.
    ///
    /// # Errors
    /// When it is not in memory.
    pub fn long_footprint(&self) -> Result<Footprint> {
        self.engine.footprint("long").context("the long run is not in memory")
    }

    /// Lets it end, and says how many steps it has done.
    ///
    /// # Errors
    /// When it does not complete.
    pub async fn end_long(&self) -> Result<u64> {
        self.engine.signal("long", Wake::NAME, "end", "null".into()).await?;
        match self.engine.outcome("long", LONG_LIMIT).await? {
            Some(Outcome { state: RunState::Completed, result: Some(steps), .. }) => {
                Ok(serde_json::from_slice(&steps)?)
            }
            other => bail!("the long run did not complete: {other:?}"),
        }
    }

    /// How many runs may stay in memory that only wait.
    pub fn max_idle_runs() -> usize {
        Options::default().max_idle_runs
    }

    /// How far the tables are behind.
    pub fn lag(&self) -> Lag {
        let (bytes, age_ms) = self.engine.undrained();
        Lag { bytes, age_ms }
    }
}

/// Asks an engine that is overloaded again and again. The time until it takes the work in is the caller's wait, too.
async fn until_admitted<T, F: Future<Output = Result<T, Error>>>(
    ask: impl Fn() -> F,
) -> Result<T, Error> {
    let until = Instant::now() + ORDER_LIMIT;
    loop {
        match ask().await {
            Err(Error::Overloaded(_)) if Instant::now() < until => {
                tokio::time::sleep(OVERLOAD_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// See the module.
pub struct Own;

impl Own {
    /// Bytes of the log for each commit, found by a few orders on a store in `folder`.
    ///
    /// # Errors
    /// When they fail.
    pub async fn commit_bytes(folder: &Path) -> Result<usize> {
        let node = Node::open(folder).await?;
        let (slots, bytes) = (node.log.slots(), node.log.bytes());
        for number in 0..SIZING_ORDERS {
            node.order(number).await?;
        }
        let (slots, bytes) = (node.log.slots() - slots, node.log.bytes() - bytes);
        node.engine.shutdown().await?;
        let commits = SIZING_ORDERS * COMMITS_PER_ORDER;
        if slots != commits {
            bail!(
                "{SIZING_ORDERS} orders, one after the other, are {slots} synced slots, not {commits}"
            );
        }
        Ok((bytes / commits) as usize)
    }
}

#[async_trait]
impl Contender for Own {
    fn name(&self) -> String {
        "souk".to_owned()
    }

    async fn round(&self, load: &Load, folder: &Path) -> Result<Round> {
        let node = Node::open(folder).await?;
        let before = (Usage::now(), node.log.slots());
        let watch = Watch::start(node.clone());
        let ordering = node.clone();
        let seen = load
            .run(move |number| {
                let node = ordering.clone();
                async move { node.order(number).await }
            })
            .await;
        let lag = watch.end().await?;
        let seen = seen?;
        let slots = (node.log.slots() - before.1) as f64;
        // What an order costs later counts, too: it drains the log and syncs the tables.
        node.engine.shutdown().await?;
        let used = Usage::now().since(before.0);
        Ok(Round {
            waits: seen.waits,
            measured: load.measured,
            cpu_per_order: used.cpu_per(seen.orders),
            written_per_order: used.written_per(seen.orders),
            syncs_per_second: Some(slots / seen.lasted.as_secs_f64()),
            events_per_sync: Some((seen.orders * EVENTS_PER_ORDER) as f64 / slots),
            lag: Some(lag),
        })
    }
}

/// Looks at the lag while others order.
pub struct Watch {
    is_over: Arc<AtomicBool>,
    looking: tokio::task::JoinHandle<Lag>,
}

impl Watch {
    /// From now on.
    pub fn start(node: Arc<Node>) -> Watch {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let looking = tokio::spawn(async move {
            let mut greatest = Lag::default();
            while !over.load(Ordering::Relaxed) {
                greatest = greatest.max(node.lag());
                tokio::time::sleep(LAG_EVERY).await;
            }
            greatest
        });
        Watch { is_over, looking }
    }

    /// The greatest that was seen.
    ///
    /// # Errors
    /// When the look has panicked.
    pub async fn end(self) -> Result<Lag> {
        self.is_over.store(true, Ordering::Relaxed);
        Ok(self.looking.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_is_six_synced_commits_of_two_events_with_256_bytes_each() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = Own::commit_bytes(&folder.path().join("sizing")).await.unwrap();
        assert!(bytes >= 2 * 256, "{bytes} bytes are too few for two events");

        let node = Node::open(&folder.path().join("order")).await.unwrap();
        node.order(7).await.unwrap();
        let history = node.engine.history("order-7", 0, false).await.unwrap();
        let events = history.filter(|event| futures::future::ready(event.is_ok())).count().await;
        assert_eq!(events as u64, EVENTS_PER_ORDER);
        node.engine.shutdown().await.unwrap();
        assert_eq!(node.lag(), Lag::default());
    }
}
