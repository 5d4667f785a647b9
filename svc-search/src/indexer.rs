//! Gathers news into batches for the index's one writer. A batch is one commit, so one sync to disk, whether
//! it brings one product or hundreds; whoever brings news waits until its batch is durable.

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::tasks::Tasks;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::domain::News;
use crate::error::Error;
use crate::index::{ProductIndex, Writer};

/// Deliveries that wait for the writer; who brings more waits before.
const MAX_WAITING: usize = 256;
/// A batch takes no further delivery at so many products.
const FULL_BATCH: usize = 1_000;
/// A batch is written when nothing more came for so long.
const QUIET: Duration = Duration::from_millis(20);
/// A batch is written at last after so long.
const LONGEST_GATHERING: Duration = Duration::from_millis(200);

/// Some news, and who waits for it.
struct Delivery {
    news: Vec<News>,
    done: oneshot::Sender<Result<(), String>>,
}

/// Where news is brought. The indexer ends when all clones of this are gone.
#[derive(Clone)]
pub struct Indexer {
    deliveries: mpsc::Sender<Delivery>,
}

impl Indexer {
    /// Starts the only writer of `index`. It outlives the beginning of a drain, until nobody can bring news.
    #[must_use]
    pub fn spawn(index: Arc<ProductIndex>, tasks: &Tasks) -> Self {
        let (deliveries, receiver) = mpsc::channel(MAX_WAITING);
        tasks.spawn("search-indexer", run(index, receiver));
        Self { deliveries }
    }

    /// Brings news. When it returns, all of it is durable and can be found, unless it was known already.
    ///
    /// # Errors
    /// [`Error::NotIndexed`], [`Error::Stopped`]: nothing is lost by bringing it again.
    pub async fn bring(&self, news: Vec<News>) -> Result<(), Error> {
        let (done, outcome) = oneshot::channel();
        let delivery = Delivery { news, done };
        self.deliveries.send(delivery).await.map_err(|_| Error::Stopped)?;
        outcome.await.map_err(|_| Error::Stopped)?.map_err(Error::NotIndexed)
    }
}

async fn run(index: Arc<ProductIndex>, mut deliveries: mpsc::Receiver<Delivery>) {
    let mut writer = Writer::new(Arc::clone(&index));
    while let Some(first) = deliveries.recv().await {
        let (batch, waiting) = gather(first, &mut deliveries).await;
        let write = move || {
            let outcome = writer.apply(batch);
            (writer, outcome)
        };
        let outcome = match tokio::task::spawn_blocking(write).await {
            Ok((same, outcome)) => {
                writer = same;
                outcome
            }
            Err(panicked) => {
                writer = Writer::new(Arc::clone(&index));
                Err(panicked.into())
            }
        };
        let outcome = match outcome {
            Ok(changed) => {
                tracing::debug!(changed, "indexed");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "a batch was not indexed");
                Err(error.to_string())
            }
        };
        for done in waiting {
            // Who no longer waits brings its news again.
            let _ = done.send(outcome.clone());
        }
    }
}

type Waiting = Vec<oneshot::Sender<Result<(), String>>>;

async fn gather(first: Delivery, more: &mut mpsc::Receiver<Delivery>) -> (Vec<News>, Waiting) {
    let (mut batch, mut waiting) = (first.news, vec![first.done]);
    let latest = Instant::now() + LONGEST_GATHERING;
    while batch.len() < FULL_BATCH {
        let patience = QUIET.min(latest.saturating_duration_since(Instant::now()));
        let Ok(Some(delivery)) = timeout(patience, more.recv()).await else { break };
        batch.extend(delivery.news);
        waiting.push(delivery.done);
    }
    (batch, waiting)
}
