//! WatchOrder: the order's timeline and its workflow's steps as one stream, resumable at any point.
//!
//! What has happened already comes first, in the order of time; what happens then comes as it
//! happens. Every message carries a token that says how far both sources have been told, so a watcher
//! that comes back misses nothing and hears nothing twice. Without watchers none of this runs.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::SharedClock;
use souk_proto::order::v1::{OrderProgress, WatchOrderResponse};
use souk_proto::workflow::v1::{GetWorkflowHistoryResponse, HistoryEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::domain::Entry;
use crate::history::{Histories, is_closed};
use crate::hub::{Hub, Watcher};
use crate::states::States;
use crate::store::OrderStore;
use crate::{Config, Error, progress};

/// How many messages may wait for a slow watcher; then its sources are read no further.
const BUFFER: usize = 32;

/// How far a watcher has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last version of the order's timeline.
    version: u64,
    /// The last event of the workflow's history.
    sequence: i64,
    /// That event was told, but not yet that the order waits after it.
    wait_due: bool,
    /// Whether the end was told.
    ended: bool,
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(token: &str) -> Result<Position, Error> {
        if token.is_empty() {
            return Ok(Position::default());
        }
        let mut parts = token.split('.');
        let version = parts.next().and_then(|part| part.parse().ok());
        let sequence = parts.next().and_then(|part| part.parse().ok());
        match (version, sequence, parts.next(), parts.next()) {
            (Some(version), Some(sequence), rest @ (None | Some("wait" | "end")), None)
                if sequence >= 0 =>
            {
                let (wait_due, ended) = (rest == Some("wait"), rest == Some("end"));
                Ok(Position { version, sequence, wait_due, ended })
            }
            _ => Err(Error::field("resume_token", "is not one of ours")),
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rest = match (self.ended, self.wait_due) {
            (true, _) => ".end",
            (false, true) => ".wait",
            (false, false) => "",
        };
        write!(formatter, "{}.{}{rest}", self.version, self.sequence)
    }
}

impl Position {
    /// The last event that nothing more is to be told of.
    fn told(&self) -> i64 {
        self.sequence - i64::from(self.wait_due)
    }
}

/// Makes watch streams. Clones share everything.
#[derive(Clone)]
pub struct Watches {
    store: Arc<dyn OrderStore>,
    histories: Histories,
    hub: Hub,
    clock: SharedClock,
    stop: CancellationToken,
    poll: Duration,
    linger: Duration,
}

impl Watches {
    /// Streams from `store` and `histories`, woken by `hub`, until `stop`.
    #[must_use]
    pub fn new(
        store: Arc<dyn OrderStore>,
        histories: Histories,
        hub: Hub,
        clock: SharedClock,
        stop: CancellationToken,
        config: &Config,
    ) -> Watches {
        let poll = Duration::from_millis(config.watch_poll_ms);
        let linger = Duration::from_millis(config.watch_linger_ms);
        Watches { store, histories, hub, clock, stop, poll, linger }
    }

    /// The stream of one order from `position` on; `last_step` is the last one that its workflow does by itself.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many are watching.
    pub fn stream(
        &self,
        order_id: Uuid,
        last_step: &'static str,
        position: Position,
    ) -> Result<BoxStream<WatchOrderResponse>, Error> {
        let (messages, receiver) = mpsc::channel(BUFFER);
        if !position.ended {
            let watcher = self.hub.watch(order_id).ok_or(Error::Overloaded)?;
            let watch = Watch {
                sources: self.clone(),
                order_id,
                last_step,
                position,
                states: States::default(),
                read_version: 0,
                untold: VecDeque::new(),
                run_closed: false,
                messages,
            };
            tokio::spawn(watch.run(watcher));
        }
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

/// Why a watch ends before its order does.
enum Stop {
    /// The watcher has left.
    Left,
    /// Something failed; the watcher may resume.
    Failed(Status),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error.into())
    }
}

struct Watch {
    sources: Watches,
    order_id: Uuid,
    /// After this one, it is the warehouse's turn.
    last_step: &'static str,
    position: Position,
    states: States,
    /// The last version of the order's timeline that was read, and what of it is not told yet.
    read_version: u64,
    untold: VecDeque<Entry>,
    run_closed: bool,
    messages: mpsc::Sender<Result<WatchOrderResponse, Status>>,
}

type Steps = Option<Streaming<GetWorkflowHistoryResponse>>;

impl Watch {
    async fn run(mut self, watcher: Watcher) {
        if let Err(Stop::Failed(status)) = self.tell_all(watcher).await {
            // The watcher may leave before it hears of it.
            let _ = self.messages.send(Err(status)).await;
        }
    }

    async fn tell_all(&mut self, mut watcher: Watcher) -> Result<(), Stop> {
        self.read_timeline().await?;
        self.tell_news().await?;
        let messages = self.messages.clone();
        let stop = self.sources.stop.clone();
        let mut steps: Steps = None;
        let mut poll = tokio::time::interval(self.sources.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut final_since: Option<Instant> = None;
        loop {
            if self.states.last().is_final() && self.untold.is_empty() {
                let since = *final_since.get_or_insert_with(Instant::now);
                if self.run_closed || since.elapsed() >= self.sources.linger {
                    return self.tell_end().await;
                }
            }
            tokio::select! {
                () = messages.closed() => return Err(Stop::Left),
                () = stop.cancelled() => return Err(Error::Stopping.into()),
                () = watcher.changed() => self.tell_timeline().await?,
                _ = poll.tick() => {
                    self.tell_timeline().await?;
                    if steps.is_none() && !self.run_closed {
                        steps = self.follow().await;
                    }
                }
                batch = next(&mut steps) => match batch {
                    Some(batch) => {
                        // What these steps come after is on the timeline by now.
                        self.read_timeline().await?;
                        let is_closed = is_closed(batch.state());
                        self.tell_steps(batch.events).await?;
                        self.run_closed = is_closed;
                    }
                    None => steps = None,
                },
            }
        }
    }

    /// Tells what is new on the timeline, if anything is.
    async fn tell_timeline(&mut self) -> Result<(), Stop> {
        self.read_timeline().await?;
        if self.untold.is_empty() {
            return Ok(());
        }
        self.tell_news().await
    }

    /// Tells what was read of the timeline, and the steps that came before it: they are in the history by now.
    async fn tell_news(&mut self) -> Result<(), Stop> {
        match self.sources.histories.look_back(self.order_id, self.position.told()).await {
            Ok(past) => {
                self.tell_steps(past.events).await?;
                self.run_closed = past.closed;
            }
            // Steps are an extra: the timeline is told even when the orchestrator is away.
            Err(status) => {
                tracing::debug!(%status, order_id = %self.order_id, "no steps to show yet");
            }
        }
        while let Some(entry) = self.untold.pop_front() {
            self.tell_entry(&entry).await?;
        }
        Ok(())
    }

    /// Tells steps, each after what was read of the timeline and came before it.
    async fn tell_steps(&mut self, events: Vec<HistoryEvent>) -> Result<(), Stop> {
        for event in events {
            let first = |entry: &Entry| progress::precedes(entry, &event);
            let count = self.untold.iter().take_while(|entry| first(entry)).count();
            for entry in self.untold.drain(..count).collect::<Vec<_>>() {
                self.tell_entry(&entry).await?;
            }
            self.tell_step(event).await?;
        }
        Ok(())
    }

    /// Reads on; also learns the states that the order has been in.
    async fn read_timeline(&mut self) -> Result<(), Stop> {
        let (_, entries) = self.sources.store.timeline(self.order_id, self.read_version).await?;
        for entry in entries {
            self.read_version = entry.version;
            self.states.push(entry.at_ms, entry.state);
            if entry.version > self.position.version {
                self.untold.push_back(entry);
            }
        }
        Ok(())
    }

    async fn tell_step(&mut self, event: HistoryEvent) -> Result<(), Stop> {
        if event.sequence <= self.position.told() {
            return Ok(());
        }
        let only_wait = event.sequence == self.position.sequence;
        let step = progress::of_event(&event, &self.states).filter(|_| !only_wait);
        let is_last = event.name == self.last_step;
        let wait = progress::waiting_after(&event, &self.states).filter(|_| is_last);
        self.position.sequence = event.sequence;
        self.position.wait_due = wait.is_some();
        if let Some(step) = step {
            self.send(step).await?;
        }
        self.position.wait_due = false;
        match wait {
            Some(wait) => self.send(wait).await,
            None => Ok(()),
        }
    }

    async fn tell_entry(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.position.version = entry.version;
        self.send(progress::of_entry(entry)).await
    }

    async fn tell_end(&mut self) -> Result<(), Stop> {
        self.position.ended = true;
        let now_ms = self.sources.clock.now_ms();
        self.send(progress::finished(self.states.last(), now_ms)).await
    }

    /// Waits for room when the watcher is slow; ends when it has left or the process drains.
    async fn send(&mut self, progress: OrderProgress) -> Result<(), Stop> {
        let resume_token = self.position.to_string();
        let message = WatchOrderResponse { progress: Some(progress), resume_token };
        tokio::select! {
            sent = self.messages.send(Ok(message)) => sent.map_err(|_| Stop::Left),
            () = self.sources.stop.cancelled() => Err(Error::Stopping.into()),
        }
    }

    /// Follows the workflow's steps; `None` when that does not work now, and the next poll tries
    /// again. A finished order whose run is unknown has outlived its history.
    async fn follow(&mut self) -> Steps {
        match self.sources.histories.follow(self.order_id, self.position.told()).await {
            Ok(steps) => Some(steps),
            Err(status) => {
                self.run_closed = status.code() == Code::NotFound && self.states.last().is_final();
                None
            }
        }
    }
}

/// The next batch; pending for ever without a stream, `None` when it ended or broke.
async fn next(steps: &mut Steps) -> Option<GetWorkflowHistoryResponse> {
    match steps {
        Some(steps) => steps.message().await.ok().flatten(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_return_their_position() {
        for position in [
            Position::default(),
            Position { version: 3, sequence: 17, wait_due: false, ended: false },
            Position { version: 3, sequence: 17, wait_due: true, ended: false },
            Position { version: 3, sequence: 17, wait_due: false, ended: true },
        ] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }
        assert_eq!("".parse::<Position>().unwrap(), Position::default());
        for wrong in ["x", "1", "1.-2", "1.2.3", "1.2.end.end", "1.2 "] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
