//! Moves events from the line to the bus, in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::line::{Line, Told};
use crate::bus::Bus;
use crate::tasks::Tasks;

/// Most events published at once.
const PAGE_EVENTS: usize = 256;
/// Pause after a failure, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a drain waits for the changes that are still under way.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Starts it. At the drain it publishes what there is and ends; what is left is swept by another process, or the next.
pub(super) fn spawn(line: Arc<Line>, bus: Arc<dyn Bus>, tasks: &Tasks, name: &'static str) {
    let publisher = Publisher { line, bus, drain: tasks.token(), name };
    tasks.spawn(name, publisher.run());
}

struct Publisher {
    line: Arc<Line>,
    bus: Arc<dyn Bus>,
    drain: CancellationToken,
    name: &'static str,
}

impl Publisher {
    async fn run(self) {
        loop {
            let page = self.line.take(PAGE_EVENTS);
            if !page.is_empty() {
                self.publish(page).await;
            } else if self.drain.is_cancelled() {
                return self.finish().await;
            } else {
                tokio::select! {
                    () = self.drain.cancelled() => {}
                    () = self.line.news() => {}
                }
            }
        }
    }

    /// Tries until the bus has them. At the drain they are tried once more at most, and left.
    async fn publish(&self, page: Vec<Told>) {
        let mut pause = FIRST_PAUSE;
        let count = page.iter().map(|told| told.events.len()).sum();
        loop {
            let was_draining = self.drain.is_cancelled();
            let events = page.iter().flat_map(|told| told.events.iter().cloned()).collect();
            match self.bus.publish(events).await {
                Ok(()) => {
                    page.into_iter().for_each(|told| told.share.settle());
                    break;
                }
                Err(error) => {
                    tracing::warn!(outbox = self.name, %error, "events wait for the bus");
                    if was_draining {
                        break;
                    }
                    tokio::select! {
                        () = self.drain.cancelled() => {}
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.line.left(count);
    }

    /// Waits for the calls that are being finished.
    async fn finish(&self) {
        let until = Instant::now() + DRAIN_LIMIT;
        while !self.line.is_empty() && Instant::now() < until {
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.line.news() => {}
            }
            let page = self.line.take(PAGE_EVENTS);
            if !page.is_empty() {
                self.publish(page).await;
            }
        }
    }
}
