//! Background work of a process: started by name, told to stop at drain, waited for within a limit.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts and ends background work. Clones share the same tasks.
#[derive(Clone, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    token: CancellationToken,
    running: Mutex<BTreeMap<&'static str, usize>>,
    failed: Mutex<Option<String>>,
}

/// Background work that was still running when the drain's limit was over.
#[derive(Debug, thiserror::Error)]
#[error("still running after {limit:?}: {}", names.join(", "))]
pub struct Unfinished {
    /// The limit that was given.
    pub limit: Duration,
    /// The names of the tasks that did not end.
    pub names: Vec<&'static str>,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts `work` under a name for logs and for the drain's report.
    ///
    /// Work that panics begins the drain of the whole process: a shop whose outbox relay is gone must not go on
    /// taking orders. The process then ends with [`Tasks::failure`], and starting again is recovering.
    pub fn spawn<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        // Boxed: everything around it moves it, and work that asks other services is kilobytes large.
        let work = Box::pin(work);
        *inner.running.lock().entry(name).or_default() += 1;
        self.inner.tracker.spawn(async move {
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            if let Err(panic) = outcome {
                let what = crate::panic::message(panic.as_ref());
                tracing::error!(task = name, panic = what, "background task panicked: draining");
                inner.failed.lock().get_or_insert_with(|| format!("{name} panicked: {what}"));
                inner.token.cancel();
            }
            let mut running = inner.running.lock();
            if let Some(count) = running.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    running.remove(name);
                }
            }
        });
    }

    /// Cancelled when the drain begins: loops wait on it beside their work.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.inner.token.clone()
    }

    /// What made the process drain by itself, if a task panicked.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.failed.lock().clone()
    }

    /// Tells every task to stop and waits until all have.
    ///
    /// # Errors
    /// [`Unfinished`] with the names of those that did not stop within `limit`.
    pub async fn drain(&self, limit: Duration) -> Result<(), Unfinished> {
        self.inner.token.cancel();
        self.inner.tracker.close();
        tokio::time::timeout(limit, self.inner.tracker.wait()).await.map_err(|_| Unfinished {
            limit,
            names: self.inner.running.lock().keys().copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_stops_tasks_and_waits_for_them() {
        let tasks = Tasks::new();
        let token = tasks.token();
        let (ended, end) = tokio::sync::oneshot::channel();
        tasks.spawn("relay", async move {
            token.cancelled().await;
            let _ = ended.send("last write");
        });
        tasks.drain(Duration::from_secs(5)).await.unwrap();
        assert_eq!(end.await.unwrap(), "last write");
        assert_eq!(tasks.failure(), None);
    }

    #[tokio::test]
    async fn a_drain_is_bounded_and_names_what_hangs() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending());
        let unfinished = tasks.drain(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(unfinished.names, ["stuck"]);
        assert!(unfinished.to_string().contains("stuck"));
    }

    #[tokio::test]
    async fn a_task_that_panics_begins_the_drain() {
        let tasks = Tasks::new();
        tasks.spawn("broken", async { panic!("out of cheese") });
        tasks.token().cancelled().await;
        assert_eq!(tasks.failure().as_deref(), Some("broken panicked: out of cheese"));
    }
}
